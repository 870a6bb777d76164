"""The queue: order, backoff, parking, waking; and that no pod is ever lost."""

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudai_kube.objects import Pod
from cloudai_rts.deferral import RECHECK_SECONDS
from cloudai_rts.ordering import Standing
from cloudai_rts.task import Task
from cloudai_scheduler.podclass import PodClass
from cloudai_scheduler.queue import MOST_OLD_TICKETS, Cause, Place, QueuedPod, SchedulingQueue, backoff_seconds
from cloudai_scheduler.verdicts import Verdicts


def entry(
    name: str, deadline: float | None = None, now: float = 0.0, key: bytes = b"k", best: float = 0.0
) -> QueuedPod:
    """A queued pod of class `key`."""
    pod = msgspec.convert({"metadata": {"name": name, "uid": name}}, Pod)
    pod_class = PodClass(key, {"cpu": 1}, {"cpu": 1}, frozenset(), Verdicts(pod))
    return QueuedPod(pod, pod_class, Task("t", 1, 1, deadline=deadline), Standing(0, deadline, now, best), 0, now)


def names(queue: SchedulingQueue, now: float) -> list[str]:
    """Everything that is active now, in order; taken out."""
    found = []
    while (one := queue.pop(now)) is not None:
        found.append(one.uid)
    return found


def test_deadlines_order_the_queue() -> None:
    """Not the order of arrival."""
    queue = SchedulingQueue()
    for name, deadline in (("late", 900.0), ("soon", 100.0), ("none", None)):
        queue.add(entry(name, deadline), 0.0)
    assert names(queue, 0.0) == ["soon", "none", "late"]


def test_who_becomes_hopeless_in_the_queue_goes_last() -> None:
    """The key is judged when the pod is popped, not when it was added."""
    queue = SchedulingQueue()
    queue.add(entry("lost", 100.0, best=50.0), 0.0)
    queue.add(entry("fine", 500.0, best=50.0), 0.0)
    assert names(queue, 60.0) == ["fine", "lost"]


