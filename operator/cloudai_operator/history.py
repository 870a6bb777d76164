"""History in MongoDB: every finished pod that we bound, once, whenever the database can be reached.

Nothing waits for it: records queue up in memory and are written behind everything else. Records of Tasks are derived
again from their status after a restart, until the status says that history has them; documents are keyed by pod UID, so
writing one twice changes nothing.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from bson.errors import BSONError
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure, PyMongoError

from cloudai_kube import foreign, task_history
from cloudai_kube.errors import ConfigurationError
from cloudai_kube.objects import Meta, Pod
from cloudai_kube.promise import Arrivals
from cloudai_kube.redaction import keep_secrets_of, redacted
from cloudai_operator.metrics import OperatorMetrics
from cloudai_operator.reconcile import Rules
from cloudai_rts.contract import ASSIGNMENTS, RESULTS, RETENTION_SECONDS, TASK_HISTORY, TASKS
from cloudai_rts.history import Record

BATCH: Final = 200
WAITING_MOST: Final = 50_000
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
SELECTION_MILLISECONDS: Final = 2_000
OPERATION_MILLISECONDS: Final = 5_000
_DUPLICATE_KEY: Final = 11000
_UNWRITABLE: Final = (BSONError, OverflowError)
"""The value itself is at fault. Whatever a server refuses (a full disk, a missing right) may be taken later."""
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_log = logging.getLogger(__name__)


def client(uri: str, ca_file: str = "") -> AsyncMongoClient[dict[str, Any]]:
    """A client that gives up soon: the driver's own patience of 30 s would outlast a Lease.

    With `ca_file` it talks only to a server that this authority vouches for. Raises `ConfigurationError` for a bad URI.
    """
    keep_secrets_of(uri, has_plain_query=True)
    try:
        return AsyncMongoClient(
            uri,
            appname="cloudai-operator",
            serverSelectionTimeoutMS=SELECTION_MILLISECONDS,
            connectTimeoutMS=SELECTION_MILLISECONDS,
            timeoutMS=OPERATION_MILLISECONDS,
            maxPoolSize=4,
            **task_history.tls(ca_file),
        )
    except (PyMongoError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"MONGODB_URI: {redacted(str(error))}; write mongodb://HOST:PORT/, or nothing"
        ) from None


@dataclass(slots=True)
class HistoryWriter:
    """Writes records behind everything else. `written` is called with the owner of each record that history has."""

    database: AsyncDatabase[dict[str, Any]]
    metrics: OperatorMetrics
    written: Callable[[str, str], None] = lambda _owner, _pod: None
    _waiting: OrderedDict[str, tuple[str, Record]] = field(default_factory=OrderedDict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _indexed: bool = False

    def offer(self, owner: str, record: Record) -> None:
        """Queue a record; `owner` is the UID of its Task, empty for others' pods. The oldest give way if too many."""
        self._waiting.setdefault(record.pod_uid, (owner, record))
        if len(self._waiting) > WAITING_MOST:
            self._waiting.popitem(last=False)
            self.metrics.history_dropped.inc()
        self.metrics.history_waiting.set(len(self._waiting))
        self._wake.set()

    async def run(self) -> None:
        """Write for ever; a database that is away, slow or half-open only delays."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            batch = list(self._waiting.values())[:BATCH]
            try:
                given_up = await self._write_or_single_out(batch)
            except PyMongoError as error:
                self.metrics.history_errors.inc()
                _log.info("history: %s; %d records wait, again in %.0f s", error, len(self._waiting), pause)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
                continue
            pause = FIRST_PAUSE_SECONDS
            for owner, record in batch:
                self._waiting.pop(record.pod_uid, None)
                self.written(owner, record.pod_uid)
            self.metrics.history_written.inc(len(batch) - given_up)
            self.metrics.history_dropped.inc(given_up)
            self.metrics.history_waiting.set(len(self._waiting))

    async def _write_or_single_out(self, batch: Sequence[tuple[str, Record]]) -> int:
        """Write a batch; what cannot even be written down as BSON is given up. Returns how many were."""
        try:
            await self._write([record for _, record in batch])
        except _UNWRITABLE:
            return sum([await self._give_up_if_unwritable(record) for _, record in batch])
        return 0

    async def _give_up_if_unwritable(self, record: Record) -> bool:
        try:
            await self._write([record])
        except _UNWRITABLE as error:
            _log.warning("the record of pod %s/%s is given up: %s", record.namespace, record.name, error)
            return True
        return False

    async def _write(self, batch: Sequence[Record]) -> None:
        if not self._indexed:
            await self._make_indexes()
            self._indexed = True
        await self._insert(TASK_HISTORY, [document(record) for record in batch])
        await self._insert(ASSIGNMENTS, [_assignment(record) for record in batch])
        await self._put(TASKS, {record.task_uid: _task(record) for record in batch})
        await self._put(RESULTS, {record.task_uid: _result(record) for record in batch})

    async def _make_indexes(self) -> None:
        for name in (TASK_HISTORY, ASSIGNMENTS, TASKS, RESULTS):
            await self.database[name].create_index([("finish", 1)])
            try:
                await self.database[name].create_index(
                    [("finished_at", 1)], expireAfterSeconds=round(RETENTION_SECONDS)
                )
            except OperationFailure as error:  # not every server with MongoDB's protocol knows TTL indexes
                _log.info("no TTL index on %s, the optimizer deletes what is old: %s", name, error)

    async def _put(self, collection: str, documents: Mapping[str, dict[str, Any]]) -> None:
        """Documents by key whose content may change. Nearly all are new: one request inserts those, few are updated."""
        for key in await self._insert(collection, [{"_id": key, **body} for key, body in documents.items()]):
            await self.database[collection].update_one({"_id": key}, {"$set": documents[key]}, upsert=True)

    async def _insert(self, collection: str, documents: Sequence[dict[str, Any]]) -> list[str]:
        """Insert what is new. Returns the keys that were there already."""
        try:
            await self.database[collection].insert_many(documents, ordered=False)
        except BulkWriteError as error:
            details = error.details
            if details.get("writeConcernErrors"):
                raise AutoReconnect(f"not yet safe: {details['writeConcernErrors']}") from error
            problems = details.get("writeErrors", [])
            if any(problem.get("code") != _DUPLICATE_KEY for problem in problems):
                raise
            return [documents[problem["index"]]["_id"] for problem in problems]
        return []


@dataclass(slots=True)
class PodStore:
    """Store of the reflector on pods that we bound and that are no Task's."""

    writer: HistoryWriter
    rules: Callable[[], Rules]
    arrivals: Arrivals = field(default_factory=Arrivals)

    def retain(self, listed: list[Meta]) -> None:
        """Take a list: what is gone has been recorded when it went, or never will be."""
        self.arrivals.keep(listed)

    def apply(self, event: str, pod: Pod) -> None:
        """Take an event; also a deletion shows the pod's last state."""
        self.arrivals.note(pod)
        record, rules = None, self.rules()
        if pod.status.phase in _FINISHED:
            record = foreign.record_of(pod, self.arrivals, rules.sla_multiplier, rules=rules.classes)
        elif event == "DELETED":
            record = foreign.record_of_deleted(pod, self.arrivals, rules.sla_multiplier, rules.classes)
        if record is not None:
            self.writer.offer("", record)


