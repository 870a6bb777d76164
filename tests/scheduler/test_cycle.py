"""One scheduling cycle, and the message when no node can take the pod."""

import json
from typing import Any

import pytest

from cloudai_kube import records
from cloudai_operator import history
from cloudai_rts.history import Record, decode
from cloudai_rts.load_history import LoadHistory
from cloudai_rts.ordering import Standing
from cloudai_rts.parameters import Document
from cloudai_rts.placement import Placed
from cloudai_rts.policy import Policy
from cloudai_rts.task import Task
from cloudai_scheduler import decision, preferences
from cloudai_scheduler.cluster.neighbours import Neighbour
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState, PlacedPod
from cloudai_scheduler.cycle import Surroundings, Unschedulable, could_take, decide
from cloudai_scheduler.podclass import ClassTable
from cloudai_scheduler.queue import QueuedPod

Maker = Any


class Rig:
    """A cluster and what a cycle looks at."""

    def __init__(self) -> None:
        self.state = ClusterState()
        self.rejections = Rejections()
        self.classes = ClassTable()
        self.around = Surroundings(self.state, self.rejections, LoadHistory(), Policy(self.state.fleet, Document()))

    def entry(self, pod: Any, owner: str = "") -> QueuedPod:
        """A queued pod without a deadline."""
        pod_class = self.classes.of(pod)
        task = Task("t", 1.0, 1.0)
        standing, wishes = Standing(0, None, 0.0, 0.0), preferences.wishes_of(pod)
        return QueuedPod(pod, pod_class, task, standing, 0, 0.0, owner, wishes=wishes)

    def decide(self, pod: Any, now: float = 0.0, owner: str = "") -> Any:
        """Outcome for a pod."""
        return self.decide_on(self.entry(pod, owner), now)

    def decide_on(self, entry: QueuedPod, now: float = 0.0) -> Any:
        """Outcome for a queued pod, its class up to date."""
        entry.pod_class.refresh(self.state)
        return decide(self.around, entry, now)

    def occupy(self, name: str, node: str, cpu: int, **ports: Any) -> None:
        """A pod that runs already."""
        ask = {"cpu": cpu, "pods": 1}
        self.state.assume(
            PlacedPod(name, "ns", name, node, ask, frozenset(ports.get("ports", ())), Neighbour("ns", ()))
        )


def test_reasons_in_upstreams_form(make: Maker) -> None:
    """Counted by the first filter that excludes a node, sorted as text; several shortages count each."""
    rig = Rig()
    rig.state.put_node(make.node("small-0", cpu="500m"))
    rig.state.put_node(make.node("small-1", cpu="500m"))
    rig.state.put_node(make.node("cordoned", spec={"unschedulable": True}))
    rig.state.put_node(make.node("tainted", spec={"taints": [{"key": "a", "effect": "NoSchedule"}]}))
    rig.state.put_node(make.node("labelled", labels={"zone": "b"}))
    spec = {"nodeSelector": {"zone": "a"}}
    for name in ("small-0", "small-1"):
        node = make.node(name, cpu="500m", labels={"zone": "a"})
        rig.state.put_node(node)
    outcome = rig.decide(make.pod(spec=spec))
    assert outcome == Unschedulable(
        "0/5 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated "
        "taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu."
    )


def test_no_nodes_at_all(make: Maker) -> None:
    """As upstream says it."""
    assert Rig().decide(make.pod()) == Unschedulable("no nodes available to schedule pods")


def test_too_many_pods(make: Maker) -> None:
    """The pod slots are a resource with words of its own."""
    rig = Rig()
    rig.state.put_node(make.node("n", allocatable={"pods": "1"}))
    rig.occupy("other", "n", 100)
    assert rig.decide(make.pod()) == Unschedulable("0/1 nodes are available: 1 Too many pods.")


