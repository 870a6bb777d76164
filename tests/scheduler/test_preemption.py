"""Pods to evict, on small clusters; against kube-scheduler itself: tests/conformance."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_kube.objects import Node, Pod, PodDisruptionBudget
from cloudai_rts.harm import RunningTask
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState, PlacedPod
from cloudai_scheduler.cluster.trial import Trial
from cloudai_scheduler.filters.base import View
from cloudai_scheduler.podclass import ClassTable
from cloudai_scheduler.preemption import (
    NEVER,
    NOT_EXAMINED,
    TERMINATING,
    EvictionRules,
    Preemption,
    loss_seconds,
    preempt,
    split_by_budgets,
)
from cloudai_scheduler.walk import walk

NOW = 1_800_000_000.0


def a_pod(name: str, cpu: str, priority: int = 0, node: str = "", start: int = 0, **parts: Any) -> Pod:
    """A pod; `start` in seconds after an hour ago."""
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    meta = {"name": name, "uid": name, "namespace": "ns", "labels": {"app": "x"}, **parts.pop("metadata", {})}
    spec = {"nodeName": node, "priority": priority, "containers": [container], **parts.pop("spec", {})}
    started = f"2027-01-15T{7 + start // 3600:02}:{start // 60 % 60:02}:{start % 60:02}Z"
    raw = {"metadata": meta, "spec": spec, "status": {"startTime": started if node else "", **parts}}
    return msgspec.convert(raw, Pod)


def cluster(*pods: Pod, nodes: int = 2, cpu: str = "4") -> ClusterState:
    """Nodes of four cores, named by number."""
    state = ClusterState()
    for number in range(nodes):
        raw = {"metadata": {"name": str(number)}, "status": {"allocatable": {"cpu": cpu, "pods": "9"}}}
        state.put_node(msgspec.convert(raw, Node))
    for pod in pods:
        state.put_pod(pod)
    return state


def judge(state: ClusterState, pod: Pod, rules: EvictionRules | None = None, **options: Any) -> Preemption:
    """What becomes of a pod that no node can take."""
    pod_class = ClassTable().of(pod)
    pod_class.refresh(state)
    verdicts = pod_class.verdicts
    view = View(state, Rejections(), pod, verdicts.affine, verdicts.tolerated, NOW)
    walked = walk(view, pod_class)
    assert not walked.feasible.any()
    return preempt(view, pod_class, walked, rules or EvictionRules(), **options)


def chosen(found: Preemption) -> tuple[int, list[str]]:
    """The slot and the victims."""
    assert found.candidate is not None
    return found.candidate.slot, [placed.name for placed in found.candidate.victims]


@pytest.mark.parametrize(
    ("there", "cpu", "expected"),
    [
        ([a_pod("a", "3", node="0"), a_pod("b", "4", 5, "1")], "2", (0, ["a"])),
        ([a_pod("a", "2", node="0"), a_pod("b", "2", node="0"), a_pod("c", "3", node="1")], "3", (1, ["c"])),
        ([a_pod("a", "2", 1, "0"), a_pod("b", "2", node="0"), a_pod("c", "3", 1, "1")], "2", (0, ["b"])),
        ([a_pod("a", "3", node="0", start=60), a_pod("b", "3", node="1", start=9)], "2", (0, ["a"])),
        ([a_pod("a", "2", -5, "0"), a_pod("b", "2", -5, "0"), a_pod("c", "3", -5, "1")], "3", (1, ["c"])),
        ([a_pod("a", "2", node="0", start=9), a_pod("b", "2", node="0"), a_pod("c", "4", 99, "1")], "2", (0, ["a"])),
    ],
)
def test_the_least_is_lost(there: list[Pod], cpu: str, expected: tuple[int, list[str]]) -> None:
    """Lowest priority, fewest pods, shortest run; the more important ones are taken back."""
    assert chosen(judge(cluster(*there), a_pod("new", cpu, 10))) == expected


def test_pods_of_equal_priority_never_evict_each_other() -> None:
    """So no two pods evict each other in turn."""
    state = cluster(a_pod("a", "4", 10, "0"), a_pod("b", "4", 11, "1"))
    found = judge(state, a_pod("new", "2", 10))
    assert found.candidate is None
    assert found.text == "0/2 nodes are available: 2 No preemption victims found for incoming pod."


@pytest.mark.parametrize(
    ("cpu", "text"),
    [
        ("9", "0/2 nodes are available: 2 Preemption is not helpful for scheduling."),
        ("4", "0/2 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod."),
    ],
)
def test_why_nobody_is_evicted(cpu: str, text: str) -> None:
    """Too large for any node; too much of the node held by others."""
    state = cluster(a_pod("a", "1", node="0"), a_pod("b", "1", 99, "0"), a_pod("c", "1", 99, "1"))
    assert judge(state, a_pod("new", cpu, 10)).text == text


def test_a_pod_that_does_not_want_to() -> None:
    """`preemptionPolicy: Never`."""
    pod = a_pod("new", "4", 10, spec={"preemptionPolicy": "Never"})
    assert judge(cluster(a_pod("a", "4", node="0"), nodes=1), pod) == Preemption(NEVER)


def test_a_pod_whose_victims_are_on_their_way_out_waits() -> None:
    """Evicted by this process, or by an earlier one; a pod that somebody else deleted does not count."""
    told = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    gone = {"deletionTimestamp": "2027-01-15T08:00:00Z"}
    for conditions, waits in (([told], True), ([], False)):
        leaving = a_pod("a", "4", node="0", metadata=gone, conditions=conditions)
        state = cluster(leaving, nodes=1)
        new = a_pod("new", "4", 10)
        room = PlacedPod("new", "ns", "new", "0", {"cpu": 4000}, frozenset(), next(iter(state.pods.values())).neighbour)
        state.nominations.put(room)
        assert (judge(state, new) == Preemption(TERMINATING, keeps_nomination=True)) == waits


def test_budgets_are_kept_where_that_is_possible() -> None:
    """The protected pod stays; only if there is no other way it goes."""
    budget = {"metadata": {"name": "b", "namespace": "ns"}, "spec": {"selector": {"matchLabels": {"kept": "yes"}}}}
    kept = {"labels": {"kept": "yes"}}
    state = cluster(a_pod("a", "4", node="0", metadata=kept), a_pod("b", "4", 5, "1"))
    state.budgets.apply("ADDED", msgspec.convert(budget, PodDisruptionBudget))
    assert chosen(judge(state, a_pod("new", "4", 10))) == (1, ["b"])
    state.remove_pod("b")
    state.put_pod(a_pod("c", "4", 10, "1"))
    found = judge(state, a_pod("new", "4", 10))
    assert chosen(found) == (0, ["a"])
    assert found.candidate is not None
    assert found.candidate.violations == 1


def test_one_budget_for_several_pods() -> None:
    """It allows so many; those that it has allowed already, and empty selectors, do not count."""
    state = cluster(*(a_pod(name, "1", node="0") for name in "abc"))
    pods = sorted(state.pods.values(), key=lambda placed: placed.name)
    spec = {"selector": {"matchLabels": {"app": "x"}}}
    status = {"disruptionsAllowed": 1, "disruptedPods": {"a": "2027-01-15T08:00:00Z"}}
    budget = msgspec.convert(
        {"metadata": {"name": "b", "namespace": "ns"}, "spec": spec, "status": status}, PodDisruptionBudget
    )
    violating, others = split_by_budgets(pods, [budget])
    assert ([placed.name for placed, _ in violating], [placed.name for placed in others]) == (["c"], ["a", "b"])
    everything = msgspec.convert({"metadata": {"namespace": "ns"}, "spec": {"selector": {}}}, PodDisruptionBudget)
    assert split_by_budgets(pods, [everything]) == ([], pods)


def test_pods_that_have_just_started_are_protected() -> None:
    """For as long as the setting says."""
    state = cluster(a_pod("old", "4", node="0"), a_pod("young", "4", node="1", start=3590))
    assert chosen(judge(state, a_pod("new", "4", 10))) == (1, ["young"])
    assert chosen(judge(state, a_pod("new", "4", 10), EvictionRules(min_runtime_seconds=60.0))) == (0, ["old"])
    found = judge(state, a_pod("new", "4", 10), EvictionRules(min_runtime_seconds=1e9))
    assert (found.candidate, found.look_again_seconds is not None) == (None, True)  # time alone may help


def test_room_is_kept_for_a_pod_that_others_have_left_it_to() -> None:
    """A pod of lower or equal priority may not take it; one of higher priority may."""
    state = cluster(nodes=1)
    state.put_pod(a_pod("x", "1", 50, "0"))
    room = PlacedPod("first", "ns", "first", "0", {"cpu": 3000}, frozenset(), state.pods["x"].neighbour, priority=10)
    state.nominations.put(room)
    pods = {priority: a_pod("new", "1", priority) for priority in (9, 10, 11)}
    for priority, pod in pods.items():
        pod_class = ClassTable().of(pod)
        pod_class.refresh(state)
        view = View(state, Rejections(), pod, pod_class.verdicts.affine, pod_class.verdicts.tolerated, NOW)
        walked = walk(view, pod_class)
        assert walked.feasible.tolist() == [priority > 10]


def test_the_search_ends_when_it_must() -> None:
    """The rest has its turn at the next look, and the text says so."""
    state = cluster(*(a_pod(str(number), "3", 99, str(number)) for number in range(4)), nodes=4)
    state.put_pod(a_pod("low", "1", node="3"))
    turns = iter([True, True, False])
    found = judge(state, a_pod("new", "2", 10), may_go_on=lambda: next(turns))
    assert found.look_again_seconds is not None
    assert f"2 {NOT_EXAMINED}" in found.text
    assert "2 No preemption victims" in found.text


def test_what_an_eviction_costs() -> None:
    """Work since the last checkpoint, and what a promised deadline would be exceeded by."""
    saved = {"annotations": {"cloudai.dev/checkpointed-at": "2027-01-15T07:50:00Z"}}
    state = cluster(a_pod("a", "1", node="0"), a_pod("b", "1", node="0", metadata=saved))
    now = NOW
    plain, checkpointed = loss_seconds(state.pods["a"], now), loss_seconds(state.pods["b"], now)
    assert plain - checkpointed == 3000.0
    state.pods["a"].running = RunningTask(100.0, now - 50.0, now + 60.0, 0.5)
    assert loss_seconds(state.pods["a"], now) == plain + 40.0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.booleans()), max_size=12))
def test_a_trial_leaves_no_trace(steps: list[tuple[int, int, bool]]) -> None:
    """After any sequence of changes, nested too, everything that filters read is as it was, and nobody is woken."""
    wish = {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "h", "labelSelector": {"matchLabels": {"app": "x"}}}
        ]
    }
    volumes = [
        {"name": "d", "gcePersistentDisk": {"pdName": "x"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "c"}},
    ]
    full = {"affinity": {"podAntiAffinity": wish}, "volumes": volumes}
    state = cluster(*(a_pod(str(number), "1", node=str(number), spec=full) for number in range(3)), nodes=3)

    def picture() -> Any:
        neighbours, storage = state.neighbours, state.storage
        return (
            [state.fleet.requested(name).tolist() for name in ("cpu", "pods")],
            [(key, dict(slots)) for key, slots in neighbours.rejecting("ns", {"app": "x"})],
            {key: {slot: dict(uses) for slot, uses in slots.items()} for key, slots in storage.disks.items()},
            {key: dict(slots) for key, slots in storage.users.items()},
            (state.version, state.surroundings, neighbours.rejecting_version),
        )

    before = picture()
    with Trial(state) as outer:
        for slot, count, places in steps:
            for _ in range(count):
                placed = state.pods[str(slot)]
                with Trial(state) as inner:
                    inner.evict(slot, placed)
                if places:
                    outer.place(slot, placed)
    assert picture() == before
    assert not state.neighbours.is_trial


def test_the_end_of_a_nomination_is_news() -> None:
    """For the pods that yielded to it: the node counts as changed."""
    freed: list[str] = []
    state = cluster(a_pod("x", "1", 50, "0"), nodes=1)
    state.on_capacity = freed.append
    room = PlacedPod("first", "ns", "first", "0", {"cpu": 3000}, frozenset(), state.pods["x"].neighbour, priority=10)
    state.nominations.put(room)
    before = state.version
    state.nominations.remove("first")
    assert (freed, state.version > before) == (["0"], True)
    state.nominations.remove("first")
    assert freed == ["0"]
