"""The whole loop on a real cluster: history in MongoDB and measurements from Prometheus become parameters in use.

And what must not happen: with bad measurements, or history that is not to be believed, everything stays as it is.
"""

import asyncio
import json
import math
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.process import BaseProcess
from typing import Any, Final
from urllib.parse import parse_qs, urlparse

import msgspec
import pytest
from pymongo import MongoClient
from pymongo.database import Database
from tests.e2e.conftest import Cluster, check_history

from cloudai_kube import connection, prometheus, timestamp, worker_registry
from cloudai_kube.prometheus_access import Access
from cloudai_kube.transport import Transport
from cloudai_optimizer import cluster_epoch
from cloudai_optimizer.cluster_epoch import Options, Report
from cloudai_optimizer.errors import ClockError, TelemetryError
from cloudai_optimizer.release import config_map, publication
from cloudai_rts import parameters
from cloudai_rts.machine import Machine
from cloudai_rts.traces import FleetNode
from cloudai_sandbox.sandbox import Sandbox
from cloudai_sandbox.services import MONGODB, PROMETHEUS

NAMESPACE = "cloudai-system"
NODES = 5
SEEDS = 3
KILLS: Final = int(os.environ.get("CLOUDAI_TEST_KILLS", "40"))
"""Of an epoch; 100 in `make nightly`."""
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
    assert {round(row["allowed"], 2) for row in database["TASK_HISTORY"].find()} == {3600.0}
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
    others = [Machine(FleetNode(f"node-{i}", 1, 1, 0, "", 0, 1), "") for i in range(1, NODES)]
    [gone] = worker_registry.gone_machines(database, others, 0.0)
    assert (gone.node.node, gone.node.cpu, gone.node_class) == ("node-0", 32.0, "NVIDIA-V100")
    assert gone.devices == {"nvidia.com/gpu": 2}
    assert gone.since <= time.time()
    assert abs(gone.until - worker_registry.SEEN_SECONDS - time.time()) < 60
    minutes = list(database["WORKER_STATS"].find({}))
    assert all(0 <= row["load"] < 2 for row in minutes if row["load"] is not None)
    assert database["TASK_HISTORY"].count_documents({"_id": "old"}) == 0
    assert database["RESULTS"].count_documents({"_id": "old"}) == 0
    what_if = [sys.executable, "-m", "cloudai_cli", "simulate", "--from-cluster", "-o", "json"]
    what_if += ["--policy", "lateness,round-robin", "--kubeconfig", str(cluster.plane.kubeconfig), *sources[:2]]
    done = subprocess.run(what_if, capture_output=True, text=True, check=True)
    assert [row["policy"] for row in json.loads(done.stdout)["policies"]] == ["lateness", "round-robin"]
    for more, code, said in (
        (["--seeds", "3"], 2, "nothing is drawn"),
        (["--mongodb-uri", "mongodb://127.0.0.1:9"], 1, "MongoDB does not answer"),
    ):
        refused = subprocess.run([*what_if, *more], capture_output=True, text=True, check=False)
        assert (refused.returncode, said in refused.stderr) == (code, True), refused.stderr
    fitted = optimize(cluster, "fit", *sources)
    assert "run times fitted on 14 tasks" in fitted
    database["WORKER_REGISTRY"].delete_many({})
    optimize(cluster, "freeze", "incident")
    assert json.loads(optimize(cluster, "epoch", "-o", "json", *sources))["result"] == "frozen"
    assert database["WORKER_REGISTRY"].count_documents({}) == NODES  # what is measured is kept all the same
    optimize(cluster, "freeze", "--off")


class Metrics(HTTPServer):
    """A Prometheus that says what a test wants it to say. `status` is that of HTTP."""

    rows: Callable[[str], Rows] = staticmethod(lambda _query: [])
    status = 200
    warnings: tuple[str, ...] = ()
    pause_seconds = 0.0
    mebibytes_of_blanks = 0


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
            for _ in range(self.server.mebibytes_of_blanks):
                self.wfile.write(b" " * (1 << 20))
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
    "infinite and negative": _cpu_is("-Inf"),
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


