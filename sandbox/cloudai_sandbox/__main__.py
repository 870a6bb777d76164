"""`cloudai-sandbox`: a control plane with a simulated fleet on this machine."""

import argparse
import asyncio
import json
import logging
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from cloudai_kube import connection
from cloudai_kube.transport import Transport
from cloudai_rts import traces
from cloudai_rts.errors import TraceError
from cloudai_sandbox import binaries, daemon, exporter, fleet, history, image, real_node, services
from cloudai_sandbox.audit import audit
from cloudai_sandbox.errors import InputError, MissingToolError, SandboxError
from cloudai_sandbox.kubelet import Kubelets
from cloudai_sandbox.sandbox import OURS, Sandbox

_EXAMPLES = """examples:
  eval "$(cloudai-sandbox up)"             start it and point kubectl at it
  eval "$(cloudai-sandbox up --fleet config/reference-fleet.csv --speeds config/reference-speeds.csv)"
  cloudai-sandbox run -- kubectl get nodes start, run one command, stop
  cloudai-sandbox node -- python -m pytest tests/node      on a real kubelet, as root on Debian or Ubuntu
  cloudai-sandbox down"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; exit 0 if it worked, 1 if not, 2 for wrong usage, 3 if the machine lacks something."""
    arguments = _parser().parse_args(argv)
    try:
        code = arguments.run(arguments)
    except MissingToolError as error:
        say(f"cloudai-sandbox: {error}")
        code = 3
    except (SandboxError, TraceError) as error:
        say(f"cloudai-sandbox: {error}")
        code = 1
    raise SystemExit(code)


