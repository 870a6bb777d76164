"""History in a database with MongoDB's protocol: everything arrives once, whatever happens to the database."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pymongo import AsyncMongoClient, MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from tests.e2e.conftest import Cluster, check_history

from cloudai_operator.history import HistoryWriter
from cloudai_operator.metrics import OperatorMetrics
from cloudai_optimizer.observe import store
from cloudai_optimizer.observe.store import AGES
from cloudai_rts import contract
from cloudai_rts.history import Record
from cloudai_rts.machine import Machine
from cloudai_rts.traces import FleetNode
from cloudai_sandbox.sandbox import Sandbox
from cloudai_sandbox.services import MONGODB, start_mongodb

OPERATOR = "cloudai-operator"
GIVEN = os.environ.get("MONGODB_URI", "")
"""A real MongoDB to test with, if there is one; it is not ours to kill."""
ours_only = pytest.mark.skipif(bool(GIVEN), reason="MONGODB_URI names a database that is not the sandbox's own")


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with a database."""
    settings = {OPERATOR: {"RETRY_FIRST_SECONDS": "0.5", **({"MONGODB_URI": GIVEN} if GIVEN else {})}}
    folder = tmp_path_factory.mktemp("remembering")
    with Sandbox(folder, nodes=4, settings=settings, services=() if GIVEN else (MONGODB,)) as running:
        yield running
        check_history(running)


@pytest.fixture
def cluster(remembering: Sandbox) -> Cluster:
    """The sandbox of this module."""
    return Cluster(remembering)


def documents(cluster: Cluster, prefix: str) -> list[dict[str, Any]]:
    """What history holds of these Tasks or pods."""
    uri = GIVEN or cluster.sandbox.urls[MONGODB]
    with MongoClient[dict[str, Any]](uri, timeoutMS=3000) as client:
        mine = {task["metadata"]["uid"] for task in cluster.get("tasks.cloudai.dev")["items"]}
        mine |= {pod["metadata"]["uid"] for pod in cluster.get("pods")["items"]}
        found = client["cloudai"]["TASK_HISTORY"].find({"name": {"$regex": f"^{prefix}-"}})
        return [one for one in found if not GIVEN or one["task_uid"] in mine or one["outcome"] == "Deleted"]


def names(prefix: str, count: int) -> list[str]:
    """Names of Tasks."""
    return [f"{prefix}-{number}" for number in range(count)]


def run(cluster: Cluster, prefix: str, count: int) -> None:
    """Tasks from apply to Complete; they take a second."""
    runtime = {"sandbox.cloudai.dev/runtime-seconds": "1.2"}
    cluster.apply(*(cluster.task(name, runtime, sla={"finishWithin": "1h"}) for name in names(prefix, count)))
    cluster.complete(*names(prefix, count))


def test_what_is_remembered_of_a_run(cluster: Cluster) -> None:
    """Tasks' pods and others', with the regressors of the decision, marked in the Task's status."""
    cluster.apply(cluster.pod("plain-0", {"sandbox.cloudai.dev/runtime-seconds": "1.2"}))
    run(cluster, "seen", 5)
    cluster.wait(lambda: len(documents(cluster, "seen")) == 5)
    cluster.wait(lambda: len(documents(cluster, "plain")) == 1)
    one = documents(cluster, "seen")[0]
    assert (one["outcome"], one["sla_success"], one["policy"]) == ("Succeeded", True, "rts")
    assert (one["cpu"], one["memory"], one["node_class"]) == (1.0, float(1 << 30), "32c-256g")
    assert one["available"]["cpu"] > 0
    assert 0 < one["runtime_s"] <= 5
    assert (one["model"], one["fallback_reason"], one["runner_up"]["node"] != one["node"]) == ("lateness", None, True)
    assert isinstance(one["risk"], float)
    cluster.wait(lambda: all(cluster.status(name)["attempts"][0].get("recorded") for name in names("seen", 5)))