def test_backoff() -> None:
    """1, 2, 4, 8 and then 10 s; never earlier."""
    assert [backoff_seconds(n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    queue = SchedulingQueue()
    one = entry("p")
    queue.add(one, 0.0)
    queue.pop(0.0)
    queue.back_off(one, 0.0)
    queue.tick(0.9)
    assert names(queue, 0.9) == []
    assert queue.next_wake() == 1.0
    queue.tick(1.0)
    assert names(queue, 1.0) == ["p"]


def test_parked_until_a_node_could_take_it() -> None:
    """A hint that does not fit moves nothing; one that fits moves it, after its backoff."""
    queue = SchedulingQueue()
    one = entry("p")
    queue.add(one, 0.0)
    queue.pop(0.0)
    queue.park(one, 0.0)
    queue.capacity(lambda _: False, 5.0)
    assert names(queue, 5.0) == []
    queue.capacity(lambda _: True, 0.5)
    assert one.place is Place.BACKOFF
    queue.tick(1.0)
    assert names(queue, 1.0) == ["p"]


def test_nobody_is_parked_for_ever() -> None:
    """Hints are never perfect: after five minutes it is tried again anyway."""
    queue = SchedulingQueue()
    one = entry("p")
    queue.add(one, 0.0)
    queue.pop(0.0)
    queue.park(one, 0.0)
    queue.tick(299.0)
    assert names(queue, 299.0) == []
    queue.tick(300.0)
    assert names(queue, 300.0) == ["p"]


def test_deferred_pods_are_looked_at_now_and_then_and_at_the_end() -> None:
    """A deferral never sleeps without a wake-up."""
    queue = SchedulingQueue()
    one = entry("p", 1000.0)
    queue.add(one, 0.0)
    queue.pop(0.0)
    queue.defer(one, 400.0, 0.0)
    assert queue.next_wake() == RECHECK_SECONDS
    queue.tick(RECHECK_SECONDS)
    assert queue.pop(RECHECK_SECONDS) is one
    queue.defer(one, 400.0, RECHECK_SECONDS)
    assert queue.next_wake() == 400.0


def test_a_deferred_pod_is_woken_by_a_better_node_only() -> None:
    """A node no faster than the refused one does not wake it; a pod that found no node is woken by any."""
    queue = SchedulingQueue()
    deferred, parked = entry("deferred", 1000.0), entry("parked", 1000.0)
    for one in (deferred, parked):
        queue.add(one, 0.0)
        queue.pop(0.0)
    queue.defer(deferred, 400.0, 0.0, 0.5)
    queue.park(parked, 0.0)
    queue.capacity(lambda _: True, 20.0, lambda one: one.refused > 0.7)
    assert names(queue, 20.0) == ["parked"]
    queue.capacity(lambda _: True, 20.0, lambda one: one.refused > 0.3)
    assert names(queue, 20.0) == ["deferred"]


def test_one_event_wakes_at_most_128_of_a_class_the_most_urgent_first() -> None:
    """A freed node takes no more, and trying thousands would only burn CPU."""
    queue = SchedulingQueue()
    for number in range(300):
        one = entry(f"p{number:03d}", 1000.0 - number)
        queue.add(one, 0.0)
        queue.pop(0.0)
        queue.park(one, 0.0)
    queue.capacity(lambda _: True, 20.0)
    woken = names(queue, 20.0)
    assert len(woken) == 128
    assert woken[0] == "p299"


def test_the_wake_up_of_an_older_wait_is_void() -> None:
    """A pod that was woken and parked again sleeps its new time."""
    queue = SchedulingQueue()
    one = entry("p")
    queue.add(one, 0.0)
    queue.pop(0.0)
    queue.back_off(one, 0.0)  # until 1.0
    queue.wake_all(0.5, Cause.PARAMETERS_CHANGED)
    queue.tick(1.0)
    assert queue.pop(1.0) is one
    queue.park(one, 1.0)
    queue.tick(2.0)
    assert queue.pop(2.0) is None


def test_every_move_has_a_cause() -> None:
    """What brought a pod to a queue, for the metric by event."""
    moves: list[tuple[Place, Cause]] = []
    queue = SchedulingQueue(on_move=lambda place, cause: moves.append((place, cause)))
    one, now = entry("p"), 0.0
    queue.add(one, now)
    steps: list[Callable[[], None]] = [
        lambda: queue.back_off(one, now),
        lambda: queue.tick(now + 10.0),
        lambda: queue.park(one, now),
        lambda: queue.capacity(lambda _: True, now + 20.0),
        lambda: queue.park(one, now),
        lambda: queue.tick(now + 400.0),
        lambda: queue.defer(one, now + 1000.0, now),
        lambda: queue.tick(now + RECHECK_SECONDS),
        lambda: queue.park(one, now),
        lambda: queue.wake_next(one.pod_class.key, now + 20.0),
        lambda: queue.park(one, now),
        lambda: queue.wake_all(now + 20.0, Cause.PARAMETERS_CHANGED),
        lambda: queue.put_back(one, now),
        lambda: queue.postpone(one, now + 1.0, now),
    ]
    for step in steps:
        step()
    assert moves == [
        (Place.ACTIVE, Cause.ADDED),
        (Place.BACKOFF, Cause.FAILED),
        (Place.ACTIVE, Cause.PAUSE_ENDED),
        (Place.PARKED, Cause.FAILED),
        (Place.ACTIVE, Cause.NODE_CHANGED),
        (Place.PARKED, Cause.FAILED),
        (Place.ACTIVE, Cause.PARKED_LONG),
        (Place.DEFERRED, Cause.DEFERRED),
        (Place.ACTIVE, Cause.DEFERRAL_RECHECKED),
        (Place.PARKED, Cause.FAILED),
        (Place.ACTIVE, Cause.ALIKE_PLACED),
        (Place.PARKED, Cause.FAILED),
        (Place.ACTIVE, Cause.PARAMETERS_CHANGED),
        (Place.ACTIVE, Cause.PUT_BACK),
        (Place.BACKOFF, Cause.POSTPONED),
    ]


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "pop", "back_off", "park", "defer", "capacity", "tick", "wake_all", "pass"]),
        st.integers(0, 7),
    ),
    max_size=100,
)


@settings(max_examples=400, deadline=None)
@given(ACTIONS)
def test_no_pod_is_lost_whatever_happens(actions: list[tuple[str, int]]) -> None:
    """After any sequence of events every pod that was added and not removed is served within 330 s."""
    queue, flying, alive, now = SchedulingQueue(), dict[str, QueuedPod](), set[str](), 0.0
    for what, number in actions:
        now = _play(queue, flying, alive, what, f"p{number}", now)
        assert set(queue.entries) == alive
    for one in flying.values():
        queue.park(one, now)
    served: set[str] = set()
    for _ in range(33):
        now += 10.0
        queue.tick(now)
        served.update(names(queue, now))
    assert served == alive