def test_host_ports(make: Maker) -> None:
    """A taken port excludes the node; another node takes the pod."""
    rig = Rig()
    rig.state.put_node(make.node("a"))
    rig.occupy("other", "a", 100, ports=[("TCP", "0.0.0.0", 80)])
    container = {"name": "c", "ports": [{"hostPort": 80}]}
    pod = make.pod(spec={"containers": [container]})
    assert "didn't have free ports" in rig.decide(pod).message
    rig.state.put_node(make.node("b"))
    placed = rig.decide(pod)
    assert isinstance(placed, Placed)
    assert rig.state.fleet.names[placed.slot] == "b"


def test_closed_nodes(make: Maker) -> None:
    """A node that rejected three pods takes none that asks for the resource, with a reason of its own."""
    rig = Rig()
    rig.state.put_node(make.node("hole"))
    for number in range(3):
        rig.rejections.record("hole", "cpu", f"tenant-{number}", 0.0)
    assert rig.decide(make.pod(), 1.0) == Unschedulable("0/1 nodes are available: 1 node(s) rejected pods recently.")
    assert isinstance(rig.decide(make.pod(), 601.0), Placed)


def test_an_owner_avoids_the_node_that_refused_it(make: Maker) -> None:
    """Pods of one class but of different owners are told apart; where there is no other node it is tried again."""
    rig = Rig()
    rig.state.put_node(make.node("n", cpu="64"))
    rig.rejections.avoid("n", "mine", 0.0)
    assert isinstance(rig.decide(make.pod("a"), 1.0, owner="mine"), Placed)
    rig.state.put_node(make.node("m"))
    chosen = {owner: rig.state.fleet.names[rig.decide(make.pod(owner), 1.0, owner=owner).slot] for owner in "xyz"}
    assert chosen == dict.fromkeys("xyz", "n")
    assert rig.state.fleet.names[rig.decide(make.pod("a"), 1.0, owner="mine").slot] == "m"


def test_nodes_that_a_pod_names_are_avoided(make: Maker) -> None:
    """The operator names on the pod those that refused earlier attempts."""
    rig = Rig()
    rig.state.put_node(make.node("n", cpu="64"))
    rig.state.put_node(make.node("m"))
    entry = rig.entry(make.pod())
    entry.avoided = frozenset({"n"})
    assert rig.state.fleet.names[rig.decide_on(entry).slot] == "m"


def test_one_namespaces_refusals_close_a_node_for_that_namespace_only(make: Maker) -> None:
    """A tenant can make nodes refuse pods of theirs; it takes two to close one for everybody."""
    rig = Rig()
    rig.state.put_node(make.node("n"))
    for _ in range(20):
        rig.rejections.record("n", "cpu", "attacker", 0.0)
    assert isinstance(rig.decide(make.pod(metadata={"namespace": "attacker"}), 1.0), Unschedulable)
    assert isinstance(rig.decide(make.pod(), 1.0), Placed)
    rig.rejections.record("n", "cpu", "ns", 0.0)
    rig.rejections.record("n", "cpu", "ns", 0.0)
    assert isinstance(rig.decide(make.pod(), 1.0), Unschedulable)


def test_verdicts_follow_the_nodes(make: Maker) -> None:
    """Cordon, uncordon, remove and add: kept verdicts are repaired."""
    rig = Rig()
    pod = make.pod()
    for cordoned, placeable in ((False, True), (True, False), (False, True)):
        rig.state.put_node(make.node("n", spec={"unschedulable": cordoned}))
        assert isinstance(rig.decide(pod), Placed) is placeable
    rig.state.remove_node("n")
    assert isinstance(rig.decide(pod), Unschedulable)
    rig.state.put_node(make.node("m"))
    assert isinstance(rig.decide(pod), Placed)


def test_preferences_break_ties(make: Maker) -> None:
    """Of equal nodes the preferred one is taken, and one with a PreferNoSchedule taint is avoided."""
    rig = Rig()
    rig.state.put_node(make.node("a"))
    rig.state.put_node(make.node("b", labels={"disk": "ssd"}))
    rig.state.put_node(make.node("c", spec={"taints": [{"key": "x", "effect": "PreferNoSchedule"}]}))
    term = {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}
    chosen = {rig.state.fleet.names[rig.decide(make.pod(f"p{i}", spec={"affinity": affinity})).slot] for i in range(4)}
    assert chosen == {"b"}
    plain = {rig.state.fleet.names[rig.decide(make.pod(f"q{i}")).slot] for i in range(4)}
    assert plain == {"a", "b"}