@ours_only
def test_a_database_that_is_away(cluster: Cluster) -> None:
    """Killed: Tasks run as ever; the operator is killed too; in the end every record is there, none twice."""
    child = cluster.sandbox.process(MONGODB)
    port = int(cluster.sandbox.urls[MONGODB].rstrip("/").rpartition(":")[2])
    child.kill()
    cluster.sandbox.children.running.remove(child)
    cluster.apply(cluster.pod("away-pod", {"sandbox.cloudai.dev/runtime-seconds": "1.2"}))
    run(cluster, "away", 12)
    os.kill(cluster.sandbox.process(OPERATOR).process.pid, signal.SIGKILL)
    time.sleep(0.3)
    cluster.wait(cluster.sandbox.revive, 5)
    runtime = {"sandbox.cloudai.dev/runtime-seconds": "1.2"}
    cluster.apply(cluster.task("away-ttl", runtime, ttlSecondsAfterFinished=0, sla={"finishWithin": "1h"}))
    cluster.complete("away-ttl")
    time.sleep(1.5)
    assert cluster.status("away-ttl")["attempts"][0].get("recorded") is None
    start_mongodb(cluster.sandbox.folder, cluster.sandbox.children, lambda _text: None, port)
    cluster.wait(lambda: len(documents(cluster, "away")) >= 14, 60)
    found = documents(cluster, "away")
    assert sorted(one["name"] for one in found) == sorted([*names("away", 12), "away-pod", "away-ttl"])
    assert len({one["_id"] for one in found}) == 14
    cluster.wait(lambda: not cluster.plane.kubectl("get", "ctask", "away-ttl", "--ignore-not-found", "--output=name"))


@ours_only
def test_a_slow_database(cluster: Cluster) -> None:
    """Every answer takes a second or two: Tasks and pods run as ever, and all are remembered, once."""
    process = cluster.sandbox.process(MONGODB).process
    stop = threading.Event()

    def slow_down() -> None:
        while not stop.is_set():
            os.kill(process.pid, signal.SIGSTOP)
            stop.wait(1.5)
            os.kill(process.pid, signal.SIGCONT)
            stop.wait(0.05)

    thread = threading.Thread(target=slow_down)
    thread.start()
    try:
        cluster.apply(cluster.pod("slow-pod", {"sandbox.cloudai.dev/runtime-seconds": "1.2"}))
        begun = time.monotonic()
        run(cluster, "slow", 8)
        assert time.monotonic() - begun < 30
    finally:
        stop.set()
        thread.join()
    cluster.wait(lambda: len(documents(cluster, "slow")) >= 9, 60)
    assert sorted(one["name"] for one in documents(cluster, "slow")) == sorted([*names("slow", 8), "slow-pod"])


