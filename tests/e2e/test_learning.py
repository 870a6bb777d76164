"""The optimizer against a real cluster: what it learns is in use within seconds, and a bad release can be undone."""

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

import pytest
from tests.e2e.conftest import Cluster

from cloudai_kube import connection, timestamp
from cloudai_kube.epoch_note import EpochNote
from cloudai_kube.transport import Transport
from cloudai_optimizer.errors import PublishError
from cloudai_optimizer.release import config_map, publication
from cloudai_optimizer.release.config_map import Change
from cloudai_rts.parameters import Document, LatenessTerms

NAMESPACE = "cloudai-system"
VERSION = "cloudai_rts_parameter_version"
KEY = "ga_output.json"
NOW = "2026-01-01T00:00:00.000Z"


class Optimizer:
    """The command under its own service account."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.kubeconfig = cluster.plane.service_account_kubeconfig("cloudai-optimizer")

    def run(self, *arguments: str, code: int = 0) -> str:
        """Its output; fails if the exit code is another."""
        command = [sys.executable, "-m", "cloudai_optimizer", "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def epoch(self, *arguments: str) -> dict[str, Any]:
        """One epoch's report."""
        found: dict[str, Any] = json.loads(self.run("epoch", "-o", "json", *arguments))
        return found

    def in_force(self, version: int) -> None:
        """Wait until the scheduler uses a version."""
        self.cluster.wait(lambda: int(self.cluster.metric("cloudai-scheduler", VERSION)) == version, 5)


@pytest.fixture
def optimizer(cluster: Cluster) -> Optimizer:
    """The optimizer; the test begins without parameters."""
    cluster.plane.kubectl("delete", "configmap", "cloudai-parameters", f"--namespace={NAMESPACE}", "--ignore-not-found")
    cluster.plane.kubectl("delete", "tasks.cloudai.dev", "--all", "--wait=false")
    cluster.wait(lambda: not cluster.get("tasks.cloudai.dev")["items"])
    return Optimizer(cluster)


def test_from_finished_tasks_to_new_parameters(cluster: Cluster, optimizer: Optimizer) -> None:
    """Nothing finished: unchanged. Then fit, publish, use; show, diff, freeze, rollback."""
    assert optimizer.epoch()["result"] == "unchanged"
    runtime = {"sandbox.cloudai.dev/runtime-seconds": "2"}
    names = [f"learn-{i}" for i in range(16)]
    cluster.apply(*(cluster.task(name, runtime, type="cpu-light", sla={"finishWithin": "1h"}) for name in names))
    cluster.complete(*names)
    assert not optimizer.epoch("--dry-run")["published"]
    report = optimizer.epoch()
    assert (report["result"], report["version"], report["published"]) == ("fitted", 1, True)
    optimizer.in_force(1)
    what_if = [sys.executable, "-m", "cloudai_cli", "simulate", "--from-cluster", "-o", "json"]
    kubeconfig = str(cluster.plane.kubeconfig)
    done = subprocess.run([*what_if, "--kubeconfig", kubeconfig], capture_output=True, text=True, check=True)
    assert {row["policy"] for row in json.loads(done.stdout)["policies"]} >= {
        "lateness",
        "round-robin",
        "least-allocated",
    }
    document = json.loads(optimizer.run("show", "-o", "json"))
    assert 1.0 <= document["Tau"]["cpu-light"] <= 4.0
    assert optimizer.epoch()["reason"] == "nothing has finished since the last epoch"
    assert "Tau.cpu-light" in optimizer.run("diff")
    assert "frozen" in optimizer.run("freeze", "incident 42")
    assert optimizer.epoch()["reason"] == "incident 42"
    optimizer.run("freeze", "--off")
    assert "no previous document" in optimizer.run("rollback", code=1)
    file = cluster.sandbox.folder / "changes.yaml"
    file.write_text("Lateness: {Beta: 1.0}\n")
    optimizer.run("publish", str(file))
    optimizer.in_force(2)
    assert "version 3" in optimizer.run("rollback")
    told = {event["reason"] for event in cluster.get("events", f"--namespace={NAMESPACE}")["items"]}
    assert told >= {"ParametersFitted", "ParametersFrozen", "ParametersThawed", "ParametersPublished"}
    assert "ParametersRolledBack" in told
    optimizer.in_force(3)
    assert json.loads(optimizer.run("show", "-o", "json"))["Lateness"]["Beta"] == 0.5