def test_wake_up_hints(make: Maker) -> None:
    """A node helps a waiting pod only if it passes the static filters and has room."""
    rig = Rig()
    rig.state.put_node(make.node("n", labels={"zone": "a"}))
    wanted = rig.classes.of(make.pod(spec={"nodeSelector": {"zone": "a"}}))
    other = rig.classes.of(make.pod(spec={"nodeSelector": {"zone": "b"}}))
    large = rig.classes.of(make.pod(cpu="9"))
    assert could_take(rig.state, other, 0)  # not judged yet: it is looked at when its pod has its turn
    for one in (wanted, other, large):
        one.refresh(rig.state)
    assert [could_take(rig.state, one, 0) for one in (wanted, other, large)] == [True, False, False]


def test_classes_that_a_pod_may_go_to(make: Maker) -> None:
    """The decision names them where selectors and taints leave some out, and history remembers them."""
    rig = Rig()
    taint = {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]}
    for number in range(2):
        rig.state.put_node(make.node(f"cpu-{number}", cpu="4"))
        rig.state.put_node(make.node(f"gpu-{number}", cpu="8", labels={"pool": "gpu"}, spec=taint))
    tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    cases: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
        ({}, ("4c-8g",)),
        ({"tolerations": tolerations}, ()),
        ({"tolerations": tolerations, "nodeSelector": {"pool": "gpu"}}, ("8c-8g",)),
    )
    for spec, expected in cases:
        entry = rig.entry(make.pod(spec=spec))
        placed = rig.decide_on(entry)
        assert isinstance(placed, Placed)
        assert entry.pod_class.classes == expected
        node = rig.state.by_slot[placed.slot]
        text = decision.annotation(rig.state, entry.task, placed, node, 1, 0.0, entry.pod_class.classes)
        many = [f"class-{number}" for number in range(decision.MOST_CLASSES + 1)]
        assert "allowedClasses" not in decision.annotation(rig.state, entry.task, placed, node, 1, 0.0, many)
        known = records.decision_of(json.loads(text))
        assert known is not None
        record = Record("u", "u", "ns", "n", "t", node.name, "", 0.0, 0.0, 9.0, "Succeeded", 1.0, 1.0)
        record = records.with_decision(record, known)
        stored = json.loads(json.dumps(history.document(record), default=str))
        read = decode(stored)
        assert read is not None
        assert read.allowed_classes == expected


def test_classes_follow_the_nodes(make: Maker) -> None:
    """A taint that goes away opens its class."""
    rig = Rig()
    rig.state.put_node(make.node("small", cpu="4"))
    rig.state.put_node(make.node("large", cpu="8", spec={"taints": [{"key": "a", "effect": "NoSchedule"}]}))
    entry = rig.entry(make.pod())
    rig.decide_on(entry)
    assert list(entry.pod_class.classes) == ["4c-8g"]
    rig.state.put_node(make.node("large", cpu="8"))
    rig.decide_on(entry)
    assert list(entry.pod_class.classes) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"unschedulable": True, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]},
        {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]},
    ],
    ids=["cordoned", "not ready"],
)
def test_a_nodes_state_is_not_what_a_pod_is_meant_for(make: Maker, spec: dict[str, Any]) -> None:
    """It cannot go to a closed node now, and could when that is open again."""
    rig = Rig()
    rig.state.put_node(make.node("small", cpu="4"))
    rig.state.put_node(make.node("large", cpu="8", spec=spec))
    entry = rig.entry(make.pod())
    placed = rig.decide_on(entry)
    assert isinstance(placed, Placed)
    assert rig.state.fleet.names[placed.slot] == "small"
    assert list(entry.pod_class.classes) == []
