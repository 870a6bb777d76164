"""The replay's clockwork, against runs worked out by hand."""

import math
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rts.replay.conftest import job, world

from cloudai_rts.arrays import BoolArray
from cloudai_rts.parameters import Document
from cloudai_rts.placement import Deferred, Placed
from cloudai_rts.policy import ROUND_ROBIN
from cloudai_rts.replay.chooser import (
    EDF_BEST_NODE,
    LEAST_ALLOCATED,
    MOST_ALLOCATED,
    Chooser,
    RtsChooser,
    ScoreChooser,
    View,
)
from cloudai_rts.replay.engine import Course, Replay
from cloudai_rts.replay.job import Carried, Job


def test_alone_on_an_idle_machine() -> None:
    """100 s x own factor 2 x (1 + .5 (1/4)^2) = 206.25 s."""
    course = Replay(world(own=[2.0]), [job("a")], ScoreChooser(LEAST_ALLOCATED)).run()
    assert course.finish[0] == pytest.approx(206.25)


def test_two_slow_each_other_down() -> None:
    """Worked out by hand.

    a alone really uses 4 of 4 cores, f(1) = 1.5: in the first 75 s it does 50 of its 100 s. With b, L = 2 and
    f = 1 + .5 x 4 + 2 = 5: both do 1/5 s a second. The other 50 s of a take 250 s, until 325. b has done 50 by then and
    does the rest at 1.5: until 400.
    """
    over = [job("a", work=100.0, cpu=2.0), job("b", arrival=75.0, work=100.0, cpu=2.0)]
    used = [replace(one, cpu_used=4.0) for one in over]
    course = Replay(world(), used, ScoreChooser(LEAST_ALLOCATED)).run()
    assert course.finish.tolist() == pytest.approx([325.0, 400.0])


def test_what_does_not_fit_waits_and_is_overtaken() -> None:
    """The large one waits for room; the small one behind it starts at once."""
    jobs = [job("first", cpu=3.0), job("large", arrival=1.0, cpu=4.0), job("small", arrival=2.0, cpu=1.0, work=10.0)]
    course = Replay(world(phi=0.0), jobs, ScoreChooser(LEAST_ALLOCATED)).run()
    assert course.start.tolist() == pytest.approx([0.0, 100.0, 2.0])


def test_the_horizon() -> None:
    """What has not ended by then has no end."""
    course = Replay(world(), [job("a")], ScoreChooser(LEAST_ALLOCATED)).run(horizon=50.0)
    assert np.isnan(course.finish[0])
    assert course.start[0] == 0.0


class Waiting(ScoreChooser):
    """Defers one job for ten seconds as soon as it sees it, and takes no freed node for better than what it refused."""

    def decide(
        self, view: View, job: Job, allowed: BoolArray, now: float, deferred_until: float | None
    ) -> Placed | Deferred | None:
        """Defer `b` once, although there is room."""
        if job.name == "b" and deferred_until is None:
            return Deferred(now + 10.0, 0.5, 0.1, 0, log_factor=-1.0)
        return super().decide(view, job, allowed, now, deferred_until)

    def improves(self, view: View, job: Job, slot: int, refused: float) -> bool:  # noqa: ARG002  never
        """No node is better."""
        return False


def test_a_deferral_that_ends_where_nothing_is_free_is_not_forgotten() -> None:
    """The room that it refused is taken by then: it gets whatever becomes free."""
    jobs = [job("b", cpu=4.0), job("a", arrival=1.0, cpu=4.0, work=50.0)]
    course = Replay(world(phi=0.0), jobs, Waiting(LEAST_ALLOCATED)).run()
    assert course.start.tolist() == pytest.approx([51.0, 1.0])


CHOOSERS: dict[str, Callable[[], Chooser]] = {
    "lateness": lambda: RtsChooser(Document()),
    "hinge": lambda: RtsChooser(Document(model="hinge")),
    "round-robin": lambda: RtsChooser(Document(), ROUND_ROBIN),
    "least": lambda: ScoreChooser(LEAST_ALLOCATED),
    "most": lambda: ScoreChooser(MOST_ALLOCATED),
    "edf": lambda: ScoreChooser(EDF_BEST_NODE),
}
Draw = st.tuples(st.floats(0, 500), st.floats(1, 200), st.integers(1, 4), st.sampled_from([None, 1.2, 2.0, 10.0]))


@pytest.mark.parametrize("name", CHOOSERS)
@given(drawn=st.lists(Draw, min_size=1, max_size=25))
@settings(max_examples=25, deadline=None)
def test_every_policy_finishes_everything_and_breaks_no_law(
    name: str, drawn: list[tuple[float, float, int, float | None]]
) -> None:
    """All jobs end, none faster than the fastest machine allows, no node ever holds more than it has; same twice."""
    jobs = [
        job(f"j{i}", arrival, work, float(cpu), None if k is None else arrival + k * work)
        for i, (arrival, work, cpu, k) in enumerate(sorted(drawn, key=lambda one: one[0]))
    ]
    own = np.array([1.0, 0.5, 3.0])

    def run() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        course = Replay(world(own=own.tolist()), jobs, CHOOSERS[name]()).run()
        return course.start, course.finish, course.node

    start, finish, node = run()
    assert np.isfinite(finish).all()
    work = np.array([one.work for one in jobs])
    assert (finish - start >= work * own[node] * (1 - 1e-9)).all()
    for moment in start:
        running = (start <= moment) & (finish > moment)
        for slot in range(3):
            assert sum(one.known.cpu for one, here in zip(jobs, running & (node == slot), strict=True) if here) <= 4.0
    assert all(np.array_equal(one, other) for one, other in zip((start, finish, node), run(), strict=True))


@pytest.mark.parametrize("name", ["lateness", "least"])
@given(drawn=st.lists(Draw, min_size=1, max_size=25), ran=st.lists(st.tuples(st.integers(0, 2), st.floats(1, 900))))
@settings(max_examples=25, deadline=None)
def test_running_out_is_what_would_have_happened(
    name: str, drawn: list[tuple[float, float, int, float | None]], ran: list[tuple[int, float]]
) -> None:
    """Once all are placed nodes go on one by one; event by event, as up to a horizon, the outcome is the same."""
    jobs = [
        job(f"j{i}", arrival, work, float(cpu), None if k is None else arrival + k * work)
        for i, (arrival, work, cpu, k) in enumerate(sorted(drawn, key=lambda one: one[0]))
    ]
    carried = [Carried(job(f"c{i}"), slot, -1.0, left, 2 * left) for i, (slot, left) in enumerate(ran)]
    there = world(own=[1.0, 0.5, 3.0])
    short, long = (Replay(there, jobs, CHOOSERS[name](), carried=carried).run(horizon) for horizon in (math.inf, 1e12))
    for figure in (field.name for field in fields(Course)):
        assert getattr(short, figure) == pytest.approx(getattr(long, figure), rel=1e-6, abs=1e-6, nan_ok=True)
