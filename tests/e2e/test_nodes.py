"""Nodes that reject, are slow, vanish, or have nothing to offer."""

from collections.abc import Iterator

import pytest
from tests.e2e.conftest import Cluster, check_history

from cloudai_sandbox.sandbox import Sandbox

FAULT = "sandbox.cloudai.dev/fault"


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox whose nodes may be ruined."""
    settings = {"cloudai-operator": {"RETRY_FIRST_SECONDS": "0.5", "NODE_GONE_SECONDS": "1"}}
    with Sandbox(tmp_path_factory.mktemp("troubled"), nodes=5, gpus=2, settings=settings) as running:
        yield running
        check_history(running)


@pytest.fixture
def cluster(troubled: Sandbox) -> Cluster:
    """The sandbox of this module."""
    return Cluster(troubled)


def test_a_node_that_rejects_is_left_alone(cluster: Cluster) -> None:
    """Its pods go elsewhere at once, and after three rejections it is closed; the Node's events say so."""
    cluster.plane.kubectl("annotate", "node", "node-0", f"{FAULT}=reject")
    names: list[str] = []
    while sum(cluster.status(name).get("rejected", 0) for name in names) < 3:
        wave = [f"rejected-{i}" for i in range(len(names), len(names) + 24)]
        assert len(names) < 120, "nodes alike: it should have its share of each wave"
        cluster.apply(*(cluster.task(name, resources={"limits": {"cpu": "4"}}) for name in wave))
        cluster.complete(*wave)
        names += wave
    statuses = [cluster.status(name) for name in names]
    assert all(status["attempts"][-1]["node"] != "node-0" for status in statuses)
    assert all(status.get("rejected", 0) <= 1 for status in statuses)
    events = cluster.get("events", "--all-namespaces")["items"]
    assert any(event["reason"] == "NodeClosed" and "node-0" in event["message"] for event in events)
    more = [f"afterwards-{i}" for i in range(10)]
    cluster.apply(*(cluster.task(name) for name in more))
    cluster.complete(*more)
    assert sum(cluster.status(name).get("rejected", 0) for name in more) == 0


def test_a_node_that_vanishes(cluster: Cluster) -> None:
    """What ran there runs again elsewhere; nobody's failure is counted."""
    names = [f"uprooted-{i}" for i in range(8)]
    notes = {"sandbox.cloudai.dev/runtime-seconds": "4"}
    cluster.apply(*(cluster.task(name, notes, backoffLimit=0, resources={"limits": {"cpu": "8"}}) for name in names))
    cluster.wait(lambda: all(cluster.status(name).get("state") == "Running" for name in names))
    lost = next(cluster.status(name)["attempts"][-1]["node"] for name in names)
    cluster.plane.kubectl("annotate", "node", lost, f"{FAULT}=vanish", "--overwrite")
    cluster.complete(*names)
    disrupted = [status for status in map(cluster.status, names) if status.get("disrupted")]
    assert disrupted
    assert all(status["attempts"][0]["node"] == lost != status["attempts"][-1]["node"] for status in disrupted)


def test_a_node_without_allocatable(cluster: Cluster) -> None:
    """It gets nothing, and an event says why."""
    labels = {"kind": "empty", "kubernetes.io/os": "linux"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "empty", "labels": labels}}
    cluster.apply(node, cluster.task("wants-empty", nodeSelector={"kind": "empty"}))

    def told() -> bool:
        events = cluster.get("events", "--all-namespaces")["items"]
        return any(event["reason"] == "NodeNotUsable" and "no allocatable" in event["message"] for event in events)

    cluster.wait(told)
    cluster.wait(lambda: "Too many pods" in str(cluster.status("wants-empty")))
    cluster.plane.kubectl("delete", "node", "empty")
    cluster.plane.kubectl("delete", "ctask", "wants-empty")


def test_a_target_node(cluster: Cluster) -> None:
    """targetNode is obeyed; one that does not exist is named in the reason."""
    existing = sorted(node["metadata"]["name"] for node in cluster.get("nodes")["items"])
    target = existing[-1]  # not the first, which rejects; another one has vanished before
    cluster.apply(cluster.task("there", targetNode=target), cluster.task("nowhere", targetNode="node-99"))
    assert cluster.state("there", "Complete")["attempts"][0]["node"] == target
    cluster.wait(lambda: "didn't satisfy plugin(s) [NodeAffinity]" in str(cluster.status("nowhere")))
    cluster.plane.kubectl("delete", "ctask", "nowhere")
