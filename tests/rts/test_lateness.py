"""The default rule: golden values by hand, and what must hold whatever the numbers are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_rts import lateness
from cloudai_rts.lateness import LatenessNodes, RunningTasks
from cloudai_rts.parameters import LatenessTerms, RuntimeModel
from cloudai_rts.task import Task

WEIGHTS = LatenessTerms()


def nodes(runtime: list[float], load: list[float] | None = None, **columns: list[float]) -> LatenessNodes:
    """Candidates by predicted run time in seconds."""
    size = len(runtime)
    loads = np.array(load or [0.0] * size)
    after = np.array(columns.get("load_after", loads.tolist()))
    return LatenessNodes(
        log_runtime=np.log(np.array(runtime)),
        load=loads,
        load_after=after,
        harm=np.array(columns.get("harm", [0.0] * size)),
        has_gpu=np.array(columns.get("has_gpu", [0.0] * size)) > 0,
        preference=np.array(columns["preference"]) if "preference" in columns else None,
    )


def task(slack: float | None, log_sd: float = 0.5, gpu: float = 1.0) -> Task:
    """A task that arrived at 0 with a deadline `slack` seconds later."""
    return Task("t", 1.0, 1.0, gpu=gpu, gpu_resource="nvidia.com/gpu", deadline=slack, log_sd=log_sd)


def test_probability_by_hand() -> None:
    """E = 100, slack 200, sigma .5: z = ln(.5)/.5 = -1.386, Phi = .0828; E = slack: exactly one half."""
    found = lateness.late_probability(np.log(np.array([100.0, 200.0])), 200.0, 0.5)
    assert found[0] == pytest.approx(0.5 * math.erfc(2 * math.log(2) / math.sqrt(2)), abs=1e-6)
    assert found[1] == pytest.approx(0.5, abs=1e-6)


def test_probability_without_and_past_the_deadline() -> None:
    """No deadline: never late. Deadline past: late for sure."""
    log_runtime = np.log(np.array([1.0, 100.0]))
    assert lateness.late_probability(log_runtime, math.inf, 0.5).tolist() == [0.0, 0.0]
    assert lateness.late_probability(log_runtime, -5.0, 0.5).tolist() == [1.0, 1.0]


def test_risk_by_hand() -> None:
    """(3) with E = 100 and 200, slack 200, L = .2 and .4: alpha P + beta L + eta ln(E / min E)."""
    found = lateness.score(task(200.0), nodes([100.0, 200.0], [0.2, 0.4]), WEIGHTS, now=0.0)
    p = 0.5 * math.erfc(2 * math.log(2) / math.sqrt(2))
    assert found.risk[0] == pytest.approx(20 * p + 0.5 * 0.2 + 0.0, abs=1e-5)
    assert found.risk[1] == pytest.approx(20 * 0.5 + 0.5 * 0.4 + math.log(2), abs=1e-5)


def test_gpu_nodes_are_kept_for_those_who_ask() -> None:
    """zeta = .1 is added for a task without GPU on a GPU node, and for nobody else."""
    candidates = nodes([10.0, 10.0], has_gpu=[1.0, 0.0])
    without = lateness.score(task(None, gpu=0.0), candidates, WEIGHTS, now=0.0).risk
    asking = lateness.score(task(None, gpu=1.0), candidates, WEIGHTS, now=0.0).risk
    assert without[0] - without[1] == pytest.approx(0.1)
    assert asking[0] == asking[1]


def test_soft_wishes() -> None:
    """rho (1 - preference): a node that nobody wishes for costs .5 more than the favourite."""
    found = lateness.score(task(None), nodes([10.0, 10.0], preference=[1.0, 0.0]), WEIGHTS, now=0.0).risk
    assert found[1] - found[0] == pytest.approx(0.5)


def one_running(predicted: float, elapsed: float, slack: float) -> RunningTasks:
    """One task with a spread of .5 on the first node."""
    times = (np.array([predicted]), np.array([elapsed]), np.array([slack]))
    return RunningTasks(np.array([0]), *times, np.array([0.5]), np.array([7]))


def test_one_tenants_claims_have_a_limit() -> None:
    """Sixty tasks that say they are sure and on the edge count up to the limit; two tenants count both."""
    size = 60
    same, edge = np.zeros(size, np.int64), np.full(size, 100.0)
    load = np.array([0.5])
    unit = lateness.harm(one_running(100.0, 0.0, 100.0), load, RuntimeModel(), 1.0)[0] / (0.3989422804 / 0.5)
    one_tenant = RunningTasks(same, edge, np.zeros(size), edge, np.full(size, 0.05), same)
    assert lateness.harm(one_tenant, load, RuntimeModel(), 1.0)[0] == pytest.approx(lateness.MOST_HARM * unit)
    two = RunningTasks(same, edge, np.zeros(size), edge, np.full(size, 0.05), np.arange(size) % 2)
    assert lateness.harm(two, load, RuntimeModel(), 1.0)[0] == pytest.approx(2 * lateness.MOST_HARM * unit)


def test_harm_by_hand() -> None:
    """(2a): one running task, E = 100, half done, slack 50, sigma .5: z = 0, phi(0)/.5 = .7979; f'/f at L = .5."""
    running = one_running(100.0, 50.0, 50.0)
    found = lateness.harm(running, np.array([0.5, 0.5]), RuntimeModel(), 1.0)
    slope, value = 2 * 0.3 * 0.5, 1 + 0.3 * 0.25
    assert found[0] == pytest.approx(slope / value * (1 / math.sqrt(2 * math.pi)) / 0.5)
    assert found[1] == 0.0


