"""The writer never loses a record that can be written, and never stops for one that cannot."""

import asyncio
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from pymongo.errors import AutoReconnect, BulkWriteError

from cloudai_kube.errors import ConfigurationError
from cloudai_operator import history
from cloudai_operator.history import HistoryWriter, document
from cloudai_operator.metrics import OperatorMetrics
from cloudai_rts import contract
from cloudai_rts.history import Record


def record(number: int, **fields: Any) -> Record:
    """A record."""
    return Record(f"p{number}", f"t{number}", "ns", "n", "t", "n", "k", 0.0, 1.0, 2.0, "Succeeded", 1.0, 1.0, **fields)


class Collection:
    """A collection that fails as a test says."""

    def __init__(self, failures: list[Exception], poison: str) -> None:
        self.documents: dict[str, Any] = {}
        self.failures, self.poison = failures, poison

    async def create_index(self, _keys: object, **_options: object) -> None:
        """Nothing."""

    async def insert_many(self, documents: list[dict[str, Any]], ordered: bool) -> None:
        """Insert what is new; fail first if there is something to fail with."""
        assert not ordered
        if self.failures:
            raise self.failures.pop(0)
        if any(one["_id"] == self.poison for one in documents):
            raise OverflowError("BSON can only handle up to 8-byte ints")
        there = [index for index, one in enumerate(documents) if one["_id"] in self.documents]
        for one in documents:
            self.documents.setdefault(one["_id"], one)
        if there:
            raise BulkWriteError({"writeErrors": [{"code": 11000, "index": index} for index in there]})

    async def update_one(self, key: dict[str, Any], change: dict[str, Any], upsert: bool) -> None:
        """Upsert."""
        assert upsert
        self.documents[key["_id"]] |= change["$set"]


class Database(dict[str, Collection]):
    """Collections by name."""

    def __init__(self, failures: list[Exception], poison: str = "") -> None:
        super().__init__()
        self.failures, self.poison = failures, poison

    def __missing__(self, name: str) -> Collection:
        self[name] = Collection(self.failures, self.poison)
        return self[name]


def write(database: Database, count: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Offer records (each twice) and run until all are settled. Returns the pods that were reported as written."""
    monkeypatch.setattr(history, "FIRST_PAUSE_SECONDS", 0.0)
    written: list[str] = []
    metrics = OperatorMetrics(CollectorRegistry())
    writer = HistoryWriter(database, metrics, lambda _owner, pod: written.append(pod))  # type: ignore[arg-type]  # a database in memory

    async def run() -> None:
        for number in [*range(count), *range(count)]:
            writer.offer(f"t{number}", record(number))
        task = asyncio.create_task(writer.run())
        while len(written) < count:
            assert not task.done()
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(asyncio.wait_for(run(), 10))
    return written


@pytest.mark.parametrize(
    "failures",
    [
        [],
        [AutoReconnect("away"), AutoReconnect("away")],
        [BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64}]})],
    ],
    ids=["well", "away", "not-yet-safe"],
)
def test_everything_arrives_once(failures: list[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happened on the way."""
    database = Database(failures)
    assert sorted(write(database, 5, monkeypatch)) == [f"p{i}" for i in range(5)]
    assert len(database[contract.TASKS].documents) == 5


def test_a_second_attempt_changes_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """RESULTS has one document a Task, that of its last attempt; history has both."""
    database = Database([])
    write(database, 1, monkeypatch)
    later = msgspec.structs.replace(record(0), pod_uid="p0-again", finish=9.0)
    writer = HistoryWriter(database, OperatorMetrics(CollectorRegistry()))  # type: ignore[arg-type]  # a database in memory

    async def run() -> None:
        done = asyncio.Event()
        writer.written = lambda _owner, _pod: done.set()
        writer.offer("t0", later)
        task = asyncio.create_task(writer.run())
        await done.wait()
        task.cancel()

    asyncio.run(asyncio.wait_for(run(), 10))
    assert database[contract.RESULTS].documents["t0"]["finish"] == 9.0
    assert set(database[contract.TASK_HISTORY].documents) == {"p0", "p0-again"}


def test_one_that_cannot_be_stored_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up and counted; the others are stored."""
    database = Database([], poison="p2")
    write(database, 5, monkeypatch)
    assert set(database[contract.TASK_HISTORY].documents) == {"p0", "p1", "p3", "p4"}


def test_what_a_document_says() -> None:
    """Run time and verdict beside the fields of the record; its key is the pod."""
    found = document(record(1, deadline=1.5))
    assert (found["_id"], found["runtime_s"], found["sla_success"]) == ("p1", 1.0, False)


@pytest.mark.parametrize("uri", ["mongodb://a b:x/", "http://mongo", "mongodb://"])
def test_an_address_that_is_none(uri: str) -> None:
    """The message says which setting, what is wrong with it, and what one looks like."""
    with pytest.raises(ConfigurationError, match=r"MONGODB_URI: .*; write mongodb://HOST:PORT/"):
        history.client(uri)
