"""The scheduler's picture of the cluster."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudai_kube.objects import Node, Pod
from cloudai_rts.contract import CPU
from cloudai_scheduler.cluster.neighbours import Neighbour
from cloudai_scheduler.cluster.state import ClusterState, PlacedPod
from cloudai_scheduler.errors import CorruptStateError

Maker = Any  # the builders of conftest.py


class _Builders:
    """The builders where Hypothesis allows no fixture."""

    @staticmethod
    def pod(name: str, spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> Pod:
        container = {"name": "c", "resources": {"requests": {"cpu": "1"}}}
        raw = {
            "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}"},
            "spec": {"containers": [container], **(spec or {})},
            "status": status or {},
        }
        return msgspec.convert(raw, Pod)

    @staticmethod
    def node(name: str) -> Node:
        return msgspec.convert(
            {"metadata": {"name": name}, "status": {"allocatable": {"cpu": "4", "pods": "10"}}}, Node
        )


MAKE = _Builders()


def placed(name: str, node: str, cpu: int = 1000) -> PlacedPod:
    """A pod to be assumed."""
    return PlacedPod(f"uid-{name}", "ns", name, node, {CPU: cpu, "pods": 1}, frozenset(), Neighbour("ns", ()))


def test_assumed_confirmed_finished(make: Maker) -> None:
    """An assumed pod takes room at once, keeps it when confirmed, and gives it back when finished."""
    state = ClusterState()
    state.put_node(make.node("n"))
    state.assume(placed("p", "n"))
    assert state.fleet.available(CPU)[0] == 3000
    state.put_pod(make.pod("p", spec={"nodeName": "n"}))
    assert state.fleet.available(CPU)[0] == 3000
    state.forget("uid-p")  # confirmed: no bind error may release it now
    assert state.fleet.available(CPU)[0] == 3000
    state.put_pod(make.pod("p", spec={"nodeName": "n"}, status={"phase": "Succeeded"}))
    assert state.fleet.available(CPU)[0] == 4000


def test_a_failed_bind_releases(make: Maker) -> None:
    """Forget gives the room back and reports it."""
    freed: list[str] = []
    state = ClusterState(on_capacity=freed.append)
    state.put_node(make.node("n"))
    state.assume(placed("p", "n"))
    freed.clear()
    state.forget("uid-p")
    assert state.fleet.available(CPU)[0] == 4000
    assert freed == ["n"]


def test_nothing_is_assumed_twice(make: Maker) -> None:
    """A second assume of one pod is a contradiction."""
    state = ClusterState()
    state.put_node(make.node("n"))
    state.assume(placed("p", "n"))
    with pytest.raises(CorruptStateError):
        state.assume(placed("p", "n"))


def test_bound_elsewhere_by_another(make: Maker) -> None:
    """Where the pod really is counts; a confirmed pod that moves is impossible."""
    state = ClusterState()
    state.put_node(make.node("a"))
    state.put_node(make.node("b"))
    state.assume(placed("p", "a"))
    state.put_pod(make.pod("p", spec={"nodeName": "b"}))
    assert state.fleet.available(CPU).tolist() == [4000, 3000]
    with pytest.raises(CorruptStateError):
        state.put_pod(make.pod("p", spec={"nodeName": "a"}))


def test_ghost_nodes_keep_their_pods(make: Maker) -> None:
    """Pods of a removed node are remembered; if the node comes back, they count again."""
    state = ClusterState()
    state.put_node(make.node("n"))
    state.put_pod(make.pod("p", spec={"nodeName": "n"}))
    state.remove_node("n")
    state.put_node(make.node("other"))
    assert state.fleet.available(CPU)[0] == 4000
    state.put_node(make.node("n"))
    slot = state.nodes["n"].slot
    assert state.fleet.available(CPU)[slot] == 3000


def test_pods_seen_before_their_node(make: Maker) -> None:
    """The two watches are not ordered."""
    state = ClusterState()
    state.put_pod(make.pod("p", spec={"nodeName": "n"}))
    state.put_node(make.node("n"))
    assert state.fleet.available(CPU)[0] == 3000


def test_a_resized_pod(make: Maker) -> None:
    """A new generation with larger requests takes more room."""
    state = ClusterState()
    state.put_node(make.node("n"))
    state.put_pod(make.pod("p", spec={"nodeName": "n"}, metadata={"generation": 1}))
    state.put_pod(make.pod("p", cpu="3", spec={"nodeName": "n"}, metadata={"generation": 2}))
    assert state.fleet.available(CPU)[0] == 1000


@pytest.mark.parametrize(("allocatable", "problem"), [({"cpu": "many"}, "counts as 0"), ({}, "no allocatable")])
def test_a_node_that_cannot_be_used(make: Maker, allocatable: dict[str, str], problem: str) -> None:
    """It is reported once, takes nothing, and is no crash."""
    state = ClusterState()
    node = Node(make.node("n").metadata)
    node.status.allocatable = dict(allocatable)
    assert problem in str(state.put_node(node))
    assert state.put_node(node) is None
    assert not state.fleet.fits({CPU: 1}).any()


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["node", "unnode", "assume", "confirm", "forget", "finish", "delete"]),
        st.integers(0, 3),
        st.integers(0, 5),
    ),
    max_size=100,
)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_any_sequence_of_events_adds_up(events: list[tuple[str, int, int]]) -> None:
    """Against a naive model: after every event each node's free room equals its size minus its live pods."""
    state, nodes, pods = ClusterState(), set[str](), dict[str, tuple[str, bool]]()
    for what, node_number, pod_number in events:
        node, pod = f"n{node_number}", f"p{pod_number}"
        _play(state, nodes, pods, what, node, pod)
        for name in nodes:
            used = sum(1000 for where, _ in pods.values() if where == name)
            slot = state.nodes[name].slot
            assert state.fleet.available(CPU)[slot] == 4000 - used, (what, name)
        assert set(state.nodes) == nodes


def _play(
    state: ClusterState, nodes: set[str], pods: dict[str, tuple[str, bool]], what: str, node: str, pod: str
) -> None:
    make = MAKE
    if what == "node":
        state.put_node(make.node(node))
        nodes.add(node)
    elif what == "unnode":
        state.remove_node(node)
        nodes.discard(node)
    elif what == "assume" and pod not in pods and node in nodes:
        state.assume(placed(pod, node))
        pods[pod] = (node, True)
    elif what == "confirm" and (pod not in pods or pods[pod][1]):
        where = pods.get(pod, (node, True))[0]
        state.put_pod(make.pod(pod, spec={"nodeName": where}))
        pods[pod] = (where, False)
    elif what == "forget" and pods.get(pod, ("", False))[1]:
        state.forget(f"uid-{pod}")
        del pods[pod]
    elif what == "finish" and pod in pods:
        state.put_pod(make.pod(pod, spec={"nodeName": pods.pop(pod)[0]}, status={"phase": "Failed"}))
    elif what == "delete":
        state.remove_pod(f"uid-{pod}")
        pods.pop(pod, None)