def say(text: str) -> None:
    """Progress and problems, on stderr: stdout is for `eval`."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloudai-sandbox",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: object, text: str | None) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text) if text else commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--state", type=Path, default=daemon.default_folder(), metavar="DIR", help="state folder")
        return command

    up = add("up", _up, "start it in the background; prints 'export KUBECONFIG=...' for eval")
    _add_fleet(up)
    add("down", _down, "stop it")
    status = add("status", _status, "say whether it runs, and where")
    status.add_argument("-o", "--output", choices=["text", "json"], default="text")
    checked = add("audit", _audit, "check its whole history: each pod bound once, no node over-committed, one live pod")
    checked.add_argument("-o", "--output", choices=["text", "json"], default="text")
    run = add("run", _run, "start it, run one command with KUBECONFIG set, stop it")
    _add_fleet(run)
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    path = add("path", _path, "print the folder with kubectl, for PATH")
    path.add_argument(
        "--with", dest="services", default="", metavar="NAMES", help=f"build also: {', '.join(binaries.TOOLS)}"
    )
    add("image", _image, "build the container image without a registry (root, Debian or Ubuntu); prints the archive")
    node = add("node", _node, "run a command on a machine of its own, where tests start a real kubelet (root)")
    node.add_argument(
        "--earlier", default="", metavar="COMMIT", help="also build the image of this commit, to upgrade from"
    )
    node.add_argument("--packages", action="store_true", help="only print the Debian packages that are missing")
    node.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    demo = add("demo", _demo, "120 Tasks on the 17-node reference cluster: RTS against round-robin")
    demo.add_argument("--seed", type=int, default=7)
    demo.add_argument("--tasks", type=int, default=120)
    demo.add_argument("--output", type=Path, default=Path("build/demo"), metavar="DIR", help="where the picture goes")
    serve = add("serve", _serve, None)
    _add_fleet(serve)
    proxy = add("proxy", _proxy, None)
    proxy.add_argument("--kubeconfig", required=True)
    proxy.add_argument("--port", type=int, required=True)
    simulated = add("fleet", _fleet, None)
    _add_fleet(simulated)
    simulated.add_argument("--kubeconfig", required=True)
    simulated.add_argument("--ready-file", type=Path, required=True)
    simulated.add_argument("--exporter-port", type=int, default=0)
    return parser


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, default=fleet.DEFAULT_NODES, help="number of equal nodes (default 4)")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of each of them (default 0)")
    parser.add_argument("--fleet", type=Path, metavar="FILE", help="nodes as CSV, instead of --nodes")
    parser.add_argument("--speeds", type=Path, metavar="FILE", help="run-time factors by type and GPU as CSV")
    parser.add_argument("--without", default="", metavar="NAMES", help="do not start these: operator, scheduler")
    parser.add_argument("--with", dest="services", default="", metavar="NAMES", help="also: prometheus, mongodb")


def _options(arguments: argparse.Namespace) -> list[str]:
    options = ["--nodes", str(arguments.nodes), "--gpus", str(arguments.gpus), "--without", arguments.without]
    options += ["--with", arguments.services]
    for name in ("fleet", "speeds"):
        value = getattr(arguments, name)
        if value is not None:
            options += [f"--{name}", str(value.resolve())]
    return options


def _sandbox(arguments: argparse.Namespace, folder: Path) -> Sandbox:
    _read_fleet(arguments)  # a bad file is reported before anything is started
    wanted = _services(arguments)
    left_out = {f"cloudai-{name.strip()}" for name in arguments.without.split(",") if name.strip()}
    return Sandbox(
        folder,
        fleet=arguments.fleet,
        speeds=arguments.speeds,
        nodes=arguments.nodes,
        gpus=arguments.gpus,
        run=tuple(name for name in OURS if name not in left_out),
        services=wanted,
        say=say,
    )


def _services(arguments: argparse.Namespace) -> tuple[str, ...]:
    return _named(arguments.services, services.SERVICES)


def _named(text: str, known: Collection[str]) -> tuple[str, ...]:
    wanted = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError(f"--with {', '.join(unknown)}: known are {', '.join(known)}")
    return wanted


def _up(arguments: argparse.Namespace) -> int:
    state = daemon.up(arguments.state, _options(arguments), say)
    sys.stdout.write(f"export KUBECONFIG={state.kubeconfig}\n")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    say("stopped" if daemon.down(arguments.state, say) else "nothing to stop")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    state = daemon.read_state(arguments.state)
    if arguments.output == "json":
        body = {"running": state is not None}
        if state is not None:
            body |= {name: getattr(state, name) for name in ("pid", "kubeconfig", "server", "logs", "ports")}
        sys.stdout.write(json.dumps(body) + "\n")
    elif state is None:
        sys.stdout.write('not running; start it with: eval "$(cloudai-sandbox up)"\n')
    else:
        sys.stdout.write(
            f"running at {state.server} (pid {state.pid})\nKUBECONFIG={state.kubeconfig}\nlogs {state.logs}\n"
        )
    return 0 if state is not None else 1


def _audit(arguments: argparse.Namespace) -> int:
    state = daemon.read_state(arguments.state)
    if state is None:
        raise InputError('no sandbox is running; start it with: eval "$(cloudai-sandbox up)"')
    report = audit(history.read(state.etcd))
    if arguments.output == "json":
        sys.stdout.write(json.dumps(asdict(report)) + "\n")
    else:
        for violation in report.violations:
            sys.stdout.write(f"{violation.revision}: {violation.message}\n")
        sys.stdout.write(
            f"{report.changes} changes, {report.pods} pods, {report.binds} binds, fullest node "
            f"{report.fullest_share:.0%}: {len(report.violations)} violations\n"
        )
    return 1 if report.violations else 0


def _run(arguments: argparse.Namespace) -> int:
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise InputError("no command given; write: cloudai-sandbox run -- kubectl get nodes")
    with tempfile.TemporaryDirectory(prefix="cloudai-sandbox-") as folder, _sandbox(arguments, Path(folder)) as sandbox:
        path = f"{sandbox.plane.binaries.folder}{os.pathsep}{os.environ.get('PATH', '')}"
        environ = {**os.environ, "KUBECONFIG": str(sandbox.plane.kubeconfig), "PATH": path}
        return subprocess.run(command, env=environ, check=False).returncode


def _path(arguments: argparse.Namespace) -> int:
    for name in _named(arguments.services, binaries.TOOLS):
        binaries.build(name, say)
    sys.stdout.write(f"{binaries.ensure(say=say).folder}\n")
    return 0


def _image(_arguments: argparse.Namespace) -> int:
    sys.stdout.write(f"{image.Builder(image.default_folder(), say).image()}\n")
    return 0


def _node(arguments: argparse.Namespace) -> int:
    if arguments.packages:
        sys.stdout.write(" ".join(image.missing(real_node.TOOLS)) + "\n")
        return 0
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise InputError("no command given; write: cloudai-sandbox node -- python -m pytest tests/node")
    whole = real_node.command(command)
    for tool in ("controllers", "peer", "kubelet", "helm"):
        binaries.build(tool, say)
    builder = image.Builder(image.default_folder(), say)
    builder.pause()
    builder.image()
    if arguments.earlier:
        builder.earlier(arguments.earlier)
    try:
        return subprocess.run(whole, check=False).returncode
    finally:
        real_node.remove_cgroups()


def _serve(arguments: argparse.Namespace) -> int:
    return daemon.serve(_sandbox(arguments, arguments.state))


def _demo(arguments: argparse.Namespace) -> int:
    from cloudai_sandbox.demo.play import perform

    return perform(arguments.seed, arguments.tasks, arguments.output)


def _fleet(arguments: argparse.Namespace) -> int:
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")
    nodes, speeds = _read_fleet(arguments)

    async def simulate() -> None:
        async with Transport(connection.load(arguments.kubeconfig), "sandbox-kubelets") as transport:
            await fleet.create(transport, nodes)
            kubelets = Kubelets(transport, nodes, speeds)
            if arguments.exporter_port:
                await exporter.serve(arguments.exporter_port, kubelets.look)
            arguments.ready_file.touch()
            await kubelets.run()

    asyncio.run(simulate())
    return 0


def _proxy(arguments: argparse.Namespace) -> int:
    from cloudai_sandbox.proxy import serve

    known = connection.load(arguments.kubeconfig)
    context = known.ssl_context
    if context is not None:  # clients keep their own credentials: the administrator's must not be lent to them
        context = ssl.create_default_context(cafile=known.authority_file)
    asyncio.run(serve(known.server, context, arguments.port))
    return 0


def _read_fleet(arguments: argparse.Namespace) -> tuple[list[traces.FleetNode], traces.Speeds]:
    nodes = fleet.uniform(arguments.nodes, arguments.gpus)
    speeds: traces.Speeds = {}
    try:
        if arguments.fleet is not None:
            nodes = traces.read_fleet(arguments.fleet.read_text(encoding="utf-8"))
        if arguments.speeds is not None:
            speeds = traces.read_speeds(arguments.speeds.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, TraceError) as error:
        raise InputError(f"--fleet {arguments.fleet}, --speeds {arguments.speeds}: {error}") from error
    return nodes, speeds


if __name__ == "__main__":
    main()