def test_a_workload_on_the_cluster(cluster: Cluster, optimizer: Optimizer) -> None:
    """Drawn tasks become Tasks as they arrive, with everything that the trace says; a second run creates none."""
    del optimizer  # the test begins without Tasks
    fleet = cluster.sandbox.folder / "fleet.csv"
    fleet.write_text(
        "node,cpu,memory_bytes,gpu,gpu_product,storage_bytes,pods,speed\n"
        + "".join(f"node-{i},32,274877906944,4,,0,110,1\n" for i in range(4))
    )
    command = [sys.executable, "-m", "cloudai_cli", "workload", "--fleet", str(fleet), "--count", "12", "--apply"]
    command += ["--time-scale", "300", "--declared", "1", "--kubeconfig", str(cluster.plane.kubeconfig)]
    for said in ("12 Tasks created", "0 Tasks created"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert said in done.stdout, done.stderr
    cluster.complete(*(f"task-{i}" for i in range(12)))
    one = cluster.get("ctask", "task-0")
    assert one["status"]["deadlineSource"] == "FinishWithin"
    assert one["spec"]["sla"]["expectedRuntime"]


def test_two_optimizers_at_once(optimizer: Optimizer) -> None:
    """One wins; the other gets an error, and nothing of it is left. A mere note of an epoch is in nobody's way."""

    async def race() -> str:
        async with Transport(connection.load(str(optimizer.kubeconfig)), "test") as transport:
            first = publication.release(
                await config_map.read(transport, NAMESPACE), Document(), None, NOW, 0.0, {"By": "first"}
            )
            await config_map.write(transport, NAMESPACE, first, await config_map.read(transport, NAMESPACE))
            before = await config_map.read(transport, NAMESPACE)
            changes = [publication.release(before, Document(), None, NOW, 0.0, {"By": who}) for who in ("one", "other")]
            await config_map.note_epoch(transport, NAMESPACE, EpochNote(NOW, "unchanged", "by hand"))
            await config_map.write(transport, NAMESPACE, changes[0], before)
            with pytest.raises(PublishError, match="someone else published"):
                await config_map.write(transport, NAMESPACE, changes[1], before)
            return str((await config_map.read(transport, NAMESPACE)).document.Evidence["By"])

    assert asyncio.run(race()) == "one"


def test_a_document_that_somebody_broke(cluster: Cluster, optimizer: Optimizer) -> None:
    """No command guesses what it should have been; the remedy that they name brings back the last good one."""
    file = cluster.sandbox.folder / "beta.yaml"
    for beta in (1.0, 2.0):
        file.write_text(f"Lateness: {{Beta: {beta}}}\n")
        optimizer.run("publish", str(file))
    optimizer.in_force(2)
    broken = '{"schemaVersion": 1, "version": 2, "Lateness": {"Beta": 1e308'
    patch = json.dumps({"data": {KEY: broken}})
    cluster.plane.kubectl("patch", "configmap", "cloudai-parameters", f"--namespace={NAMESPACE}", f"--patch={patch}")
    for command in (["epoch"], ["show"], ["freeze", "now"]):
        assert "refused by every reader" in optimizer.run(*command, code=1)
    assert "Remedy: cloudai-optimizer rollback" in optimizer.run("epoch", code=1)
    assert "version 3" in optimizer.run("rollback")
    optimizer.in_force(3)
    assert json.loads(optimizer.run("show", "-o", "json"))["Lateness"]["Beta"] == 1.0


def test_a_canary_takes_its_share(cluster: Cluster, optimizer: Optimizer) -> None:
    """Some Tasks are placed by the candidate, the others by its control; every decision says by which."""

    async def begin() -> None:
        async with Transport(connection.load(str(optimizer.kubeconfig)), "test") as transport:
            before = await config_map.read(transport, NAMESPACE)
            tuned = Document(Lateness=LatenessTerms(Alpha=30.0))
            begun = timestamp.millis(time.time())
            change: Change = publication.release(before, Document(), tuned, begun, 0.5, {})
            await config_map.write(transport, NAMESPACE, change, before)

    asyncio.run(begin())
    optimizer.in_force(1)
    names = [f"canary-{i}" for i in range(24)]
    cluster.apply(*(cluster.task(name) for name in names))
    cluster.complete(*names)
    versions = [cluster.status(name)["parametersVersion"] for name in names]
    assert set(versions) == {1, 2}
    assert 4 <= versions.count(2) <= 20
    report = optimizer.epoch()
    assert (report["result"], report["published"]) == ("running", False)
    assert json.loads(optimizer.run("show", "-o", "json"))["Canary"]["Version"] == 2
    assert "version 1 -> 2 (canary): 1 values\nLateness.Alpha: 20.0 -> 30.0" in optimizer.run("diff")
    assert "would say: frozen: later" in optimizer.run("freeze", "later", "--dry-run")
    assert "frozen" not in optimizer.run("show")