def one_epoch(cluster: Cluster, url: str, uri: str = "") -> Report:
    """An epoch in this process."""
    kubeconfig = cluster.plane.service_account_kubeconfig("cloudai-optimizer")

    async def run() -> Report:
        async with Transport(connection.load(str(kubeconfig)), "test") as transport:
            return await cluster_epoch.epoch(
                transport, Options(NAMESPACE, prometheus=Access(url) if url else None, mongodb_uri=uri, workers=1)
            )

    return asyncio.run(run())


@pytest.mark.parametrize("name", BAD)
def test_bad_measurements_change_nothing(cluster: Cluster, metrics: Metrics, name: str) -> None:
    """Several draws of each kind of rubbish: the epoch fails, says why, and the parameters stay."""
    before = in_force(cluster)
    for seed in range(SEEDS):
        metrics.rows = answers(BAD[name], seed)
        with pytest.raises(TelemetryError, match=r"only \d+% of the nodes"):
            one_epoch(cluster, f"http://127.0.0.1:{metrics.server_port}")
    assert in_force(cluster) == before


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_no_harm(cluster: Cluster, metrics: Metrics, database: Database[dict[str, Any]], name: str) -> None:
    """Loads are known all the same: the epoch finds nothing new, or publishes what every reader accepts."""
    url = f"http://127.0.0.1:{metrics.server_port}"
    for seed in range(SEEDS):
        metrics.rows = answers(HARMLESS[name], seed)
        assert one_epoch(cluster, url).reason == "nothing has finished since the last epoch"
    finish(database, f"harmless-{list(HARMLESS).index(name)}", 2)
    found = one_epoch(cluster, url, cluster.sandbox.urls[MONGODB])
    assert (found.result, found.published) == ("fitted", True)
    assert parameters.parse(in_force(cluster)).version == found.version
    cluster.wait(lambda: cluster.metric("cloudai-scheduler", "cloudai_rts_parameter_version") == found.version, 5)


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
    monkeypatch.undo()
    metrics.pause_seconds, metrics.mebibytes_of_blanks = 0.0, 1024
    assert "the answer is longer than 32 MiB" in optimize(cluster, "epoch", "--prometheus-url", url, code=4)
    assert in_force(cluster) == before
    events = cluster.get("events", f"--namespace={NAMESPACE}")["items"]
    assert any(event["reason"] == "EpochFailed" for event in events)
    failed = 'cloudai_ga_last_epoch_timestamp_seconds{result="failed"}'
    cluster.wait(lambda: cluster.metric("cloudai-operator", failed) > 0, 5)


def test_a_history_that_is_not_to_be_believed(cluster: Cluster, database: Database[dict[str, Any]]) -> None:
    """Run times below zero, clocks in the future, no records, no database: exit code 3, and the parameters stay."""
    before = in_force(cluster)
    good = next(iter(database["TASK_HISTORY"].find({"type": "cpu-light"})))
    now = time.time()
    rubbish = [{**good, "_id": f"bad-{i}", "pod_uid": f"bad-{i}", "start": now + 9e6, "finish": now} for i in range(9)]
    rubbish += [{**good, "_id": f"future-{i}", "pod_uid": f"future-{i}", "finish": now + 9e6} for i in range(9)]
    database["TASK_HISTORY"].insert_many(rubbish)
    uri = ("--mongodb-uri", cluster.sandbox.urls[MONGODB])
    assert "18 of 38 records are unusable" in optimize(cluster, "epoch", *uri, code=3)
    database["TASK_HISTORY"].delete_many({"_id": {"$in": [row["_id"] for row in rubbish]}})
    database["TASK_HISTORY"].insert_many([{"_id": f"odd-{i}", "finish": now, "type": i} for i in range(9)])
    for command in ("epoch", "fit"):
        assert "9 of 29 records are unusable: 9 x it is no record" in optimize(cluster, command, *uri, code=3)
    database["TASK_HISTORY"].delete_many({"_id": {"$in": [f"odd-{i}" for i in range(9)]}})
    assert "nothing has finished" in optimize(cluster, "epoch", *uri)
    assert "--mongodb-uri" in optimize(cluster, "epoch", "--mongodb-uri", "mongodb://a b:x/", code=2)
    assert "MongoDB does not answer" in optimize(cluster, "epoch", "--mongodb-uri", "mongodb://127.0.0.1:9/", code=3)
    assert in_force(cluster) == before


