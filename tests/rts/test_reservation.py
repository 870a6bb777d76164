"""Room that is kept for tasks which need much of one machine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_rts.fragmentation import GpuRequest, Room
from cloudai_rts.harm import HarmTable, RunningRows, RunningTask
from cloudai_rts.reservation import (
    LEAST_NODES,
    Claim,
    Reservation,
    Reservations,
    is_needed,
    openings,
    upper_seconds,
)

NOW = 1000.0
PLENTY = 1_000_000


def running(*tasks: tuple[int, float, int], log_sd: float = 0.3) -> RunningRows:
    """Tasks that began just now: slot, predicted seconds, GPUs."""
    table = HarmTable()
    for number, (slot, predicted, gpus) in enumerate(tasks):
        table.add(slot, f"task-{number}", RunningTask(predicted, NOW, NOW + 1e4, log_sd, "", "gpu", gpus, 1000, 10))
    return table.rows("gpu")


def room(*gpus: int) -> Room:
    """Nodes with so many free GPUs; further ones, on which nothing ends, make it as many as there have to be."""
    free = [*gpus, *[0] * (LEAST_NODES - len(gpus))]
    return Room(np.array(free), np.full(len(free), PLENTY), np.full(len(free), PLENTY))


def claim(gpus: int, name: str = "large", tenant: str = "a", priority: int = 0) -> Claim:
    """A task that asks for GPUs and little else."""
    return Claim(name, tenant, priority, GpuRequest(gpus, 1, 1), "gpu")


def choose(kept: Reservations, asking: Claim, rows: RunningRows, *gpus: int, seconds: float = 50.0) -> Reservation:
    """The node that is chosen, and kept, among nodes with so many free GPUs."""
    size = max(LEAST_NODES, len(gpus))
    chosen = kept.choose(asking, np.arange(size), room(*gpus), rows, np.full(size, seconds), NOW)
    assert chosen is not None
    kept.renew(asking.name, chosen)
    return chosen


def test_the_node_that_has_room_first_by_predicted_ends() -> None:
    """Node 0 frees two GPUs after 100 s and the other two after 900 s, node 1 all four after 300 s: node 1."""
    rows = running((0, 100.0, 2), (0, 900.0, 2), (1, 300.0, 4))
    chosen = choose(Reservations(), claim(4), rows, 0, 0)
    assert chosen.slot == 1
    assert chosen.start == pytest.approx(NOW + upper_seconds(300.0, 0.3, {}))


def test_a_faster_node_may_be_worth_a_later_start() -> None:
    """What counts is when the task ends."""
    rows = running((0, 100.0, 4), (1, 300.0, 4))
    chosen = Reservations().choose(claim(4), np.arange(4), room(0, 0), rows, np.array([900.0, 100.0, 5.0, 5.0]), NOW)
    assert chosen is not None
    assert chosen.slot == 1


def test_what_never_ends_frees_nothing() -> None:
    """A node whose GPUs others hold for good is never chosen; where all are such, nothing is kept."""
    assert Reservations().choose(claim(4), np.arange(4), room(0, 1), running(), np.full(4, 5.0), NOW) is None


def test_backfill() -> None:
    """Until then a task may run there that is over before, or that fits beside it; nothing else, and no later one."""
    kept = Reservations()
    start = choose(kept, claim(4), running((0, 100.0, 6)), 2).start - NOW
    slots, small = np.arange(1), claim(1, "small")
    assert not kept.closed(small, slots, np.array([start - 1.0]), NOW)[0]
    assert not kept.closed(small, slots, np.array([start + 1.0]), NOW)[0]  # of 8 GPUs then, 4 are left
    assert kept.closed(claim(5, "other"), slots, np.array([start + 1.0]), NOW)[0]
    assert not kept.closed(claim(5, "other"), slots, np.array([start - 1.0]), NOW)[0]
    assert kept.closed(claim(5, "other"), slots, np.array([start - 1.0]), NOW + 5.0)[0]


def test_for_itself_and_for_higher_priority_nothing_is_closed() -> None:
    """A reservation is no preemption, and no way around priority."""
    kept = Reservations()
    choose(kept, claim(4, priority=5), running((0, 100.0, 4)), 0)
    later = np.array([1e6])
    assert not kept.closed(claim(4), np.arange(1), later, NOW)[0]
    assert not kept.closed(claim(1, "urgent", priority=6), np.arange(1), later, NOW)[0]
    assert kept.closed(claim(1, "equal", priority=5), np.arange(1), later, NOW)[0]


def test_a_node_is_kept_for_one_task() -> None:
    """The next one gets another node."""
    kept, rows = Reservations(), running(*((slot, 100.0 + slot, 4) for slot in range(20)))
    free = [0] * 20
    assert [choose(kept, claim(4, f"large-{n}", f"tenant-{n}"), rows, *free).slot for n in range(3)] == [0, 1, 2]
    assert choose(kept, claim(4, "large-1", "tenant-1"), rows, *free).slot == 1


@given(st.integers(1, 60), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=60))
def test_no_more_than_a_share_of_the_nodes_is_kept(nodes: int, asking: list[tuple[int, int]]) -> None:
    """A fifth in all, of which one tenant has three quarters; one node at least, but none of very few."""
    kept, slots = Reservations(), np.arange(nodes)
    rows = running(*((slot, 100.0, 8) for slot in range(nodes)))
    free = Room(np.zeros(nodes, np.int64), np.full(nodes, PLENTY), np.full(nodes, PLENTY))
    for name, tenant in asking:
        known = claim(8, f"task-{name}-{tenant}", f"tenant-{tenant}")
        chosen = kept.choose(known, slots, free, rows, np.full(nodes, 5.0), NOW)
        kept.renew(known.name, chosen)
    tenants = [reservation.claim.tenant for reservation in kept.kept.values()]
    assert len(tenants) <= (max(1, nodes // 5) if nodes >= LEAST_NODES else 0)
    assert all(tenants.count(name) <= max(1, int(0.15 * nodes)) for name in tenants)
    assert len({reservation.slot for reservation in kept.kept.values()}) == len(tenants)


def test_released_with_the_task_and_with_the_node() -> None:
    """Neither a deleted task nor a deleted node keeps anything."""
    kept, rows = Reservations(), running((0, 100.0, 4), (1, 200.0, 4))
    choose(kept, claim(4), rows, 0, 0)
    released = kept.release("large")
    assert released is not None
    assert released.slot == 0
    assert kept.release("large") is None
    choose(kept, claim(4), rows, 0, 0)
    kept.leave(1)
    assert kept.kept
    kept.leave(0)
    assert not kept.kept


def test_one_gpu_needs_no_reservation() -> None:
    """It takes the first that becomes free."""
    rows = running((0, 100.0, 4))
    assert Reservations().choose(claim(1), np.arange(4), room(0), rows, np.full(4, 5.0), NOW) is None


def test_what_outlived_its_prediction_is_about_to_end_and_not_gone() -> None:
    """A share of the prediction is left, however long it has run."""
    table = HarmTable()
    table.add(0, "late", RunningTask(100.0, NOW - 5000.0, NOW, 0.3, "", "gpu", 4, 1, 1))
    start, _ = openings(np.arange(4), room(0), GpuRequest(4, 1, 1), table.rows("gpu"), NOW)
    assert start[0] == pytest.approx(NOW + 15.0)


def test_what_is_left_beside_is_given_once() -> None:
    """Two GPUs are left beside the large task: the first that runs on holds them, the next one finds none."""
    kept = Reservations()
    start = choose(kept, claim(4), running((0, 100.0, 6)), 0).start
    first, second, long = claim(2, "first"), claim(2, "second"), np.array([1e6])
    assert not kept.closed(first, np.arange(1), long, NOW)[0]
    kept.fill(first, 0, start - 1.0)  # over by then
    assert not kept.closed(second, np.arange(1), long, NOW)[0]
    kept.fill(first, 0, NOW + 1e6)
    assert kept.closed(second, np.arange(1), long, NOW)[0]


def test_devices_of_another_resource_are_no_business_of_a_reservation() -> None:
    """Slices that end free no whole GPUs, and take none."""
    kept = Reservations()
    choose(kept, claim(4), running((0, 100.0, 4)), 0)
    slice_ = Claim("slice", "a", 0, GpuRequest(1, 0, 0), "nvidia.com/mig-1g.5gb")
    assert not kept.closed(slice_, np.arange(1), np.array([1e6]), NOW)[0]
    table = HarmTable()
    table.add(0, "slice", RunningTask(100.0, NOW, NOW + 1e4, 0.3, "", "nvidia.com/mig-1g.5gb", 4, 1, 1))
    assert table.rows("gpu").held[0].tolist() == [0]


def test_reservations_elsewhere_do_not_count() -> None:
    """A pool of machines has its own share: what is kept on others is no reason to keep nothing there."""
    kept = Reservations()
    many = running(*((slot, 100.0, 8) for slot in range(30)))
    for number in range(3):
        choose(kept, claim(8, f"large-{number}", f"tenant-{number}"), many, *[0] * 25)
    slots = np.arange(25, 30)
    beside = kept.choose(claim(8, "other"), slots, room(*[0] * 5), many, np.full(5, 5.0), NOW, machines=30)
    assert beside is not None


def test_a_tenant_that_names_its_nodes_has_no_larger_share() -> None:
    """Each of its tasks suits four nodes on which nothing is kept yet: of all machines it may have no more for that."""
    kept, busy = Reservations(), running(*((slot, 100.0, 8) for slot in range(100)))
    for number in range(25):
        slots, own = np.arange(4 * number, 4 * number + 4), claim(8, f"large-{number}", "mallory")
        kept.renew(own.name, kept.choose(own, slots, room(*[0] * 4), busy, np.full(4, 5.0), NOW, machines=100))
    assert len(kept.kept) == 15


def test_nothing_is_kept_for_a_task_that_is_late_already() -> None:
    """After its deadline the node is open again, also where nobody has decided on the task since."""
    kept = Reservations()
    late = Claim("large", "a", 0, GpuRequest(4, 1, 1), "gpu", deadline=NOW + 60.0)
    choose(kept, late, running((0, 100.0, 4)), 0)
    forever = np.array([1e6])
    assert kept.closed(claim(1, "small"), np.arange(1), forever, NOW + 59.0)[0]
    assert not kept.closed(claim(1, "small"), np.arange(1), forever, NOW + 60.0)[0]


@pytest.mark.parametrize(
    ("deadline", "is_kept", "needed"),
    [(1_000.0, False, False), (170.0, False, True), (170.0, True, True), (1_000.0, True, True), (149.0, True, False)],
)
def test_room_is_kept_for_those_that_cannot_wait_for_luck(deadline: float, is_kept: bool, needed: bool) -> None:
    """In 100 s a node is free on which it takes 50 s: with much more time than that it may find another one before."""
    asking = Claim("large", "a", 0, GpuRequest(4, 1, 1), "gpu", NOW + deadline)
    assert is_needed(Reservation(asking, 0, NOW + 100.0, room(0)), 50.0, NOW, is_kept) is needed
