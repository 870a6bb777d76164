"""What an epoch looks at: machines, what strangers keep of them, what was measured, and what has finished."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from pymongo.database import Database

from cloudai_kube import (
    class_rules,
    inventory,
    node_use,
    pod_use,
    task_history,
    telemetry,
    worker_minutes,
    worker_registry,
)
from cloudai_kube.errors import ConfigurationError, DatabaseError, PrometheusError
from cloudai_kube.node_use import NodeUse
from cloudai_kube.objects import Node
from cloudai_kube.pod_use import PodUse
from cloudai_kube.prometheus import Prometheus
from cloudai_kube.prometheus_access import Access
from cloudai_kube.scope import EVERYWHERE, Scope
from cloudai_kube.series import NodeNames
from cloudai_kube.telemetry import MAX_CORES
from cloudai_kube.transport import Transport
from cloudai_kube.worker_minutes import MINUTE_SECONDS, Ended, Minute
from cloudai_optimizer.errors import MEASUREMENT, HistoryError, InputError, TelemetryError, counted
from cloudai_optimizer.observe import store
from cloudai_rts import contract
from cloudai_rts.history import RUNNING, Record
from cloudai_rts.machine import Machine

MEASURED_SECONDS: Final = 900.0
"""How far back minutes are read at least: runs that ended in them may have been recorded late."""
LONGEST_MEASURED_SECONDS: Final = 3 * 3600.0
"""How far back they are read at most, if no epoch has run for so long."""
MIN_USABLE_SHARE: Final = 0.8
MIN_MEASURED_SECONDS: Final = 5.0
"""A pod that was looked at earlier than that says nothing yet: its times are whole seconds."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look; empty or None: not there. `keep`: whether what is found may be written to the database.

    The scheduler publishes its rules of node classes in `namespace`. What it binds under `scheduler_name` is ours;
    history counts only from namespaces in `scope`.
    """

    mongodb_uri: str
    prometheus: Access | None
    window_seconds: float
    keep: bool
    namespace: str = contract.NAMESPACE
    scheduler_name: str = contract.SCHEDULER_NAME
    scope: Scope = EVERYWHERE
    mongodb_ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    """What has ended and what runs, and how many documents of it nobody can read."""

    records: list[Record]
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Observations:
    """What was found, and how many measurements could not be used, by what was wrong with them.

    `machines` are also those that are gone, if a database remembers them.
    """

    records: list[Record]
    machines: list[Machine]
    use: NodeUse
    dropped: Counter[str]


async def history(transport: Transport, sources: Sources, now: float) -> Past:
    """From the database if there is one, else from the status of the Tasks that still exist; with those that run."""
    since = now - sources.window_seconds
    rules = await class_rules.read_or_default(transport, sources.namespace)
    ours = inventory.Ours(sources.scheduler_name, sources.scope)
    attempts = await inventory.attempts(transport, now, bool(sources.mongodb_uri), rules.classes(), ours)
    if not sources.mongodb_uri:
        return Past([record for record in attempts if record.finish >= since])
    with _database(sources) as database:
        recorded, unreadable = task_history.read(database, since)
        if sources.keep:
            store.prune(database, now)
    records = [record for record in recorded if record.namespace in sources.scope]
    return Past(task_history.with_running(records, attempts), unreadable)


@contextmanager
def _database(sources: Sources) -> Iterator[Database[dict[str, Any]]]:
    """The database. Whatever goes wrong with it is a `HistoryError`, a bad URI an `InputError`."""
    try:
        with task_history.connected(sources.mongodb_uri, contract.OPTIMIZER_NAME, sources.mongodb_ca_file) as database:
            yield database
    except ConfigurationError as error:
        raise InputError(str(error)) from error
    except DatabaseError as error:
        raise HistoryError(str(error)) from error


async def look(transport: Transport, sources: Sources, records: Sequence[Record], now: float) -> Observations:
    """Machines and what was measured of them. Raises `TelemetryError`: nothing is learned from half of it."""
    nodes = await inventory.nodes(transport)
    rules = await class_rules.read_or_default(transport, sources.namespace)
    machines = inventory.machines(nodes, await inventory.occupied(transport, sources.scheduler_name), rules.classes())
    if not sources.mongodb_uri:
        measured = await _measure(sources, nodes, records, _measured_from(None, now), now)
        use = node_use.use_of(worker_minutes.documents(measured.minutes, machines, {}))
        return Observations(measured.records, machines, use, measured.dropped)
    with _database(sources) as database:
        begin = _measured_from(store.measured_until(database, now), now)
        measured = await _measure(sources, nodes, records, begin, now)
        if sources.keep:
            ended = _ended(records, begin, now)
            store.write_machines(database, machines, now)
            store.write_minutes(database, worker_minutes.documents(measured.minutes, machines, ended))
            new = [record for record, old in zip(measured.records, records, strict=True) if record is not old]
            store.write_use(database, new)
        since = now - sources.window_seconds
        machines += worker_registry.gone_machines(database, machines, since)
        return Observations(measured.records, machines, node_use.read(database, since), measured.dropped)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What Prometheus says: minutes of nodes, the records with what their pods used, what could not be used."""

    records: list[Record]
    minutes: dict[worker_minutes.Key, Minute]
    dropped: Counter[str]


