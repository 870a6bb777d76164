"""A real Prometheus that scrapes simulated exporters: load reaches the scheduler, GPU errors close nodes."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.e2e.conftest import Cluster, check_history

from cloudai_kube import pod_use, telemetry, timestamp, worker_minutes
from cloudai_kube.errors import PrometheusError
from cloudai_kube.prometheus import Prometheus
from cloudai_kube.prometheus_access import Access
from cloudai_kube.series import NodeNames
from cloudai_sandbox.sandbox import Sandbox
from cloudai_sandbox.services import PROMETHEUS

SCHEDULER = "cloudai-scheduler"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with Prometheus."""
    settings = {SCHEDULER: {"TELEMETRY_SECONDS": "2"}, "cloudai-operator": {"RETRY_FIRST_SECONDS": "0.5"}}
    folder = tmp_path_factory.mktemp("measured")
    with Sandbox(folder, nodes=3, gpus=2, settings=settings, services=(PROMETHEUS,)) as running:
        yield running
        check_history(running)


@pytest.fixture
def cluster(measured: Sandbox) -> Cluster:
    """The sandbox of this module."""
    return Cluster(measured)


def test_what_runs_is_measured(cluster: Cluster) -> None:
    """Cores, memory, GPUs and watts of a node follow what really runs there, and the scheduler has all nodes."""
    notes = {"sandbox.cloudai.dev/runtime-seconds": "200"}
    cluster.apply(
        cluster.task(
            "burning", notes, gpus=2, targetNode="node-1", resources={"limits": {"cpu": "8", "memory": "64Gi"}}
        )
    )
    cluster.state("burning", "Running")
    source = Prometheus(Access(cluster.sandbox.urls[PROMETHEUS]))
    names = NodeNames(frozenset(f"node-{i}" for i in range(3)), {})

    def measured() -> bool:
        try:
            found = telemetry.read(source, names, time.time()).nodes
        except PrometheusError:  # slow on a machine that is busy: asked again
            return False
        busy, idle = found.get("node-1"), found.get("node-0")
        return bool(
            busy
            and idle
            and busy.cpu
            and abs(busy.cpu - 8.0) < 1.0
            and (busy.memory or 0) > 60 * (1 << 30)
            and busy.gpu == 2.0
            and (busy.watts or 0) > (idle.watts or 0)
            and (idle.cpu or 0.0) < 0.5
        )

    cluster.wait(measured, 100)
    cluster.wait(lambda: cluster.metric(SCHEDULER, "cloudai_scheduler_telemetry_nodes") == 3)
    cluster.plane.kubectl("annotate", "node", "node-1", "sandbox.cloudai.dev/fault=slow=2")

    def minutes() -> bool:
        now = time.time()
        try:
            found = worker_minutes.read(source, names, now - 120, now, Counter())
            uses = pod_use.read(source, 600, Counter())
        except PrometheusError:
            return False
        own = [minute for (node, _), minute in found.items() if node == "node-1"]
        started = timestamp.parse(cluster.status("burning")["attempts"][0]["startTime"])
        (use,) = [one for (_, pod), one in uses.items() if pod.startswith("burning-")]
        return (
            any(minute.cpu and abs(minute.cpu - 8.0) < 1.0 for minute in own)
            and any(minute.throttled_seconds for minute in own)
            and not any(minute.throttled_seconds for (node, _), minute in found.items() if node == "node-0")
            and abs(use.seconds / (use.at - started) - 8.0) < 1.0
            and (use.memory, use.gpu) == (64 * (1 << 30), 2.0)
        )

    cluster.wait(minutes, 90)
    cluster.plane.kubectl("annotate", "node", "node-1", "sandbox.cloudai.dev/fault-")
    cluster.plane.kubectl("delete", "ctask", "burning")


def test_a_fatal_gpu_error_closes_the_node(cluster: Cluster) -> None:
    """XID 79: GPU pods go elsewhere, and the Node's event says why."""
    cluster.plane.kubectl("annotate", "node", "node-2", "sandbox.cloudai.dev/fault=xid=79")

    def closed() -> bool:
        events = cluster.get("events", "--all-namespaces")["items"]
        return any(event["reason"] == "NodeClosed" and "XID 79" in event["message"] for event in events)

    cluster.wait(closed, 40)
    names = [f"gpu-{i}" for i in range(6)]
    cluster.apply(*(cluster.task(name, gpus=1) for name in names))
    cluster.complete(*names)
    assert all(cluster.status(name)["attempts"][0]["node"] != "node-2" for name in names)


def test_without_prometheus_everything_goes_on(cluster: Cluster) -> None:
    """Killed: requests count as load again, and nothing waits."""
    child = cluster.sandbox.process(PROMETHEUS)
    child.kill()
    cluster.sandbox.children.running.remove(child)
    before = cluster.metric(SCHEDULER, "cloudai_scheduler_telemetry_errors_total")
    names = [f"blind-{i}" for i in range(10)]
    cluster.apply(*(cluster.task(name) for name in names))
    cluster.complete(*names)
    cluster.wait(lambda: cluster.metric(SCHEDULER, "cloudai_scheduler_telemetry_errors_total") > before)