def test_who_is_late_already_weighs_nothing() -> None:
    """A running task whose deadline has passed cannot be made later."""
    running = one_running(9.0, 1.0, -1.0)
    assert lateness.harm(running, np.array([0.9]), RuntimeModel(), 1.0)[0] == 0.0


@given(
    st.lists(st.floats(1e-3, 1e7), min_size=2, max_size=20),
    st.floats(1e-3, 1e3),
    st.floats(1.0, 1e6),
    st.floats(0.05, 2.0),
)
def test_scaling_all_times_leaves_the_choice_unchanged(
    runtimes: list[float], factor: float, slack: float, log_sd: float
) -> None:
    """Seconds or hours: the unit of time is no reason to choose another node."""
    once = lateness.score(task(slack, log_sd), nodes(runtimes), WEIGHTS, now=0.0)
    scaled = lateness.score(task(slack * factor, log_sd), nodes([r * factor for r in runtimes]), WEIGHTS, now=0.0)
    np.testing.assert_allclose(once.risk, scaled.risk, rtol=1e-6, atol=1e-6)


@given(st.lists(st.floats(1e-3, 1e7), min_size=2, max_size=20), st.floats(1.0, 1e6), st.floats(0.05, 2.0))
def test_probability_rises_with_the_run_time(runtimes: list[float], slack: float, log_sd: float) -> None:
    """A longer run time is never less likely to miss the deadline."""
    found = lateness.late_probability(np.log(np.array(sorted(runtimes))), slack, log_sd)
    assert (np.diff(found) >= -1e-9).all()
    assert ((found >= 0) & (found <= 1)).all()


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6), st.floats(0, 10)), min_size=1, max_size=20),
    st.floats(-1e6, 1e9),
)
def test_scores_are_finite(rows: list[tuple[float, float, float]], slack: float) -> None:
    """Whatever runs and however loaded the nodes are, no score is NaN or infinite."""
    size = len(rows)
    running = RunningTasks(
        np.arange(size),
        np.array([row[0] + 1e-3 for row in rows]),
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows]),
        np.full(size, 0.05),
        np.zeros(size, np.int64),
    )
    load = np.array([row[2] for row in rows])
    harm = lateness.harm(running, load, RuntimeModel(), 1.0)
    candidates = nodes([row[0] + 1e-3 for row in rows], load.tolist(), harm=harm.tolist())
    found = lateness.score(task(slack), candidates, WEIGHTS, now=0.0)
    assert np.isfinite(found.risk).all()