async def _measure(
    sources: Sources, nodes: Sequence[Node], records: Sequence[Record], begin: float, now: float
) -> _Measured:
    """Minutes from `begin` on. Nothing where there is no Prometheus. Raises `TelemetryError`."""
    dropped = Counter[str]()
    if sources.prometheus is None:
        return _Measured(list(records), {}, dropped)
    try:
        source = Prometheus(sources.prometheus)
        minutes, used = await asyncio.to_thread(_ask, source, nodes, begin, now, dropped)
    except PrometheusError as error:
        raise TelemetryError(f"{error}; the parameters stay as they are") from error
    lately = now - MEASURED_SECONDS
    return _Measured([with_use(record, used, lately) for record in records], minutes, dropped)


def _measured_from(newest: float | None, now: float) -> float:
    """From when on minutes are read: where those that are kept end, within limits."""
    wished = now if newest is None else newest
    return min(now - MEASURED_SECONDS, max(wished, now - LONGEST_MEASURED_SECONDS))


def _ask(
    source: Prometheus, nodes: Sequence[Node], begin: float, now: float, dropped: Counter[str]
) -> tuple[dict[worker_minutes.Key, Minute], dict[tuple[str, str], PodUse]]:
    snapshot = telemetry.read(source, NodeNames.of_nodes(nodes), now)
    dropped.update(snapshot.dropped)
    share = snapshot.usable_share(len(nodes))
    if share < MIN_USABLE_SHARE:
        raise TelemetryError(
            f"the load of only {share:.0%} of the nodes is known (dropped: {dict(snapshot.dropped)}), "
            f"{MIN_USABLE_SHARE:.0%} are needed; check node-exporter. The parameters stay as they are",
            counted(MEASUREMENT, dropped),
        )
    minutes = worker_minutes.read(source, snapshot.names, now - MEASURED_SECONDS, now - MINUTE_SECONDS, dropped)
    used = pod_use.read(source, MEASURED_SECONDS, dropped)
    return {**_earlier(source, snapshot.names, begin, now - MEASURED_SECONDS, dropped), **minutes}, used


def _earlier(
    source: Prometheus, names: NodeNames, begin: float, end: float, dropped: Counter[str]
) -> dict[worker_minutes.Key, Minute]:
    """Minutes that no epoch has read yet, piece by piece, the newest first; as far as Prometheus can tell."""
    minutes: dict[worker_minutes.Key, Minute] = {}
    while end > begin:
        first = max(begin, end - MEASURED_SECONDS)
        try:
            minutes |= worker_minutes.read(source, names, first, end - MINUTE_SECONDS, dropped)
        except PrometheusError as error:  # what is long ago must not keep anybody from learning
            _log.warning("minutes before %.0f cannot be read: %s", end, error)
            break
        end = first
    return minutes


def with_use(record: Record, used: Mapping[tuple[str, str], PodUse], since: float) -> Record:
    """The record with what its pod really used, if it ended since (epoch seconds) and that was measured."""
    if record.used_cpu is not None or record.outcome == RUNNING or record.finish < since:
        return record
    use = used.get((record.namespace, record.pod_name))
    if use is None or use.at - record.start < MIN_MEASURED_SECONDS:
        return record
    cores = use.seconds / (use.at - record.start)
    if cores > MAX_CORES:
        return record
    return msgspec.structs.replace(record, used_cpu=cores, used_memory=use.memory, used_gpu=use.gpu)


def _ended(records: Sequence[Record], begin: float, now: float) -> dict[worker_minutes.Key, Ended]:
    """What ended in the minutes that are measured."""
    ended: dict[worker_minutes.Key, Ended] = {}
    for record in records:
        minute = int(record.finish // MINUTE_SECONDS) * int(MINUTE_SECONDS)
        lately = begin - MINUTE_SECONDS < minute <= now - MINUTE_SECONDS
        if record.outcome == RUNNING or record.runtime <= 0 or not lately:
            continue
        counts = ended.setdefault((record.node, minute), Ended())
        counts.runs += 1
        counts.late += bool(record.violated)
        counts.seconds += record.runtime
    return ended
