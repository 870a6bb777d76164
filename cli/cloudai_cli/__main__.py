"""`kubectl cloudai`: simulate policies on your own tasks, and make workloads to try them on."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import track

from cloudai_cli import apply, cluster, doubts, experience, imported, plot, pod_list, sacct, simulate, templates, trial
from cloudai_cli import arguments as bounds
from cloudai_cli.cluster import Whereabouts
from cloudai_cli.errors import CliError, InputError, TrialError
from cloudai_cli.scenario import Scenario, TraceScenario
from cloudai_cli.simulate import FIGURES, OF_TASKS, POLICIES, Outcome
from cloudai_kube import bounded_file, connection, logs
from cloudai_kube.errors import ConfigurationError, KubeError
from cloudai_kube.prometheus import Prometheus
from cloudai_kube.prometheus_access import Access
from cloudai_kube.redaction import redacted
from cloudai_kube.task import Task
from cloudai_kube.transport import Transport
from cloudai_rts import contract, parameters, traces
from cloudai_rts.errors import RtsError
from cloudai_rts.parameters import LATENESS, Document
from cloudai_rts.replay import workload
from cloudai_rts.replay.chooser import LEAST_ALLOCATED
from cloudai_rts.replay.workload import REFERENCE_KINDS, STANDARD_KINDS, Shape

_EXAMPLES = """examples:
  kubectl cloudai workload --fleet config/reference-fleet.csv --count 1000 --load .9 > tasks.csv
  kubectl cloudai simulate --tasks tasks.csv --fleet config/reference-fleet.csv --speeds config/reference-speeds.csv \\
      --knows-speeds --plot build/response.png
  kubectl cloudai simulate --tasks tasks.csv --fleet fleet.csv --parameters parameters.json -o json
  kubectl cloudai workload --fleet config/reference-fleet.csv --count 200 --apply --time-scale 60
  kubectl cloudai simulate --tasks tasks.csv --fleet fleet.csv --learn first-half --by-class
  kubectl cloudai simulate --template tasks > tasks.csv               a trace to begin with; docs/traces.md
  kubectl cloudai simulate --from-cluster                            what finished here, under every policy
  kubectl cloudai import --from-prometheus 14d --fleet-file fleet.csv > tasks.csv
  kubectl cloudai import --from-sacct jobs.txt > tasks.csv            what Slurm has run
  kubectl cloudai try --image cloudai:0.1.0                           one Task from apply to Complete"""
PROGRAM: Final = "kubectl cloudai"
MAX_DAYS: Final = 90
HOURS: Final = 24.0
FIRST_HALF: Final = "first-half"
LOG_SECONDS: Final = 2.0
"""Between two lines of progress where there is no terminal."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; exit 0 if it worked, 1 if a server refused or is away, 2 for unusable input."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (CliError, RtsError, ConfigurationError) as error:
        logs.complain(PROGRAM, error)
        raise SystemExit(2) from error
    except (KubeError, TrialError) as error:
        logs.complain(PROGRAM, error)
        raise SystemExit(1) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    what_if = commands.add_parser("simulate", help="replay tasks under several policies and compare them")
    what_if.set_defaults(run=_simulate)
    what_if.add_argument("--tasks", type=Path, help="task trace, CSV")
    what_if.add_argument("--fleet", type=Path, help="machines, CSV")
    what_if.add_argument("--from-cluster", action="store_true", help="what has finished in a cluster")
    what_if.add_argument(
        "--mongodb-uri", default="", help="its history; empty: $MONGODB_URI, else of the Tasks that still exist"
    )
    what_if.add_argument("--hours", type=bounds.number(0, 24 * 90, above=True), help=f"of that history, {HOURS:g}")
    what_if.add_argument("--kubeconfig", default="", help="of that cluster; empty: $KUBECONFIG")
    what_if.add_argument("--namespace", default="", help=f"of its parameters, {contract.NAMESPACE}")
    what_if.add_argument("--speeds", type=Path, help="true run-time factors by type and GPU, CSV")
    what_if.add_argument("--knows-speeds", action="store_true", help="the policies know the table of speeds")
    what_if.add_argument(
        "--learn",
        metavar="first-half|FILE",
        default="",
        help="let the product learn from the first half of the tasks, or from another trace, and judge the others",
    )
    what_if.add_argument(
        "--template", choices=sorted(templates.FILES), help="print an example of such a file (docs/traces.md) and end"
    )
    what_if.add_argument("--policy", default=",".join(POLICIES), help=f"of {', '.join(POLICIES)}")
    what_if.add_argument("--parameters", type=Path, help="parameter document, JSON; default: built in")
    what_if.add_argument(
        "--seeds", type=bounds.whole(1, 1000), help="draws of what tasks really use, 3; of what is recorded nothing is"
    )
    what_if.add_argument("--by-class", action="store_true", help="all figures by type and number of GPUs")
    what_if.add_argument("--workers", type=bounds.whole(1, 64), default=2)
    what_if.add_argument("--plot", type=bounds.picture, metavar="PNG", help="draw response times by policy")
    what_if.add_argument("-o", "--output", choices=["text", "json"], default="text")
    make = commands.add_parser("workload", help="draw a workload and write it as a task trace")
    make.set_defaults(run=_workload)
    make.add_argument("--fleet", type=Path, required=True, help="machines that it is scaled to, CSV")
    make.add_argument("--count", type=bounds.whole(1), default=1000)
    make.add_argument("--load", type=bounds.number(0, 100, above=True), default=0.75, help="GPU work over GPU time")
    make.add_argument("--seed", type=bounds.whole(0, 2**31), default=1)
    make.add_argument("--kinds", choices=["standard", "reference"], default="standard", help="task types")
    make.add_argument(
        "--size-sd", type=bounds.number(0, 3), default=0.35, help="spread of task sizes, log sd; heavy tails: 1.9"
    )
    make.add_argument(
        "--declared", type=bounds.number(0, 1), default=0.0, help="share of tasks with a declared run time"
    )
    make.add_argument("--day", type=bounds.number(0, 0.99), default=0.0, help="amplitude of the day cycle, 0..1")
    make.add_argument("--apply", action="store_true", help="create the Tasks in a cluster as they arrive")
    make.add_argument(
        "--time-scale", type=bounds.number(0, above=True), help="with --apply: divide all times by this, 1"
    )
    make.add_argument("--name-prefix", default="task", help="of the tasks; one for each workload in a namespace")
    make.add_argument("--kubeconfig", default="", help="with --apply; empty: $KUBECONFIG")
    make.add_argument("--namespace", default="", help="with --apply, default")
    bring = commands.add_parser("import", help="a trace out of what another scheduler has run")
    bring.set_defaults(run=_import)
    source = bring.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--from-prometheus", metavar="DAYS", help="out of kube-state-metrics; how far back, such as 14d"
    )
    source.add_argument("--from-sacct", type=Path, metavar="FILE", help=f"out of Slurm: {sacct.COMMAND}")
    source.add_argument("--from-pods", type=Path, metavar="FILE", help=f"out of {pod_list.COMMAND}")
    bring.add_argument("--prometheus-url", default="", help="its address; empty: $PROMETHEUS_URL")
    bring.add_argument("--matchers", default="", help='label matchers of every query, such as cluster="east"')
    bring.add_argument("--token-file", default="", help="file with a bearer token for it")
    bring.add_argument("--ca-file", default="", help="certificate authority of an https address")
    bring.add_argument(
        "--multiplier", type=bounds.number(1, 100), default=2.0, help="deadline = arrival + so many usual run times"
    )
    bring.add_argument("--fleet-file", type=Path, metavar="CSV", help="write the machines there")
    bring.add_argument("--workers", type=bounds.whole(1, 64), default=2)
    _add_try(commands)
    return parser


