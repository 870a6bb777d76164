"""The order of the queue."""

from cloudai_rts.ordering import AGE_CAP_SECONDS, Standing


def standing(deadline: float | None, enqueued: float = 0.0, best: float = 10.0, priority: int = 0) -> Standing:
    """A pod that needs `best` seconds on the fastest idle node."""
    return Standing(priority, deadline, enqueued, best)


def test_priority_then_hope_then_deadline() -> None:
    """High priority first; then who can still make it; then the earlier deadline."""
    now = 100.0
    high = standing(900.0, priority=5)
    soon, later = standing(150.0), standing(400.0)
    hopeless = standing(105.0, enqueued=90.0)
    ordered = sorted([later, hopeless, soon, high], key=lambda one: one.key(now))
    assert ordered == [high, soon, later, hopeless]


def test_a_pod_without_deadline_does_not_starve() -> None:
    """It gets the virtual deadline enqueue + 300 s: Tasks that come later with later deadlines are served after it."""
    plain = standing(None, enqueued=0.0)
    assert plain.key(0.0) > standing(299.0).key(0.0)
    assert plain.key(0.0) < standing(301.0, enqueued=200.0).key(200.0)


def test_a_hopeless_task_regains_its_place_after_ten_minutes() -> None:
    """Waiting 600 s ends hopelessness; from then on it is served as a pod without a deadline."""
    lost = standing(20.0, enqueued=0.0, best=100.0)
    assert lost.is_hopeless(1.0)
    assert not lost.is_hopeless(600.0)
    assert lost.key(600.0) == standing(None, enqueued=0.0).key(600.0)


def test_an_absurd_deadline_overtakes_nobody() -> None:
    """One before the task came, or that no node can meet, gives no place ahead of honest deadlines."""
    absurd, honest = standing(-1e9, enqueued=0.0, best=10.0), standing(250.0, enqueued=0.0)
    for now in (0.0, 599.0, 600.0, 1e6):
        assert honest.key(min(now, 240.0)) < absurd.key(now)


def test_a_far_deadline_waits_no_longer_than_the_age_cap() -> None:
    """Pods without a deadline that keep coming pass it until then, and no more."""
    far, cap = standing(86_400.0, enqueued=0.0), AGE_CAP_SECONDS
    for came, is_first in ((cap - 301.0, False), (cap + 1.0, True)):
        newcomer = Standing(0, None, came, 0.0)
        assert (far.key(came) < newcomer.key(came)) is is_first


def test_becoming_hopeless_is_announced() -> None:
    """A task with deadline 100 that needs 10 s becomes hopeless after 90 s."""
    one = standing(100.0)
    assert one.hopeless_from() == 90.0
    assert not one.is_hopeless(90.0)
    assert one.is_hopeless(90.1)
