"""What the optimizer keeps in MongoDB: machines, minutes of nodes, what pods used; and what is old goes away.

Only calls that every server with MongoDB's protocol knows: find, insert_many, delete_many, update_one with upsert, and
updates in bulk.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from cloudai_kube.worker_registry import SEEN_SECONDS
from cloudai_optimizer.errors import HistoryError
from cloudai_rts import contract
from cloudai_rts.contract import ASSIGNMENTS, RESULTS, TASK_HISTORY, TASKS, WORKER_REGISTRY, WORKER_STATS
from cloudai_rts.history import Record
from cloudai_rts.machine import Machine

LONGEST_TASK_SECONDS: Final = 86_400.0 * 31
AGES: Final = {
    TASK_HISTORY: ("finish", 0.0),
    RESULTS: ("finish", 0.0),
    ASSIGNMENTS: ("start", 0.0),
    TASKS: ("arrival", LONGEST_TASK_SECONDS),
    WORKER_STATS: ("from", 0.0),
    WORKER_REGISTRY: ("seen", 0.0),
}
"""What says how old a document is, by collection, and how many seconds it may be older than the others."""
RUNS: Final = ("tasks_run", "sla_violations", "total_runtime_s")
_DUPLICATE_KEY: Final = 11000
_log = logging.getLogger(__name__)


def write_machines(database: Database[dict[str, Any]], machines: Sequence[Machine], now: float) -> None:
    """Bring WORKER_REGISTRY up to date. Raises `HistoryError`."""
    try:
        _expires(database[WORKER_REGISTRY], "seen_at")
        known = {row["_id"]: row for row in database[WORKER_REGISTRY].find({})}
        for machine in machines:
            node = machine.node
            registered = {
                "node_class": machine.node_class,
                "cpu": node.cpu,
                "memory": node.memory_bytes,
                "gpu": node.gpu,
                "gpu_product": node.gpu_product,
                "storage": node.storage_bytes,
                "pods": node.pods,
                "devices": [{"resource": name, "count": count} for name, count in sorted(machine.devices.items())],
                "since": max(0.0, machine.since),
                "seen": now,
                "seen_at": datetime.fromtimestamp(now, UTC),
            }
            before = known.get(node.node, {})
            same = {**before, **registered, **{key: before.get(key) for key in ("seen", "seen_at")}} == before
            if same and now - (before.get("seen") or 0.0) < SEEN_SECONDS:
                continue
            database[WORKER_REGISTRY].update_one({"_id": node.node}, {"$set": registered}, upsert=True)
    except PyMongoError as error:
        raise HistoryError(f"MongoDB does not answer: {error}") from error


def write_minutes(database: Database[dict[str, Any]], minutes: Sequence[Mapping[str, Any]]) -> None:
    """Add minutes to WORKER_STATS. What was measured stays; what was not, and runs recorded since, are added.

    Raises `HistoryError`.
    """
    if not minutes:
        return
    stats = database[WORKER_STATS]
    try:
        stats.create_index([("from", 1)])
        _expires(stats, "at")
        present = _insert(stats, [{**row, "at": datetime.fromtimestamp(row["from"], UTC)} for row in minutes])
        changes = [change for index in present for change in _additions(minutes[index])]
        if changes:
            stats.bulk_write(changes, ordered=False)
    except PyMongoError as error:
        raise HistoryError(f"MongoDB does not answer: {error}") from error


def _additions(minute: Mapping[str, Any]) -> list[UpdateOne]:
    """What a minute that is there already may lack. A sum that is read from a part of its runs takes nothing away."""
    changes = []
    if minute["tasks_run"]:
        changes.append(UpdateOne({"_id": minute["_id"]}, {"$max": {name: minute[name] for name in RUNS}}))
    if minute["total_s"]:
        measured = {name: value for name, value in minute.items() if name not in {"_id", *RUNS}}
        changes.append(UpdateOne({"_id": minute["_id"], "total_s": 0.0}, {"$set": measured}))
    return changes


def _insert(collection: Collection[dict[str, Any]], rows: list[dict[str, Any]]) -> list[int]:
    """Insert what is not there yet; returns the indices of those that are. Raises `HistoryError`."""
    try:
        collection.insert_many(rows, ordered=False)
    except BulkWriteError as error:
        problems = error.details.get("writeErrors", [])
        if any(problem.get("code") != _DUPLICATE_KEY for problem in problems):
            raise HistoryError(f"MongoDB refuses minutes: {str(error.details)[:300]}") from error
        return [problem["index"] for problem in problems]
    return []


def measured_until(database: Database[dict[str, Any]], now: float) -> float | None:
    """Beginning of the newest minute of WORKER_STATS that was measured, seconds since the epoch; None without any.

    Raises `HistoryError`.
    """
    try:
        newest = database[WORKER_STATS].find_one(
            {"from": {"$lte": now}, "total_s": {"$gt": 0}}, {"from": 1}, sort=[("from", -1)]
        )
    except PyMongoError as error:
        raise HistoryError(f"MongoDB does not answer: {error}") from error
    return None if newest is None else float(newest["from"])


USED: Final = ("used_cpu", "used_memory", "used_gpu")


def write_use(database: Database[dict[str, Any]], records: Sequence[Record]) -> None:
    """Add what their pods really used to these records, all in one go. Raises `HistoryError`."""
    changes = [
        UpdateOne(
            {"_id": record.pod_uid},
            {"$set": {name: value for name in USED if (value := getattr(record, name)) is not None}},
        )
        for record in records
    ]
    if not changes:
        return
    try:
        database[TASK_HISTORY].bulk_write(changes, ordered=False)
    except PyMongoError as error:
        raise HistoryError(f"MongoDB does not answer: {error}") from error


def _expires(collection: Collection[dict[str, Any]], date: str) -> None:
    try:
        collection.create_index([(date, 1)], expireAfterSeconds=round(contract.RETENTION_SECONDS))
    except OperationFailure as error:  # not every server with MongoDB's protocol knows TTL indexes
        _log.info("no TTL index on %s, what is old is deleted by the epochs: %s", collection.name, error)


def prune(database: Database[dict[str, Any]], now: float) -> int:
    """Delete what is older than the retention; in code, because not every server has TTL indexes. Returns how many.

    Age counts from the newest document that is not from the future: a clock that is ahead must not delete everything.
    Raises `HistoryError`.
    """
    deleted = {}
    try:
        for name, (key, grace_seconds) in AGES.items():
            newest = database[name].find_one({key: {"$lte": now}}, {key: 1}, sort=[(key, -1)])
            if newest is not None:
                limit = newest[key] - contract.RETENTION_SECONDS - grace_seconds
                deleted[name] = database[name].delete_many({key: {"$lt": limit}}).deleted_count
    except PyMongoError as error:
        raise HistoryError(f"MongoDB does not answer: {error}") from error
    return deleted.get(TASK_HISTORY, 0)
