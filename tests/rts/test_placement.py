"""One placement: RTS first, deferral where waiting pays, round-robin where RTS cannot decide."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_rts.contract import CPU, PODS
from cloudai_rts.deferral import Promise, should_defer, wait_until
from cloudai_rts.fleet import Fleet, NodeSpec
from cloudai_rts.fragmentation import GpuRequest, Room
from cloudai_rts.parameters import Document, LatenessTerms, RuntimeModel
from cloudai_rts.placement import Candidates, Deferred, Placed, place
from cloudai_rts.policy import Policy
from cloudai_rts.reservation import Claim, Reservation, Reservations
from cloudai_rts.task import Task

FAST_SLOW = RuntimeModel(U={"t": {"fast": -1.0, "slow": 1.0}})
ASK = {CPU: 1000, PODS: 1}
PENALTIES = {"a-0": 0.0, "b-1": 0.0, "c-2": 3.0}


def cluster(*classes: str, cpu: int = 4000) -> Fleet:
    """One node for each class name."""
    fleet = Fleet()
    for index, name in enumerate(classes):
        fleet.put(NodeSpec(f"{name}-{index}", {CPU: cpu, PODS: 10}, name))
    return fleet


def candidates(fleet: Fleet, harm: float = 0.0) -> Candidates:
    """Every node passes every filter."""
    size = len(fleet)
    return Candidates(
        feasible=fleet.fits(ASK),
        eligible=fleet.could_fit(ASK),
        harm=np.full(size, harm),
        typical_load=np.full(len(fleet.class_names), 0.5),
    )


def task(deadline: float | None = 300.0) -> Task:
    """Takes 100 s on the reference class, 37 s on a fast node, 272 s on a slow one."""
    return Task("t", 1.0, 0.0, reference_runtime=100.0, deadline=deadline, log_sd=0.3)


def test_the_fast_node_wins() -> None:
    """Learned speeds decide, and the answer says how."""
    fleet = cluster("slow", "fast")
    placed = place(Policy(fleet, Document(Runtime=FAST_SLOW)), task(), ASK, candidates(fleet), now=0.0)
    assert isinstance(placed, Placed)
    assert fleet.names[placed.slot] == "fast-1"
    assert (placed.policy, placed.model, placed.fallback_reason) == ("rts", "lateness", None)
    assert placed.runner_up is not None
    assert placed.predicted_runtime == pytest.approx(100 * np.exp(-1) * (1 + 0.3 * 0.0625))


def test_deferred_when_only_the_slow_node_is_free() -> None:
    """The fast node is busy and promises far less lateness: wait while it could still make it."""
    fleet = cluster("slow", "fast")
    fleet.request(1, {CPU: 4000, PODS: 1})
    policy = Policy(fleet, Document(Runtime=FAST_SLOW))
    first = place(policy, task(), ASK, candidates(fleet), now=0.0)
    assert isinstance(first, Deferred)
    load = 0.25 + 0.75 * 0.5  # its own share of the node, and of the rest as much as is usual
    expected = 100 * np.exp(-1) * (1 + 1.5 * 0.3 * load**2)
    assert first.until == pytest.approx(300 - expected)


def test_a_deferral_ends_when_it_was_said_to() -> None:
    """The end is never moved, and at the end the task takes the best node there is."""
    fleet = cluster("slow", "fast")
    fleet.request(1, {CPU: 4000, PODS: 1})
    policy = Policy(fleet, Document(Runtime=FAST_SLOW))
    again = place(policy, task(), ASK, candidates(fleet), now=50.0, deferred_until=120.0)
    assert isinstance(again, Deferred)
    assert again.until == 120.0
    assert isinstance(place(policy, task(), ASK, candidates(fleet), now=120.0, deferred_until=120.0), Placed)


def test_never_deferred_without_a_deadline() -> None:
    """A pod that promised nothing takes what is free."""
    fleet = cluster("slow", "fast")
    fleet.request(1, {CPU: 4000, PODS: 1})
    assert isinstance(
        place(Policy(fleet, Document(Runtime=FAST_SLOW)), task(None), ASK, candidates(fleet), 0.0), Placed
    )


@given(st.floats(-1e4, 1e6), st.lists(st.floats(-5, 5), min_size=1, max_size=5), st.floats(0.05, 2), st.floats(0, 50))
def test_a_task_always_starts_on_an_idle_cluster(
    slack: float, factors: list[float], log_sd: float, harm: float
) -> None:
    """Waiting on an idle cluster could never end: whatever the numbers, the task is placed."""
    names = [f"c{i}" for i in range(len(factors))]
    fleet = cluster(*names)
    document = Document(Runtime=RuntimeModel(U={"t": dict(zip(names, factors, strict=True))}))
    one = Task("t", 1.0, 0.0, reference_runtime=100.0, deadline=slack, log_sd=log_sd)
    assert isinstance(place(Policy(fleet, document), one, ASK, candidates(fleet, harm), now=0.0), Placed)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_no_deferral_outlives_its_end(begun: float, slack: float, runtime: float) -> None:
    """wait_until lies between the beginning and the deadline."""
    until = wait_until(begun, begun + slack, runtime)
    assert begun <= until <= begun + slack


def test_deferral_rule_by_hand() -> None:
    """(4): .6 - .2 + 1 x 0 = .4 > .35 defers; .5 - .2 = .3 does not; harm .1 makes it .4."""
    best, weights = Promise(0.2, 10.0), LatenessTerms(Delta=0.35)
    assert should_defer(0.6, 0.0, best, 0.0, weights)
    assert not should_defer(0.5, 0.0, best, 0.0, weights)
    assert should_defer(0.5, 0.1, best, 0.0, weights)


def test_waiting_where_all_nodes_are_alike_spares_nobody() -> None:
    """Only the harm that another node would not suffer is a reason to wait."""
    best, weights = Promise(0.0, 10.0), LatenessTerms(Delta=0.35)
    assert should_defer(0.0, 5.0, best, 0.0, weights)
    assert not should_defer(0.0, 5.0, best, 4.9, weights)


def test_round_robin_when_rts_cannot_decide() -> None:
    """NaN in every score: the nodes are taken in turn and the decision says why."""
    fleet = cluster("a", "b", "c")
    broken = Candidates(fleet.fits(ASK), fleet.could_fit(ASK), np.full(3, np.nan), np.full(3, 0.5))
    policy = Policy(fleet, Document())
    placed = [place(policy, task(), ASK, broken, now=0.0) for _ in range(6)]
    assert all(isinstance(one, Placed) and one.policy == "round-robin" for one in placed)
    assert all(isinstance(one, Placed) and "could not decide" in str(one.fallback_reason) for one in placed)
    assert set(Counter(one.slot for one in placed if isinstance(one, Placed)).values()) == {2}


def test_round_robin_by_choice() -> None:
    """As a setting it is no fallback, and only feasible nodes take part."""
    fleet = cluster("a", "b", "c")
    fleet.request(1, {CPU: 4000})
    policy = Policy(fleet, Document(), mode="round-robin")
    found = [place(policy, task(), ASK, candidates(fleet), now=0.0) for _ in range(4)]
    assert [one.slot for one in found if isinstance(one, Placed)] == [0, 2, 0, 2]
    assert all(isinstance(one, Placed) and one.fallback_reason is None for one in found)


def test_hinge_by_document() -> None:
    """model: hinge reads affinity and penalty: the loved node wins, the punished one loses."""
    fleet = cluster("a", "b", "c")
    document = Document(model="hinge", AffinityMatrix={"t": {"a-0": 0.5, "b-1": 2.0}}, PenaltyVector=PENALTIES)
    placed = place(Policy(fleet, document), task(), ASK, candidates(fleet), now=0.0)
    assert isinstance(placed, Placed)
    assert (fleet.names[placed.slot], placed.model) == ("b-1", "hinge")
    assert placed.risk == pytest.approx(-2.0)


def test_new_parameters_hold_at_once() -> None:
    """`use` switches document and kept factors."""
    fleet = cluster("slow", "fast")
    policy = Policy(fleet, Document(Runtime=FAST_SLOW))
    assert isinstance(place(policy, task(), ASK, candidates(fleet), 0.0), Placed)
    policy.use(Document(Runtime=RuntimeModel(U={"t": {"fast": 2.0, "slow": 0.0}})))
    placed = place(policy, task(), ASK, candidates(fleet), 0.0)
    assert isinstance(placed, Placed)
    assert fleet.names[placed.slot] == "slow-0"


def kept_for_another(fleet: Fleet) -> Candidates:
    """Both nodes are kept for a large task that may begin in a minute."""
    kept, none = Reservations(), Room(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64))
    for slot in range(len(fleet)):
        large = Claim(f"large-{slot}", "other", 0, GpuRequest(4, 1, 1))
        kept.renew(large.name, Reservation(large, slot, 60.0, none))
    return replace(candidates(fleet), kept=kept, claim=Claim("p", "ns", 0, GpuRequest(0, 1000, 0)))


def test_room_kept_for_others_defers() -> None:
    """A task that would still run then stands back, as long as it can; the end of that is the same as ever."""
    fleet = cluster("slow", "slow")
    policy = Policy(fleet, Document(Runtime=FAST_SLOW))
    first = place(policy, task(600.0), ASK, kept_for_another(fleet), now=0.0)
    assert isinstance(first, Deferred)
    assert first.is_kept
    assert first.until == pytest.approx(600.0 - 100.0 * np.e)
    assert isinstance(place(policy, task(600.0), ASK, kept_for_another(fleet), 400.0, first.until), Placed)


def test_short_tasks_and_pods_without_a_deadline_ignore_kept_room() -> None:
    """A task that ends before may run there, and kube-scheduler would place the pod."""
    fleet = cluster("fast", "fast")
    policy = Policy(fleet, Document(Runtime=FAST_SLOW))
    short = replace(task(600.0), reference_runtime=50.0)
    assert isinstance(place(policy, short, ASK, kept_for_another(fleet), now=0.0), Placed)
    assert isinstance(place(policy, task(None), ASK, kept_for_another(fleet), now=0.0), Placed)


def test_only_a_faster_node_is_worth_another_look() -> None:
    """A node that gained room counts with its class and its load."""
    fleet = cluster("slow", "fast", "slow")
    policy = Policy(fleet, Document(Runtime=FAST_SLOW))
    refused = policy.log_factor_at(task(), ASK, 0)
    assert policy.is_worth_another_look(task(), ASK, 1, refused)
    assert not policy.is_worth_another_look(task(), ASK, 2, refused)
    fleet.request(0, {CPU: 3000})
    assert policy.is_worth_another_look(task(), ASK, 2, policy.log_factor_at(task(), ASK, 0))