def test_a_clock_that_has_jumped(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weeks ahead or behind: nothing is read, deleted or published, and the message says whose clock it is."""
    before = in_force(cluster)
    for days, said in ((40, "ahead of"), (-40, "behind")):
        jumped = types.SimpleNamespace(time=lambda days=days: time.time() + days * 86_400.0, monotonic=time.monotonic)
        monkeypatch.setattr(cluster_epoch, "time", jumped)  # no test may set the machine's clock
        with pytest.raises(ClockError, match=rf"345[56]\d{{3}} s {said} the API server's"):
            one_epoch(cluster, "")
    assert in_force(cluster) == before


def finish(database: Database[dict[str, Any]], name: str, count: int, late: float = 0.0, version: int = 0) -> None:
    """Record runs that ended just now, a share of them too late, placed under some version of the parameters."""
    now = time.time()
    rows = [
        {
            "_id": f"{name}-{number}",
            "pod_uid": f"{name}-{number}",
            "task_uid": f"{name}-{number}",
            "name": f"{name}-{number}",
            "namespace": "default",
            "type": "cpu-light",
            "node": "node-0",
            "node_class": "32c-128g",
            "arrival": now - 4.0,
            "start": now - 3.0,
            "finish": now,
            "outcome": "Succeeded",
            "cpu": 1.0,
            "memory": 1e9,
            "deadline": now - 1.0 if number < late * count else now + 60.0,
            "parameters_version": version,
        }
        for number in range(count)
    ]
    database["TASK_HISTORY"].insert_many(rows)


def process(cluster: Cluster, *arguments: str) -> subprocess.Popen[str]:
    """The command, begun."""
    kubeconfig = cluster.plane.service_account_kubeconfig("cloudai-optimizer")
    command = [sys.executable, "-m", "cloudai_optimizer", "--kubeconfig", str(kubeconfig), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_optimizer_processes(cluster: Cluster, database: Database[dict[str, Any]]) -> None:
    """Begun together, one publishes; the other says that someone else did, or that nothing is new."""
    uri = ("--mongodb-uri", cluster.sandbox.urls[MONGODB])
    for number in range(3):
        before = json.loads(in_force(cluster))["version"]
        finish(database, f"pair-{number}", 4)
        both = [process(cluster, "epoch", *uri) for _ in range(2)]
        said = sorted((child.communicate()[0], child.returncode) for child in both)
        assert json.loads(in_force(cluster))["version"] == before + 1, said
        winners = [text for text, code in said if code == 0 and text.startswith("fitted")]
        losers = [text for text, _ in said if "someone else published" in text or "nothing has finished" in text]
        assert (len(winners), len(losers)) == (1, 1), said


@pytest.mark.parametrize(
    ("late", "result", "event"), [(0.0, "promoted", "Promoted"), (0.5, "rolled back", "RolledBack")]
)
def test_how_a_canary_ends(
    cluster: Cluster, database: Database[dict[str, Any]], late: float, result: str, event: str
) -> None:
    """Under the candidate none or half of the deadlines are missed, under its control one in ten."""
    kubeconfig = cluster.plane.service_account_kubeconfig("cloudai-optimizer")

    async def begin() -> int:
        async with Transport(connection.load(str(kubeconfig)), "test") as transport:
            before = await config_map.read(transport, NAMESPACE)
            fitted = before.document
            alpha = fitted.Lateness.Alpha + 5.0
            tuned = msgspec.structs.replace(fitted, Lateness=msgspec.structs.replace(fitted.Lateness, Alpha=alpha))
            change = publication.release(before, fitted, tuned, timestamp.millis(time.time() - 5.0), 0.5, {})
            await config_map.write(transport, NAMESPACE, change, before)
            return before.document.version + 1

    control = asyncio.run(begin())
    alphas = [json.loads(in_force(cluster))["Lateness"]["Alpha"]]
    alphas.append(alphas[0] + 5.0)
    uri = ("--mongodb-uri", cluster.sandbox.urls[MONGODB])
    finish(database, f"early-{late}", 50, late, control + 1)
    assert "running" in optimize(cluster, "epoch", *uri)
    finish(database, f"candidate-{late}", 60, late, control + 1)
    finish(database, f"control-{late}", 60, 0.1, control)
    assert result in optimize(cluster, "epoch", *uri)
    after = json.loads(in_force(cluster))
    assert (after["version"], after["Lateness"]["Alpha"]) == (control + 2, alphas[result == "promoted"])
    assert "Canary" not in after or after["Canary"] is None
    cluster.wait(lambda: cluster.metric("cloudai-scheduler", "cloudai_rts_parameter_version") == control + 2, 5)
    events = cluster.get("events", f"--namespace={NAMESPACE}")["items"]
    assert any(one["reason"] == f"Canary{event}" for one in events)


def _one_epoch_of(kubeconfig: str, uri: str) -> None:
    async def run() -> None:
        async with Transport(connection.load(kubeconfig), "test") as transport:
            await cluster_epoch.epoch(transport, Options(NAMESPACE, mongodb_uri=uri, workers=1))

    asyncio.run(run())


async def _version(kubeconfig: str) -> int:
    """Version in force; fails if the document is not whole."""
    async with Transport(connection.load(kubeconfig), "test") as transport:
        return (await config_map.read(transport, NAMESPACE)).document.version


def test_kills_at_every_moment(cluster: Cluster, database: Database[dict[str, Any]]) -> None:
    """Epochs killed at moments spread over their whole course: the document is the old or the next one, never mixed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cloudai_optimizer.cluster_epoch", "kubernetes.config", "kubernetes.client"])
    kubeconfig = str(cluster.plane.service_account_kubeconfig("cloudai-optimizer"))
    uri = cluster.sandbox.urls[MONGODB]

    def begun(number: int) -> BaseProcess:
        finish(database, f"kill-{number}", 1)
        child = context.Process(target=_one_epoch_of, args=(kubeconfig, uri))
        child.start()
        return child

    courses = []
    for number in range(5):
        at = time.monotonic()
        begun(-number).join()
        courses.append(time.monotonic() - at)
    longest = 1.3 * max(courses[1:])  # the first starts the server that the others are forked from
    version, outcomes = asyncio.run(_version(kubeconfig)), []
    for number in range(1, KILLS + 1):
        child = begun(number)
        time.sleep(longest * number / KILLS)
        child.kill()
        child.join()
        outcomes.append(asyncio.run(_version(kubeconfig)) - version)
        version += outcomes[-1]
    assert set(outcomes) == {0, 1}
    finish(database, "afterwards", 1)
    assert f"version {version + 1} is published" in optimize(cluster, "epoch", "--mongodb-uri", uri)


def test_a_deadline_tells_of_its_task(cluster: Cluster, database: Database[dict[str, Any]]) -> None:
    """A user's deadlines were twice what the tasks took: 100 s allowed are 50 s expected, 2,000 s 1,000 s."""
    finish(database, "sized", 40)
    for number, row in enumerate(database["TASK_HISTORY"].find({"_id": {"$regex": "^sized-"}})):
        seconds = 20.0 * 100.0 ** (number / 39)
        arrival = row["finish"] - seconds - 1.0
        own = {"user": "default/carol", "type": "sized", "allowed": 2.0 * seconds}
        times = {"arrival": arrival, "start": arrival + 1.0, "deadline": arrival + 2.0 * seconds}
        database["TASK_HISTORY"].update_one({"_id": row["_id"]}, {"$set": {**own, **times}})
    report = json.loads(optimize(cluster, "epoch", "-o", "json", "--mongodb-uri", cluster.sandbox.urls[MONGODB]))
    runtime = json.loads(in_force(cluster))["Runtime"]
    known = runtime["Allowed"]["default/carol"]
    assert known["Share"] > 0.9, (report, known)
    # A reference run time is one of the reference class, all 40 ran on node-0's: only the product is determined.
    factor = math.exp(runtime["U"]["sized"]["32c-128g"] + runtime["V"]["node-0"])
    read = report["evidence"]["Tasks"]
    cluster.wait(lambda: cluster.metric("cloudai-operator", "cloudai_ga_training_data_points") == read, 5)
    for name, allowed in (("small", "100s"), ("large", "2000s")):
        cluster.apply(cluster.task(name, type="sized", user="carol", sla={"finishWithin": allowed}))
    small, large = (cluster.state(name, "Complete")["referenceRuntimeSeconds"] for name in ("small", "large"))
    assert factor * small == pytest.approx(50.0, rel=0.25), runtime
    assert factor * large == pytest.approx(1000.0, rel=0.25), runtime
