"""The whole loop on a real cluster: history in MongoDB and measurements from Prometheus become parameters in use.

And what must not happen: with bad measurements, or history that is not to be believed, everything stays as it is.
"""

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from tests.e2e.conftest import Cluster, check_history

from cloudai_kube import connection, prometheus
from cloudai_kube.transport import Transport
from cloudai_optimizer import cluster_epoch
from cloudai_optimizer.cluster_epoch import Options, Report
from cloudai_optimizer.errors import TelemetryError
from cloudai_sandbox.sandbox import Sandbox
from cloudai_sandbox.services import MONGODB, PROMETHEUS

NAMESPACE = "cloudai-system"
NODES = 5
SEEDS = 10
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with Prometheus and a database."""
    settings = {"cloudai-scheduler": {"TELEMETRY_SECONDS": "2"}}
    folder = tmp_path_factory.mktemp("whole")
    with Sandbox(folder, nodes=NODES, gpus=2, settings=settings, services=(PROMETHEUS, MONGODB)) as running:
        yield running
        check_history(running)


@pytest.fixture
def cluster(whole: Sandbox) -> Cluster:
    """The sandbox of this module."""
    return Cluster(whole)


@pytest.fixture
def database(whole: Sandbox) -> Iterator[Database[dict[str, Any]]]:
    """What the processes wrote."""
    with MongoClient[dict[str, Any]](whole.urls[MONGODB], timeoutMS=5000) as client:
        yield client["cloudai"]


def optimize(cluster: Cluster, *arguments: str, code: int = 0) -> str:
    """The command under its own service account; what it said."""
    kubeconfig = cluster.plane.service_account_kubeconfig("cloudai-optimizer")
    command = [sys.executable, "-m", "cloudai_optimizer", "--kubeconfig", str(kubeconfig), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def in_force(cluster: Cluster) -> str:
    """The text of the parameters."""
    return str(cluster.get("configmap", "cloudai-parameters", f"--namespace={NAMESPACE}")["data"]["ga_output.json"])


def test_the_loop_closes(cluster: Cluster, database: Database[dict[str, Any]]) -> None:
    """Finished, recorded, measured, fitted, published, in use; told by the operator; what is too old is deleted."""
    names = [f"loop-{number}" for number in range(14)]
    notes = {"sandbox.cloudai.dev/runtime-seconds": "2"}
    cluster.apply(*(cluster.task(name, notes, type="cpu-light", sla={"finishWithin": "1h"}) for name in names))
    cluster.complete(*names)
    cluster.wait(lambda: database["TASK_HISTORY"].count_documents({}) == len(names))
    database["TASK_HISTORY"].insert_one({"_id": "old", "finish": 1000.0})
    database["RESULTS"].insert_one({"_id": "old", "finish": 1000.0})
    cluster.wait(lambda: cluster.metric("cloudai-scheduler", "cloudai_scheduler_telemetry_nodes") == NODES, 60)
    sources = ["--mongodb-uri", cluster.sandbox.urls[MONGODB], "--prometheus-url", cluster.sandbox.urls[PROMETHEUS]]
    report = json.loads(optimize(cluster, "epoch", "-o", "json", *sources))
    assert (report["result"], report["version"], report["evidence"]["Tasks"]) == ("fitted", 1, len(names))
    cluster.wait(lambda: cluster.metric("cloudai-scheduler", "cloudai_rts_parameter_version") == 1, 5)
    cluster.wait(lambda: cluster.metric("cloudai-operator", "cloudai_ga_training_data_points") == len(names), 5)
    ended = 'cloudai_ga_last_epoch_timestamp_seconds{result="fitted"}'
    cluster.wait(lambda: abs(cluster.metric("cloudai-operator", ended) - time.time()) < 60, 5)
    assert {row["_id"] for row in database["WORKER_REGISTRY"].find()} == {f"node-{i}" for i in range(NODES)}
    minutes = list(database["WORKER_STATS"].find({}))
    assert minutes == [] or all(0 <= row["load"] < 2 for row in minutes if row["load"] is not None)
    assert database["TASK_HISTORY"].count_documents({"_id": "old"}) == 0
    assert database["RESULTS"].count_documents({"_id": "old"}) == 0
    fitted = optimize(cluster, "fit", *sources)
    assert "run times fitted on 14 tasks" in fitted


class Metrics(HTTPServer):
    """A Prometheus that says what a test wants it to say. `status` is that of HTTP."""

    rows: Callable[[str], Rows] = staticmethod(lambda _query: [])
    status = 200
    warnings: tuple[str, ...] = ()
    pause_seconds = 0.0


class Handler(BaseHTTPRequestHandler):
    """One answer."""

    server: Metrics

    def do_GET(self) -> None:
        """Answer an instant query, or one over time with nothing."""
        asked = urlparse(self.path)
        query = parse_qs(asked.query).get("query", [""])[0]
        rows = [] if asked.path.endswith("query_range") else self.server.rows(query)
        body = {"status": "success", "data": {"resultType": "vector", "result": rows}, "warnings": self.server.warnings}
        time.sleep(self.server.pause_seconds)
        try:
            self.send_response(self.server.status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())
        except OSError:
            return

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    """A server on the loopback."""
    with Metrics(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def sample(node: str, value: object) -> dict[str, Any]:
    """A row of an answer."""
    return {"metric": {"node": node, "UUID": f"gpu-{node}"}, "value": [time.time(), str(value)]}


def healthy(query: str, rng: random.Random) -> Rows:
    """All nodes, with figures that may be."""
    names = [f"node-{i}" for i in range(NODES)]
    if "timestamp(" in query:
        return [sample(name, time.time() - rng.uniform(0, 20)) for name in names]
    return [sample(name, rng.uniform(0, 2)) for name in names]


def spoilt(rows: Rows, rng: random.Random, value: object) -> Rows:
    """More than a fifth of the values are not what they should be."""
    for row in rng.sample(rows, rng.randint(2, NODES)):
        row["value"][1] = str(value)
    return rows


def some(rows: Rows, rng: random.Random) -> Rows:
    """At most three of five nodes."""
    return rng.sample(rows, rng.randint(0, 3))


def doubled(rows: Rows, rng: random.Random) -> Rows:
    """Every series twice, with another value."""
    again = [{**row, "value": [row["value"][0], str(rng.uniform(0, 2))]} for row in rows]
    return [*rows, *again]


def _cpu_is(value: object) -> Callable[[str, Rows, random.Random], Rows]:
    return lambda query, rows, rng: spoilt(rows, rng, value) if "node_cpu" in query else rows


BAD: dict[str, Callable[[str, Rows, random.Random], Rows]] = {
    "empty": lambda _query, _rows, _rng: [],
    "partly there": lambda _query, rows, rng: some(rows, rng),
    "NaN": _cpu_is("NaN"),
    "infinite": _cpu_is("+Inf"),
    "overflow": _cpu_is(4294967295),
    "negative": _cpu_is(-1),
    "BLANK": _cpu_is("BLANK"),
    "stale": lambda query, rows, rng: spoilt(rows, rng, time.time() - 400) if "timestamp(" in query else rows,
    "other nodes": lambda _query, rows, _rng: [{**row, "metric": {"node": "stranger"}} for row in rows],
}
HARMLESS: dict[str, Callable[[str, Rows, random.Random], Rows]] = {
    "no GPU metrics": lambda query, rows, _rng: [] if "DCGM" in query else rows,
    "GPU metrics are rubbish": lambda query, rows, rng: spoilt(rows, rng, 4294967295) if "DCGM" in query else rows,
    "duplicates": lambda _query, rows, rng: doubled(rows, rng),
}


def answers(kind: Callable[[str, Rows, random.Random], Rows], seed: int) -> Callable[[str], Rows]:
    """One draw of a kind of answers."""
    rng = random.Random(seed)
    return lambda query: kind(query, healthy(query, rng), rng)


def one_epoch(cluster: Cluster, url: str) -> Report:
    """An epoch in this process."""
    kubeconfig = cluster.plane.service_account_kubeconfig("cloudai-optimizer")

    async def run() -> Report:
        async with Transport(connection.load(str(kubeconfig)), "test") as transport:
            return await cluster_epoch.epoch(transport, Options(NAMESPACE, prometheus_url=url, workers=1))

    return asyncio.run(run())


@pytest.mark.parametrize("name", BAD)
def test_bad_measurements_change_nothing(cluster: Cluster, metrics: Metrics, name: str) -> None:
    """Ten draws of each kind of rubbish: the epoch fails, says why, and the parameters stay."""
    before = in_force(cluster)
    for seed in range(SEEDS):
        metrics.rows = answers(BAD[name], seed)
        with pytest.raises(TelemetryError, match=r"only \d+% of the nodes"):
            one_epoch(cluster, f"http://127.0.0.1:{metrics.server_port}")
    assert in_force(cluster) == before


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_no_harm(cluster: Cluster, metrics: Metrics, name: str) -> None:
    """Loads are known all the same: the epoch goes on, and finds nothing new."""
    for seed in range(SEEDS):
        metrics.rows = answers(HARMLESS[name], seed)
        found = one_epoch(cluster, f"http://127.0.0.1:{metrics.server_port}")
        assert found.reason == "nothing has finished since the last epoch"


def test_a_prometheus_that_fails(cluster: Cluster, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away, 503, slow, partial: the exit code and the message say so, and an Event does."""
    before = in_force(cluster)
    url = f"http://127.0.0.1:{metrics.server_port}"
    metrics.rows = lambda query: healthy(query, random.Random(1))
    assert "does not answer" in optimize(cluster, "epoch", "--prometheus-url", "http://127.0.0.1:9", code=4)
    metrics.status = 503
    assert "the parameters stay" in optimize(cluster, "epoch", "--prometheus-url", url, code=4)
    metrics.status, metrics.warnings = 200, ("one replica is away",)
    with pytest.raises(TelemetryError, match="partial"):
        one_epoch(cluster, url)
    metrics.warnings, metrics.pause_seconds = (), 1.0
    monkeypatch.setattr(prometheus, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(TelemetryError, match="does not answer"):
        one_epoch(cluster, url)
    assert in_force(cluster) == before
    events = cluster.get("events", f"--namespace={NAMESPACE}")["items"]
    assert any(event["reason"] == "EpochFailed" for event in events)
    failed = 'cloudai_ga_last_epoch_timestamp_seconds{result="failed"}'
    cluster.wait(lambda: cluster.metric("cloudai-operator", failed) > 0, 5)


def test_a_history_that_is_not_to_be_believed(cluster: Cluster, database: Database[dict[str, Any]]) -> None:
    """Run times below zero, clocks in the future, no database: exit code 3, and the parameters stay."""
    before = in_force(cluster)
    good = next(iter(database["TASK_HISTORY"].find({"type": "cpu-light"})))
    now = time.time()
    rubbish = [{**good, "_id": f"bad-{i}", "pod_uid": f"bad-{i}", "start": now + 9e6, "finish": now} for i in range(9)]
    rubbish += [{**good, "_id": f"future-{i}", "pod_uid": f"future-{i}", "finish": now + 9e6} for i in range(9)]
    database["TASK_HISTORY"].insert_many(rubbish)
    uri = ("--mongodb-uri", cluster.sandbox.urls[MONGODB])
    assert "18 of 32 records are unusable" in optimize(cluster, "epoch", *uri, code=3)
    database["TASK_HISTORY"].delete_many({"_id": {"$in": [row["_id"] for row in rubbish]}})
    assert "nothing has finished" in optimize(cluster, "epoch", *uri)
    assert "--mongodb-uri" in optimize(cluster, "epoch", "--mongodb-uri", "mongodb://a b:x/", code=2)
    assert "MongoDB does not answer" in optimize(cluster, "epoch", "--mongodb-uri", "mongodb://127.0.0.1:9/", code=3)
    assert in_force(cluster) == before
