"""`cloudai-optimizer`: learn from what happened, and see or change the scheduler's parameters."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from cloudai_kube import bounded_file, connection, logs, settings, timestamp
from cloudai_kube.epoch_note import EpochNote
from cloudai_kube.errors import ConfigurationError, KubeError
from cloudai_kube.redaction import redacted
from cloudai_kube.scope import Scope
from cloudai_kube.transport import Transport
from cloudai_kube.wording import sentence
from cloudai_optimizer import cluster_epoch, progress
from cloudai_optimizer.cluster_epoch import Options
from cloudai_optimizer.errors import InputError, OptimizerError
from cloudai_optimizer.progress import Reporter
from cloudai_optimizer.release import announcement, config_map, document, publication
from cloudai_optimizer.release.config_map import Change
from cloudai_optimizer.settings import Settings
from cloudai_rts import contract, parameters, traces
from cloudai_rts.errors import RtsError

_EXAMPLES = """examples:
  cloudai-optimizer epoch                                            learn, search, guard, publish (the CronJob)
  cloudai-optimizer epoch --dry-run -o json                          what an epoch would do
  cloudai-optimizer show                                             what is in force
  cloudai-optimizer diff                                             what the last release changed
  cloudai-optimizer publish --speeds config/reference-speeds.csv     start from known relative speeds
  cloudai-optimizer rollback                                         the last good parameters again
  cloudai-optimizer freeze "incident 42"                             no releases until: freeze --off

exit codes: 0 done (also: nothing to do, and why), 1 the cluster refused, 2 unusable input, 3 history cannot be read or
believed, 4 Prometheus is away or answers with rubbish, 5 the clock is wrong; the parameters in force stay"""
Command = Callable[[Transport, argparse.Namespace], Awaitable[None]]


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; exit codes as the help says."""
    arguments = _parser().parse_args(argv)
    try:
        if hasattr(arguments, "config"):
            aliases = {"MONGODB_URI": "mongodb_uri", "PROMETHEUS_URL": "prometheus_url"}
            arguments.settings = settings.merged(Settings, "cloudai-optimizer", arguments, os.environ, aliases)
            arguments.rules = arguments.settings.rules()
        asyncio.run(_connected(arguments))
    except OptimizerError as error:
        _end(error, error.exit_code)
    except (ConfigurationError, RtsError) as error:
        _end(error, 2)
    except KubeError as error:
        _end(error, 1)


def _end(error: Exception, code: int) -> None:
    logs.complain("cloudai-optimizer", error)
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

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        command.add_argument("-o", "--output", choices=["text", "json"], default="text")
        return command

    epoch = add("epoch", _epoch, "fit, replay, search, guard, publish; says why where it leaves things as they are")
    settings.add_flags(epoch, Settings)
    epoch.add_argument("--dry-run", action="store_true", help="decide, print, publish nothing")
    fit = add("fit", _fit, "fit the run-time model and show how well it explains what happened; publishes nothing")
    settings.add_flags(fit, Settings)
    add("show", _show, "show the parameters in force")
    add("diff", _diff, "show what the last release changed, and what a canary tries")
    publish = add("publish", _publish, "publish the parameters in force with some keys replaced")
    publish.add_argument("file", nargs="?", type=Path, help="YAML or JSON with any keys of the document")
    publish.add_argument("--speeds", type=Path, help="CSV type,gpu_product,factor: relative run times")
    publish.add_argument("--dry-run", action="store_true", help="print the document instead of publishing it")
    back = add("rollback", _rollback, "publish the content of the last good document under a new version")
    back.add_argument("--dry-run", action="store_true", help="say what would be in force, change nothing")
    freeze = add("freeze", _freeze, "let no epoch publish anything, and say why")
    freeze.add_argument("reason", nargs="?", default="frozen by hand")
    freeze.add_argument("--dry-run", action="store_true", help="change nothing")
    freeze.add_argument("--off", action="store_true", help="let epochs publish again")
    return parser


async def _connected(arguments: argparse.Namespace) -> None:
    async with Transport(connection.load(arguments.kubeconfig), "cloudai-optimizer", 4) as transport:
        await arguments.run(transport, arguments)


def _options(arguments: argparse.Namespace, told: Reporter = progress.silent) -> Options:
    merged: Settings = arguments.settings
    return Options(
        namespace=arguments.namespace,
        rules=arguments.rules,
        workers=merged.workers,
        seed=merged.seed,
        window_seconds=merged.hours * 3600.0,
        mongodb_uri=merged.mongodb_uri,
        mongodb_ca_file=merged.mongodb_ca_file,
        scheduler_name=merged.scheduler_name,
        scope=Scope(merged.watch_namespaces),
        prometheus=merged.access(),
        share=merged.share,
        dry_run=getattr(arguments, "dry_run", True),
        progress=told,
    )


async def _epoch(transport: Transport, arguments: argparse.Namespace) -> None:
    begun = time.monotonic()
    try:
        with progress.shown(sys.stderr) as shown:
            report = await cluster_epoch.epoch(transport, _options(arguments, shown))
    except Exception as error:
        if not arguments.dry_run:
            text = redacted(sentence(error))
            dropped = error.dropped if isinstance(error, OptimizerError) else None
            await announcement.announce(transport, arguments.namespace, announcement.EPOCH_FAILED, text)
            seconds = time.monotonic() - begun
            await _note(transport, arguments, "failed", text, seconds, dropped)
        raise
    if not arguments.dry_run:
        if not report.published:
            text = f"{report.result}: {report.reason}"
            await announcement.announce(transport, arguments.namespace, announcement.EPOCH_UNCHANGED, text)
        await _note(transport, arguments, report.result, report.reason, report.seconds, report.dropped())
    if arguments.output == "json":
        sys.stdout.write(json.dumps(report.as_json()) + "\n")
    else:
        sys.stdout.write(report.text() + "\n")


