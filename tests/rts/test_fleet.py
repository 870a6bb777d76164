"""The fleet as arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_rts.contract import CPU, MEMORY, PODS
from cloudai_rts.fleet import KEPT_CLASSES, Fleet, NodeSpec

GPU = "nvidia.com/gpu"


def node(name: str, cpu: int = 4000, memory: int = 1000, gpu: int = 0, shared: str = "") -> NodeSpec:
    """A node with 10 pod slots."""
    return NodeSpec(name, {CPU: cpu, MEMORY: memory, PODS: 10, GPU: gpu}, f"class-{gpu}", gpu > 0, shared)


def test_fits_and_could_fit() -> None:
    """A full node does not fit now but could; a small one never could."""
    fleet = Fleet()
    big, small = fleet.put(node("big")), fleet.put(node("small", cpu=500))
    fleet.request(big, {CPU: 3500, PODS: 1})
    ask = {CPU: 1000, PODS: 1}
    assert fleet.fits(ask).tolist() == [False, False]
    assert fleet.could_fit(ask).tolist() == [True, False]
    assert small == 1


def test_load_by_hand() -> None:
    """max(cpu, memory) share; with the task on it 2500/4000 = .625; whole GPUs do not count, shared ones do."""
    fleet = Fleet()
    plain = fleet.put(node("plain", gpu=2))
    shared = fleet.put(node("shared", gpu=2, shared=GPU))
    for slot in (plain, shared):
        fleet.request(slot, {CPU: 1500, MEMORY: 500, GPU: 2})
    assert fleet.load().tolist() == [0.5, 1.0]
    assert fleet.load({CPU: 1000, GPU: 1}).tolist() == [0.625, 1.5]


def test_a_node_without_allocatable_has_load_zero() -> None:
    """Nothing is divided by zero, and nothing fits there."""
    fleet = Fleet()
    fleet.put(NodeSpec("empty", {}, "none"))
    assert fleet.load({CPU: 1}).tolist() == [0.0]
    assert not fleet.fits({CPU: 1}).any()


def test_measured_use_replaces_requests() -> None:
    """A fresh sample counts instead of requests, and what is bound after it counts at once."""
    fleet = Fleet()
    slot = fleet.put(node("n"))
    fleet.request(slot, {CPU: 1000})
    fleet.measure(CPU, np.array([3000]))
    assert fleet.load()[0] == 0.75
    fleet.request(slot, {CPU: 1000})
    assert fleet.load()[0] == 1.0


def test_slots_are_reused_clean() -> None:
    """A node that takes a removed one's slot inherits nothing."""
    fleet = Fleet()
    slot = fleet.put(node("old", gpu=4))
    fleet.request(slot, {CPU: 4000, GPU: 4})
    fleet.remove("old")
    assert not fleet.fits({CPU: 1}).any()
    assert fleet.put(node("new")) == slot
    assert fleet.available(CPU).tolist() == [4000]
    assert fleet.available(GPU).tolist() == [0]
    assert not fleet.busy().any()


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 10**13)), max_size=60))
def test_requests_given_back_leave_nothing(pods: list[tuple[int, int]]) -> None:
    """Any sequence of pods added and removed ends exactly at zero: integers do not drift."""
    fleet = Fleet()
    for index in range(100):
        fleet.put(node(f"n{index}"))
    for slot, amount in pods:
        fleet.request(slot, {MEMORY: amount, "example.com/new": 1})
    for slot, amount in reversed(pods):
        fleet.request(slot, {MEMORY: amount, "example.com/new": 1}, -1)
    assert not fleet.busy().any()


def test_growth_keeps_what_was_there() -> None:
    """More nodes than the first arrays hold."""
    fleet = Fleet()
    for index in range(300):
        slot = fleet.put(node(f"n{index}", cpu=index))
        fleet.request(slot, {CPU: index})
    np.testing.assert_array_equal(fleet.requested(CPU), np.arange(300))
    assert fleet.slot("n299") == 299
    assert fleet.slot("none") is None
    with pytest.raises(IndexError):
        fleet.requested(CPU)[300]


def test_classes_that_no_node_has_give_way() -> None:
    """Machines that come and go under ever new names leave a bounded trace; those that stay keep their class."""
    fleet = Fleet()
    stays = fleet.put(NodeSpec("stays", {"cpu": 1}, "steady"))
    for number in range(3 * KEPT_CLASSES):
        slot = fleet.put(NodeSpec("guest", {"cpu": 1}, f"class-{number}"))
        assert fleet.class_names[fleet.class_index[slot]] == f"class-{number}"
        fleet.remove("guest")
    assert len(fleet.class_names) <= KEPT_CLASSES + 1
    assert fleet.class_names[fleet.class_index[stays]] == "steady"
    slots = [fleet.put(NodeSpec(f"n{number}", {"cpu": 1}, f"new-{number}")) for number in range(2 * KEPT_CLASSES)]
    assert [fleet.class_names[fleet.class_index[slot]] for slot in slots] == [
        f"new-{n}" for n in range(2 * KEPT_CLASSES)
    ]
