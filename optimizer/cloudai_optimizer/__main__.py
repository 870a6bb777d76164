"""`cloudai-optimizer`: see and publish the scheduler's parameters."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from cloudai_kube import connection, timestamp
from cloudai_kube.errors import ConfigurationError, KubeError
from cloudai_kube.transport import Transport
from cloudai_optimizer import config_map, document
from cloudai_optimizer.errors import InputError, OptimizerError
from cloudai_rts import contract, parameters, traces
from cloudai_rts.errors import RtsError

_EXAMPLES = """examples:
  cloudai-optimizer show                                             what is in force
  cloudai-optimizer publish --speeds config/reference-speeds.csv     start from known relative speeds
  cloudai-optimizer publish changes.yaml --dry-run                   check, and show what would be published"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; exit 0 if it worked, 1 if the cluster refused, 2 for unusable input."""
    arguments = _parser().parse_args(argv)
    try:
        asyncio.run(_connected(arguments))
    except (ConfigurationError, InputError, RtsError) as error:
        _end(error, 2)
    except (OptimizerError, KubeError) as error:
        _end(error, 1)


def _end(error: Exception, code: int) -> None:
    sys.stderr.write(f"cloudai-optimizer: {error}\n")
    raise SystemExit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloudai-optimizer",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kubeconfig", default="", help="kubeconfig file; empty: $KUBECONFIG or in-cluster")
    parser.add_argument("--namespace", default=contract.NAMESPACE, help="namespace of the ConfigMap")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="show the parameters in force")
    show.add_argument("-o", "--output", choices=["text", "json"], default="text")
    show.set_defaults(run=_show)
    publish = commands.add_parser("publish", help="publish the parameters in force with some keys replaced")
    publish.add_argument("file", nargs="?", type=Path, help="YAML or JSON with any keys of the document")
    publish.add_argument("--speeds", type=Path, help="CSV type,gpu_product,factor: relative run times")
    publish.add_argument("--dry-run", action="store_true", help="print the document instead of publishing it")
    publish.set_defaults(run=_publish)
    return parser


async def _connected(arguments: argparse.Namespace) -> None:
    async with Transport(connection.load(arguments.kubeconfig), "cloudai-optimizer", 2) as transport:
        await arguments.run(transport, arguments)


async def _show(transport: Transport, arguments: argparse.Namespace) -> None:
    published = await config_map.read(transport, arguments.namespace)
    if arguments.output == "json":
        sys.stdout.write((published.text or parameters.dump(published.document)) + "\n")
        return
    known = published.document
    origin = f"published {known.createdAt}" if published.text else "built in, nothing is published"
    learned = sum(len(row) for row in known.Runtime.U.values())
    sys.stdout.write(
        f"version {known.version}, model {known.model} ({origin})\n"
        f"run times known for {len(known.Tau)} types, {learned} speeds of type and node class\n"
        f"lateness weights: {known.Lateness}\n"
    )


async def _publish(transport: Transport, arguments: argparse.Namespace) -> None:
    before = await config_map.read(transport, arguments.namespace)
    speeds = None if arguments.speeds is None else traces.read_speeds(_read(arguments.speeds))
    changes = {} if arguments.file is None else _changes(arguments.file)
    if speeds is None and not changes:
        raise InputError("nothing to publish: give a file with keys of the document, or --speeds")
    text = document.successor(before.document, changes, speeds, timestamp.millis(time.time()))
    if arguments.dry_run:
        sys.stdout.write(text + "\n")
        return
    await config_map.write(transport, arguments.namespace, text, before)
    sys.stdout.write(f"published version {json.loads(text)['version']}\n")


def _changes(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(_read(file))
    except yaml.YAMLError as error:
        raise InputError(f"{file} is neither YAML nor JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds a {type(content).__name__}; write keys of the parameter document")
    return content


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


if __name__ == "__main__":
    main()