class Commands(CommandListener):
    """What was really asked of the database."""

    def __init__(self) -> None:
        self.indexes: dict[str, set[float | None]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """Keep how long documents may get, by collection and index."""
        if event.command_name == "createIndexes":
            kept = self.indexes.setdefault(event.command["createIndexes"], set())
            kept |= {one.get("expireAfterSeconds") for one in event.command["indexes"]}

    def succeeded(self, _event: CommandSucceededEvent) -> None:
        """Nothing."""

    def failed(self, _event: CommandFailedEvent) -> None:
        """Nothing."""


def test_every_collection_is_to_forget_by_itself(cluster: Cluster) -> None:
    """The writer asks for the TTL index; a server that knows none is no error."""
    heard = Commands()
    uri = GIVEN or cluster.sandbox.urls[MONGODB]
    now = time.time()
    one = Record("ttl", "ttl", "default", "x", "t", "n", "k", now, now, now + 1, "Succeeded", 1.0, 1.0)

    async def write() -> None:
        async with AsyncMongoClient[dict[str, Any]](uri, timeoutMS=10_000, event_listeners=[heard]) as client:
            done = asyncio.Event()
            metrics = OperatorMetrics(CollectorRegistry())
            writer = HistoryWriter(client["forgetful"], metrics, lambda _owner, _pod: done.set())
            writer.offer("", one)
            task = asyncio.create_task(writer.run())
            await asyncio.wait_for(done.wait(), 20)
            task.cancel()

    asyncio.run(write())
    nothing = {"tasks_run": 0, "sla_violations": 0, "total_runtime_s": 0.0}
    minute = {"_id": "n/0", "node": "n", "from": 60.0, "total_s": 60.0, "cpu": 1.0, **nothing}
    unmeasured = {"_id": "n/1", "node": "n", "from": 120.0, "total_s": 0.0, "cpu": None, **nothing}
    with MongoClient[dict[str, Any]](uri, timeoutMS=10_000, event_listeners=[heard]) as client:
        database = client["forgetful"]
        store.write_machines(database, [Machine(FleetNode("n", 1, 1, 0, "", 0, 1), "k")], now)
        store.write_minutes(database, [minute, unmeasured])
        assert store.measured_until(database, now) == 60.0
        recorded_late = {**minute, "cpu": 99.0, "tasks_run": 2, "sla_violations": 1, "total_runtime_s": 9.0}
        store.write_minutes(database, [recorded_late, {**unmeasured, "total_s": 60.0, "cpu": 3.0}])
        store.write_minutes(database, [{**recorded_late, "tasks_run": 1, "total_runtime_s": 4.0}])
        first, second = database["WORKER_STATS"].find({}).sort("from", 1)
        assert (first["tasks_run"], first["sla_violations"], first["total_runtime_s"]) == (2, 1, 9.0)
        assert (first["cpu"], second["cpu"]) == (1.0, 3.0)
        assert store.measured_until(database, now) == 120.0
        client.drop_database("forgetful")
    assert {name for name, ages in heard.indexes.items() if contract.RETENTION_SECONDS in ages} == set(AGES)


@ours_only
def test_what_is_old_is_deleted(cluster: Cluster) -> None:
    """By code, in every collection, and only that, whatever the clock says; servers with TTL indexes do it too."""
    now = time.time()
    old = now - contract.RETENTION_SECONDS - 60.0
    with MongoClient[dict[str, Any]](cluster.sandbox.urls[MONGODB], timeoutMS=10_000) as client:
        database = client["retention"]
        assert store.prune(database, now) == 0
        for name, (key, grace) in AGES.items():
            moments = {"old": old - grace, "new": now, "from the future": now + 1e8}
            database[name].insert_many([{"_id": one, key: at} for one, at in moments.items()])
        assert store.prune(database, now + 40 * 86_400.0) == 1
        left = {name: {one["_id"] for one in database[name].find({})} for name in AGES}
        assert left == {name: {"new", "from the future"} for name in AGES}
        assert store.prune(database, now - 40 * 86_400.0) == 0
    assert len(left) == 6


def test_a_task_that_is_deleted_while_it_runs(cluster: Cluster) -> None:
    """So long it ran at least: that is known for good, though the Task is gone."""
    cluster.apply(cluster.task("deleted-0", {"sandbox.cloudai.dev/runtime-seconds": "600"}))
    cluster.wait(lambda: cluster.status("deleted-0").get("state") == "Running")
    began = time.time()
    cluster.plane.kubectl("delete", "ctask", "deleted-0")
    cluster.wait(lambda: len(documents(cluster, "deleted")) == 1)
    [found] = documents(cluster, "deleted")
    assert found["outcome"] == "Deleted"
    assert abs(found["finish"] - began) < 10.0
    assert found["node"].startswith("node-")


@ours_only
def test_a_database_that_hangs(cluster: Cluster) -> None:
    """Half-open: nobody waits for it, and afterwards everything is there."""
    process = cluster.sandbox.process(MONGODB).process
    os.kill(process.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        run(cluster, "hung", 8)
        assert time.monotonic() - begun < 30
    finally:
        os.kill(process.pid, signal.SIGCONT)
    cluster.wait(lambda: len(documents(cluster, "hung")) == 8, 60)