def _play(
    queue: SchedulingQueue, flying: dict[str, QueuedPod], alive: set[str], what: str, name: str, now: float
) -> float:
    simple: dict[str, Any] = {
        "capacity": lambda: queue.capacity(lambda _: True, now),
        "tick": lambda: queue.tick(now),
        "wake_all": lambda: queue.wake_all(now, Cause.PARAMETERS_CHANGED),
    }
    if what in simple:
        simple[what]()
    elif what == "add":
        queue.add(entry(name, 50.0, now, key=name[-1:].encode()), now)
        flying.pop(name, None)
        alive.add(name)
    elif what == "remove":
        queue.remove(name)
        flying.pop(name, None)
        alive.discard(name)
    elif what == "pop":
        one = queue.pop(now)
        if one is not None:
            flying[one.uid] = one
    elif what == "pass":
        return now + 3.0
    elif name in flying:
        one = flying.pop(name)
        {"back_off": lambda: queue.back_off(one, now), "park": lambda: queue.park(one, now)}.get(
            what, lambda: queue.defer(one, now + 45.0, now)
        )()
    return now


def test_pauses_are_cut_short_where_there_is_nothing_else_to_do() -> None:
    """Of pods that an event may help; not of those for which a request failed, and not while others are active."""
    queue = SchedulingQueue()
    for name in ("parked", "failed"):
        queue.add(entry(name), 0.0)
    parked, failed = queue.pop(0.0), queue.pop(0.0)
    assert parked is not None
    assert failed is not None
    queue.park(parked, 0.0)
    queue.back_off(failed, 0.0)
    assert not queue.has_active()
    queue.capacity(lambda _: True, 0.1)
    assert parked.place is Place.BACKOFF
    queue.add(entry("active"), 0.2)
    assert names(queue, 0.2) == ["active", parked.uid]
    assert failed.place is Place.BACKOFF
    assert not queue.has_active()
    queue.park(parked, 0.3)  # it failed again: only another event helps
    assert names(queue, 0.4) == []


def test_pauses_are_cut_short_in_the_order_of_the_queue() -> None:
    """Not in that in which they were parked."""
    queue = SchedulingQueue()
    for name, deadline in (("b", 50.0), ("a", 40.0), ("c", 60.0)):
        queue.add(entry(name, deadline), 0.0)
    flying = [one for _ in range(3) if (one := queue.pop(0.0)) is not None]
    for one in reversed(flying):
        queue.park(one, 0.0)
    queue.capacity(lambda _: True, 0.1)
    assert names(queue, 0.2) == ["a", "b", "c"]


def test_namespaces_that_had_less_go_first() -> None:
    """Whatever deadlines the others set; priority goes before, deadlines order the pods of equals."""
    levels = {"greedy": 2}
    queue = SchedulingQueue(lambda namespace: levels.get(namespace, 0))
    wanted = (("g1", "greedy", 10.0, 0), ("g2", "greedy", 5.0, 0), ("m1", "modest", 900.0, 0), ("u", "greedy", 50.0, 7))
    for name, namespace, deadline, priority in wanted:
        one = entry(name, deadline)
        one.pod.metadata.namespace = namespace
        one.standing = Standing(priority, deadline, 0.0, 0.0)
        queue.add(one, 0.0)
    first = queue.pop(0.0)
    assert first is not None
    assert first.uid == "u"
    levels["modest"] = 3  # it has had more meanwhile
    assert names(queue, 0.0) == ["g2", "g1", "m1"]


def test_a_namespace_that_falls_back_moves_up() -> None:
    """Pods that are active already, too."""
    levels = {"a": 5, "b": 1}
    queue = SchedulingQueue(lambda namespace: levels.get(namespace, 0))
    for name, namespace in (("a1", "a"), ("b1", "b")):
        one = entry(name, 100.0)
        one.pod.metadata.namespace = namespace
        queue.add(one, 0.0)
    levels["a"] = 0
    queue.move_up({"a"}, 0.0)
    assert names(queue, 0.0) == ["a1", "b1"]


def test_a_queue_that_nobody_pops_does_not_grow() -> None:
    """A standby sees pods come and go for months."""
    queue = SchedulingQueue()
    for number in range(5 * MOST_OLD_TICKETS):
        queue.add(entry(str(number), 50.0), 0.0)
        if number % 2:
            queue.remove(str(number))
            queue.remove(str(number - 1))
    assert len(queue._active) <= MOST_OLD_TICKETS + 2  # noqa: SLF001  that is what is tested
    queue.add(entry("kept", 10.0), 0.0)
    assert names(queue, 0.0)[0] == "kept"
