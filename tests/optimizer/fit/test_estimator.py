"""Robust means: odd values pull only so far, runs that did not end count as longer, spreads stay within bounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_optimizer.fit.estimator import completed, group_mean, pulled_in, spread
from cloudai_optimizer.fit.samples import Samples, collect
from cloudai_rts.history import Record
from cloudai_rts.task import MAX_LOG_SD, MIN_LOG_SD


def runs(seconds: list[float], outcome: str = "Succeeded") -> Samples:
    """Runs of one type on one machine."""
    return collect(
        [
            Record(f"p{i}", f"p{i}", "ns", f"p{i}", "a", "n", "c", 1e6 + i, 1e6 + i, 1e6 + i + one, outcome, 1.0, 1.0)
            for i, one in enumerate(seconds)
        ]
    )


@given(st.lists(st.floats(-0.1, 0.1), min_size=11, max_size=40), st.floats(-1e6, 1e6))
def test_one_odd_value_pulls_no_further_than_two_sd(usual: list[float], odd: float) -> None:
    """Whatever one of a dozen values says, after pulling in it is within what the others' spread allows."""
    found = pulled_in(np.array([*usual, odd]), np.zeros(len(usual) + 1, np.int64))
    assert abs(found[-1]) <= 0.1 + 2.0 * 1.4826 * 0.2 + 1e-9
    assert np.array_equal(np.sign(found[:-1] - found[-1]), np.sign(np.array(usual) - found[-1]))


def test_groups_are_pulled_in_apart() -> None:
    """A value that is odd in one group is usual in another."""
    residual = np.array([0.0, 0.01, -0.01, 9.0, 9.0, 9.01, 8.99, 9.0])
    found = pulled_in(residual, np.array([0, 0, 0, 0, 1, 1, 1, 1]))
    assert found[3] < 1.0
    assert found[4:] == pytest.approx(residual[4:])


def test_a_run_that_did_not_end_counts_as_longer() -> None:
    """Its expectation given that it lasted so long: never less, and the mean where it had hardly begun."""
    cut = runs([0.01, 100.0, 1000.0], "Disrupted")
    found = completed(cut, np.full(3, math.log(100.0)), np.full(3, 0.5))
    assert found[0] == pytest.approx(math.log(100.0), abs=0.01)
    assert found[1] == pytest.approx(math.log(100.0) + 0.5 * math.sqrt(2 / math.pi), abs=1e-3)
    assert found[2] > math.log(1000.0)
    ended = runs([0.01, 100.0, 1000.0])
    assert np.array_equal(completed(ended, np.full(3, 4.6), np.full(3, 0.5)), ended.log_runtime)


def test_means_are_shrunk_and_groups_without_weight_keep_what_they_had() -> None:
    """Weighted by group; `shrink` pseudo-samples of 0; NaN counts as nothing where it has no weight."""
    values, group = np.array([3.0, 5.0, np.nan]), np.array([0, 0, 1])
    weight = np.array([1.0, 3.0, 0.0])
    assert group_mean(values, group, weight, 3, 0.0, np.full(3, 7.0)) == pytest.approx([4.5, 7.0, 7.0])
    assert group_mean(values, group, weight, 3, 4.0) == pytest.approx([2.25, 0.0, 0.0])


@pytest.mark.parametrize(("residual", "expected"), [(0.0, MIN_LOG_SD), (50.0, MAX_LOG_SD), (0.4, 0.4)])
def test_spreads_stay_within_what_a_document_may_say(residual: float, expected: float) -> None:
    """Neither certainty nor nonsense."""
    samples = runs([100.0] * 20)
    assert spread(np.full(20, residual), samples, 1) == pytest.approx([expected])