def document(record: Record) -> dict[str, Any]:
    """A record as TASK_HISTORY holds it: every field, so that a query need not know the defaults."""
    return {
        "_id": record.pod_uid,
        **msgspec.structs.asdict(record),
        "available": msgspec.structs.asdict(record.available),
        "runner_up": None if record.runner_up is None else msgspec.structs.asdict(record.runner_up),
        "runtime_s": record.runtime,
        "load_at_start": record.load,
        "sla_success": _succeeded(record),
        **_end(record),
    }


def _succeeded(record: Record) -> bool | None:
    return None if record.violated is None else not record.violated


def _end(record: Record) -> dict[str, Any]:
    """What every document is deleted by when it is old, in code and by the database itself."""
    return {"finish": record.finish, "finished_at": datetime.fromtimestamp(record.finish, UTC)}


def _assignment(record: Record) -> dict[str, Any]:
    return {
        "_id": record.pod_uid,
        "task": record.task_uid,
        "node": record.node,
        "policy": record.policy,
        "load": record.load,
        "predicted_runtime_s": record.predicted,
        "parameters_version": record.parameters_version,
        "start": record.start,
        **_end(record),
    }


def _task(record: Record) -> dict[str, Any]:
    return {
        "namespace": record.namespace,
        "name": record.name,
        "type": record.type,
        "arrival": record.arrival,
        "deadline": record.deadline,
        "tau": record.reference_runtime,
        "cpu": record.cpu,
        "memory": record.memory,
        "gpu": record.gpu,
        "storage": record.storage,
        "user": record.user,
        **_end(record),
    }


def _result(record: Record) -> dict[str, Any]:
    return {
        "outcome": record.outcome,
        "pod": record.pod_uid,
        "node": record.node,
        "runtime_s": record.runtime,
        "sla_success": _succeeded(record),
        **_end(record),
    }