def _add_try(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("try", help="apply one small Task, wait for its end, delete it")
    parser.set_defaults(run=_try)
    parser.add_argument("--image", required=True, help="its image; it has to hold the command")
    parser.add_argument("--namespace", default="default", help="where it runs")
    parser.add_argument("--kubeconfig", default="", help="empty: $KUBECONFIG or in-cluster")
    parser.add_argument("--timeout", type=bounds.number(0, 86_400, above=True), default=180.0, help="seconds")
    parser.add_argument("--pull-secret", action="append", default=[], help="of the image; may be given several times")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")


def _try(arguments: argparse.Namespace) -> None:
    task = asyncio.run(_tried(arguments))
    if arguments.output == "json":
        sys.stdout.write(json.dumps(trial.as_json(task)) + "\n")
        return
    met = task.status.condition("DeadlineMet")
    sys.stdout.write(f"complete: {met.message if met is not None else 'its deadline was not judged'}\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{redacted(text)}\n")


async def _tried(arguments: argparse.Namespace) -> Task:
    async with Transport(connection.load(arguments.kubeconfig), "kubectl-cloudai", 4) as transport:
        return await trial.run(
            transport,
            arguments.namespace,
            arguments.image,
            arguments.timeout,
            arguments.pull_secret,
            _say,
        )


def _simulate(arguments: argparse.Namespace) -> None:
    if arguments.template:
        sys.stdout.write(templates.FILES[arguments.template])
        return
    policies = [name.strip() for name in arguments.policy.split(",") if name.strip()]
    unknown = [name for name in policies if name not in POLICIES]
    if unknown or not policies:
        raise InputError(f"--policy {arguments.policy!r}: known policies are {', '.join(POLICIES)}")
    given = parameters.parse(_read(arguments.parameters)) if arguments.parameters else None
    seeds = arguments.seeds or 3
    scenario: Scenario
    notes: list[str] = []
    if arguments.from_cluster:
        bounds.refuse(arguments, ("tasks", "fleet"), "--from-cluster reads them from the cluster; give one of both")
        bounds.refuse(arguments, ("speeds", "knows_speeds"), "speeds are those that the cluster learned; leave it out")
        bounds.refuse(arguments, ("learn",), "the parameters of the cluster are learned already; leave it out")
        bounds.refuse(arguments, ("seeds",), "what is recorded is replayed as it was, nothing is drawn; leave it out")
        seeds = 1
        scenario = asyncio.run(cluster.read(_whereabouts(arguments), given))
    else:
        bounds.refuse(arguments, ("mongodb_uri", "hours", "kubeconfig", "namespace"), "give --from-cluster with it")
        trace = _trace(arguments, given or Document())
        notes = doubts.of(trace, arguments.knows_speeds, has_table=bool(arguments.speeds))
        for note in notes:
            _say(f"note: {note}")
        scenario = _learning(arguments, trace)
        policies = simulate.shown(policies, bool(arguments.learn))
    outcomes = _run(scenario, policies, seeds, arguments.workers)
    rows = simulate.rows(outcomes)
    shown = OF_TASKS if arguments.by_class else OF_TASKS[:1]
    as_json = arguments.output == "json"
    sys.stdout.write(json.dumps({"notes": notes, "policies": rows}) + "\n" if as_json else _table(rows, shown))
    if arguments.plot is not None:
        try:
            plot.draw(outcomes, rows, arguments.plot)
        except OSError as error:
            raise InputError(f"--plot {arguments.plot} cannot be written: {error}") from error
        _say(f"drawn: {arguments.plot}")


def _whereabouts(arguments: argparse.Namespace) -> Whereabouts:
    return Whereabouts(
        arguments.kubeconfig,
        arguments.namespace or contract.NAMESPACE,
        arguments.mongodb_uri or os.environ.get("MONGODB_URI", ""),
        arguments.hours or HOURS,
    )


def _trace(arguments: argparse.Namespace, document: Document) -> TraceScenario:
    if arguments.tasks is None or arguments.fleet is None:
        raise InputError("give --tasks FILE and --fleet FILE, or --from-cluster")
    speeds = traces.read_speeds(_read(arguments.speeds)) if arguments.speeds else {}
    fleet = traces.read_fleet(_read(arguments.fleet))
    if arguments.knows_speeds:
        if not speeds:
            raise InputError("--knows-speeds: there is nothing to know; give a table with --speeds FILE")
        document = simulate.known_speeds(speeds, document)
    tasks = traces.read_tasks(_read(arguments.tasks))
    if not tasks:
        raise InputError(f"{arguments.tasks} holds no tasks; write at least one line below the header")
    return TraceScenario(tasks, fleet, speeds or simulate.expected_speeds(tasks, fleet), document)


def _learning(arguments: argparse.Namespace, scenario: TraceScenario) -> TraceScenario:
    """The scenario with what `--learn` lets the product learn before."""
    if not arguments.learn:
        return scenario
    tasks = scenario.tasks
    if arguments.learn == FIRST_HALF:
        before, tasks = tasks[: len(tasks) // 2], tasks[len(tasks) // 2 :]
    else:
        file = Path(arguments.learn)
        if not file.exists():
            raise InputError(f"--learn {arguments.learn}: there is no such file; give {FIRST_HALF}, or a task trace")
        before = traces.read_tasks(_read(file))
    if len(before) < experience.LEAST_TASKS:
        raise InputError(
            f"--learn {arguments.learn}: {len(before)} tasks; at least {experience.LEAST_TASKS} are needed: give a "
            "longer trace, or leave --learn out"
        )
    _say(f"learning from {len(before)} tasks, judging {len(tasks)} ...")
    document = experience.learned(replace(scenario, tasks=before))
    return replace(scenario, tasks=tasks, learned=document)


def _run(scenario: Scenario, policies: Sequence[str], seeds: int, workers: int) -> list[Outcome]:
    cases = [(policy, seed) for policy in policies for seed in range(seeds)]
    with ProcessPoolExecutor(workers) as executor:
        outcomes = executor.map(partial(simulate.run, scenario), *zip(*cases, strict=True))
        if sys.stderr.isatty():
            return list(track(outcomes, "replays", len(cases), console=Console(stderr=True), transient=True))
        return list(_told(outcomes, len(cases)))


def _told(outcomes: Iterator[Outcome], count: int) -> Iterator[Outcome]:
    """The outcomes as they come, with a line now and then for a log."""
    said = time.monotonic()
    for number, outcome in enumerate(outcomes, start=1):
        if time.monotonic() - said >= LOG_SECONDS:
            said = time.monotonic()
            _say(f"{number} of {count} replays")
        yield outcome


def _table(rows: Sequence[dict[str, Any]], by_class: Sequence[str]) -> str:
    header = ["policy", *(figure.title for figure in FIGURES.values())]
    lines = [header, *([row["policy"], *(_number(row[name], ".3g") for name in FIGURES)] for row in rows)]
    meetable = rows[0]["floor"]
    floor = "no task has a deadline" if meetable is None else f"not to be met by any policy: {meetable:.1f} %"
    return f"{_columns(lines)}\n{floor}\n{_differences(rows)}{_by_class(rows, by_class)}"


def _differences(rows: Sequence[dict[str, Any]]) -> str:
    """Each policy against the first, with half of the 95 % interval where there is one."""
    if len(rows) < 2:
        return ""
    lines = [[f"against {rows[0]['policy']}", *(figure.title for figure in FIGURES.values())]]
    for row in rows[1:]:
        gaps, widths = row["differences"], row["half_widths"]
        lines.append([row["policy"], *(_number(gaps[name], "+.3g") + _width(widths[name]) for name in FIGURES)])
    return f"\n{_columns(lines)}\n"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _width(value: float | None) -> str:
    return "" if value is None else f" +-{value:.2g}"


def _by_class(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Figures by type and by number of GPUs, one column a policy."""
    tables = []
    for name in names:
        lines = [[FIGURES[name].title, *(row["policy"] for row in rows)]]
        for class_name in rows[0]["by_class"][name]:
            cells = [
                _number(row["by_class"][name][class_name], ".3g")
                + _width(row["half_widths_by_class"][name][class_name] if at else None)
                for at, row in enumerate(rows)
            ]
            lines.append([f"{class_name} ({rows[0]['class_sizes'][class_name]})", *cells])
        tables.append(f"\n{_columns(lines)}\n")
    return "".join(tables)


def _columns(lines: Sequence[Sequence[str]]) -> str:
    """Cells below each other."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _workload(arguments: argparse.Namespace) -> None:
    if not arguments.apply:
        bounds.refuse(arguments, ("time_scale", "kubeconfig", "namespace"), "give --apply with it")
    kinds = STANDARD_KINDS if arguments.kinds == "standard" else REFERENCE_KINDS
    shape = Shape(
        load=arguments.load,
        kinds=kinds,
        size_log_sd=arguments.size_sd,
        declared_share=arguments.declared,
        day_amplitude=arguments.day,
    )
    drawn = workload.draw(arguments.seed, arguments.count, shape, traces.read_fleet(_read(arguments.fleet)))
    tasks = [replace(task, name=f"{arguments.name_prefix}-{number}") for number, task in enumerate(drawn.tasks)]
    if not arguments.apply:
        sys.stdout.write(traces.write_tasks(tasks))
        return

    def progress(done: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done}/{len(tasks)} Tasks")

    namespace = arguments.namespace or "default"
    new = asyncio.run(apply.apply(arguments.kubeconfig, namespace, tasks, arguments.time_scale or 1.0, progress))
    sys.stdout.write(f"{new} Tasks created in namespace {namespace}\n")
    if new < len(tasks):
        sys.stderr.write(
            f"{len(tasks) - new} were there already and stay as they are; for another workload give --name-prefix\n"
        )


def _import(arguments: argparse.Namespace) -> None:
    file = arguments.from_sacct or arguments.from_pods
    if file is None:
        _import_from_prometheus(arguments)
        return
    if arguments.fleet_file is not None:
        raise InputError("--fleet-file: such a file tells of no machines; kubectl cloudai simulate --template fleet")
    bounds.refuse(
        arguments, ("prometheus_url", "matchers", "token_file", "ca_file"), "give --from-prometheus DAYS with it"
    )
    runs, left_out = (sacct if arguments.from_sacct else pod_list).read(_read(file))
    trace = imported.to_trace(runs, arguments.multiplier)
    for why, count in sorted(left_out.items()):
        _say(f"{count} left out: they {why}")
    if not trace.tasks:
        raise InputError(f"{file} holds nothing that ran to its end on one node")
    sys.stdout.write(traces.write_tasks(trace.tasks))
    _say(
        f"{len(trace.tasks)} tasks, {100 * trace.late_share:.1f} % took longer than {arguments.multiplier:g} x what "
        "was declared, or what their like usually take"
    )
    if trace.widened:
        _say(f"{trace.widened} tasks may run on several GPU products, which a trace cannot say: on any, in it")


def _import_from_prometheus(arguments: argparse.Namespace) -> None:
    days = _days(arguments.from_prometheus)
    url = arguments.prometheus_url or os.environ.get("PROMETHEUS_URL", "")
    if not url:
        raise InputError("which Prometheus? give --prometheus-url or $PROMETHEUS_URL")
    source = Prometheus(Access(url, arguments.matchers, arguments.token_file, arguments.ca_file))
    now = time.time()
    quiet = not sys.stderr.isatty()
    with Console(stderr=True, quiet=quiet).status(f"asking {source.shown} day by day ..."):
        imported.check(source, now)
        runs, dropped = imported.read_runs(source, days, now)
    trace = imported.to_trace(runs, arguments.multiplier, dropped)
    if not trace.tasks:
        raise InputError(
            f"{source.shown} knows no pod that succeeded in the last {arguments.from_prometheus}; "
            "is kube-state-metrics scraped?"
        )
    nodes, mixed = imported.read_fleet(source, now)
    if mixed:
        _say(f"{len(mixed)} machines have several kinds of devices, of which a fleet's file says one: {mixed[0]}, ...")
    sys.stdout.write(traces.write_tasks(trace.tasks))
    if arguments.fleet_file is not None:
        try:
            arguments.fleet_file.write_text(traces.write_fleet(nodes), encoding="utf-8")
        except OSError as error:
            raise InputError(f"--fleet-file {arguments.fleet_file} cannot be written: {error}") from error
    sys.stderr.write(
        f"last {arguments.from_prometheus}: {len(trace.tasks)} tasks, {trace.late_share:.1%} took longer than "
        f"{arguments.multiplier:g} x what their like usually take"
        + (f"; {dropped} pods with contradicting times are left out\n" if dropped else "\n")
    )
    if not nodes:
        sys.stderr.write("no machines are known, so nothing is replayed: kube_node_status_allocatable is missing\n")
        return
    scenario = TraceScenario(trace.tasks, nodes, {}, Document())
    for outcome in _run(scenario, (LEAST_ALLOCATED, LATENESS), 1, arguments.workers):
        missed = f"{outcome.summary.violations:.1%} of the deadlines missed"
        sys.stderr.write(f"replayed on the same machines, {outcome.policy}: {missed}\n")


def _days(text: str) -> float:
    number = text.removesuffix("d")
    if not number.isdigit() or not 1 <= int(number) <= MAX_DAYS:
        raise InputError(f"--from-prometheus {text!r}: write days, such as 14d, at most {MAX_DAYS}d")
    return float(number)


def _read(file: Path) -> str:
    try:
        return bounded_file.read(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


if __name__ == "__main__":
    main()