async def _note(
    transport: Transport,
    arguments: argparse.Namespace,
    result: str,
    reason: str,
    seconds: float,
    dropped: dict[str, int] | None,
) -> None:
    """Leave word of how the epoch ended; what it did is done, whether or not that succeeds."""
    note = EpochNote(timestamp.millis(time.time()), result, reason, round(seconds, 3), dropped)
    try:
        await config_map.note_epoch(transport, arguments.namespace, note)
    except KubeError as error:
        logs.complain("cloudai-optimizer", error)


async def _fit(transport: Transport, arguments: argparse.Namespace) -> None:
    outcome = await cluster_epoch.fit(transport, _options(arguments))
    if arguments.output == "json":
        sys.stdout.write(json.dumps(outcome.evidence()) + "\n")
        return
    sys.stdout.write(f"{outcome.reason}\n")
    for name, value in outcome.quality.items():
        sys.stdout.write(f"{name} {value:.3f}\n")


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
    if known.Canary is not None:
        sys.stdout.write(f"canary: version {known.Canary.Version} for {known.Canary.Share:.0%} of the tasks\n")
    if known.Evidence:
        sys.stdout.write(f"evidence: {json.dumps(known.Evidence)}\n")
    if published.frozen:
        sys.stdout.write(f"frozen: {published.frozen}\n")


async def _diff(transport: Transport, arguments: argparse.Namespace) -> None:
    published = await config_map.read(transport, arguments.namespace)
    pairs = []
    if published.previous is not None or published.document.version <= 1:
        pairs.append((published.previous or parameters.defaults(), published.document))
    if published.candidate is not None and published.document.Canary is not None:
        pairs.append((published.document, published.candidate))
    changes = [(old.version, new.version, publication.difference(old, new)) for old, new in pairs]
    if arguments.output == "json":
        rows = [{"from": old, "to": new, "values": {k: list(v) for k, v in keys.items()}} for old, new, keys in changes]
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    if not pairs:
        sys.stdout.write(f"version {published.document.version}: what was in force before it is not kept\n")
    for old, new, keys in changes:
        what = " (canary)" if published.candidate is not None and new == published.candidate.version else ""
        sys.stdout.write(f"version {old} -> {new}{what}: {len(keys)} values\n")
        for key, (before, after) in keys.items():
            sys.stdout.write(f"{key}: {before} -> {after}\n")


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
    texts: dict[str, str | None] = {
        contract.PARAMETERS_KEY: text,
        contract.CANDIDATE_KEY: None,
        **publication.FORGOTTEN,
    }
    if before.text:
        texts[contract.PREVIOUS_KEY] = before.text
    await config_map.write(transport, arguments.namespace, Change(texts), before)
    said = f"version {json.loads(text)['version']}: {', '.join(sorted(changes)) or 'relative speeds'}, by hand"
    await announcement.announce(transport, arguments.namespace, announcement.PUBLISHED, said)
    _say(arguments, {"version": json.loads(text)["version"]}, f"published version {json.loads(text)['version']}")


async def _rollback(transport: Transport, arguments: argparse.Namespace) -> None:
    before = await config_map.read(transport, arguments.namespace, even_unusable=True)
    change = publication.rollback(before, timestamp.millis(time.time()))
    version = publication.version_of(change)
    if arguments.dry_run:
        content = before.previous.version if before.previous is not None else 0
        _say(arguments, {"version": version, "content": content}, f"would publish {version}, the content of {content}")
        return
    await config_map.write(transport, arguments.namespace, change, before)
    said = f"version {version}: the last good parameters again, by hand"
    await announcement.announce(transport, arguments.namespace, announcement.ROLLED_BACK, said)
    _say(arguments, {"version": version}, f"rolled back; version {version}")


async def _freeze(transport: Transport, arguments: argparse.Namespace) -> None:
    before = await config_map.read(transport, arguments.namespace)
    reason = "" if arguments.off else arguments.reason
    if not before.text and arguments.off:
        raise OptimizerError("nothing is published yet, and nothing is frozen")
    if not arguments.dry_run:
        texts: dict[str, str | None] = {}
        if not before.text:  # the built-in parameters are published, so that there is something to freeze
            now = timestamp.millis(time.time())
            texts[contract.PARAMETERS_KEY] = publication.dumped(before.document, 1, now, None, {"Reason": "frozen"})
        await config_map.write(transport, arguments.namespace, Change(texts, frozen=reason), before)
        event = announcement.FROZEN if reason else announcement.THAWED
        await announcement.announce(transport, arguments.namespace, event, reason or "epochs may publish again")
    said = f"frozen: {reason}" if reason else "epochs may publish again"
    _say(arguments, {"frozen": reason}, f"would say: {said}" if arguments.dry_run else said)


def _say(arguments: argparse.Namespace, fields: dict[str, Any], text: str) -> None:
    sys.stdout.write((json.dumps(fields) if arguments.output == "json" else text) + "\n")


def _changes(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(_read(file))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{file} is neither YAML nor JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds a {type(content).__name__}; write keys of the parameter document")
    return content


def _read(file: Path) -> str:
    try:
        return bounded_file.read(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


if __name__ == "__main__":
    main()
