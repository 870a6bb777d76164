"""The guard lets through what is better and stops what only looks so."""

import numpy as np
import pytest

from cloudai_optimizer.judge.guard import judge, quantile90


def late(rate: float, count: int, seed: int) -> np.ndarray:
    """Violations at a rate."""
    return (np.random.default_rng(seed).random(count) < rate).astype(float)


def test_a_clear_gain_is_accepted() -> None:
    """20 % late become 5 %."""
    verdict = judge(late(0.20, 800, 1), late(0.05, 800, 2))
    assert verdict.accepted
    assert verdict.gain == pytest.approx(0.15, abs=0.04)


def test_no_difference_is_refused_nearly_always() -> None:
    """A candidate that is the same in truth passes in at most one of ten trials (that is what 90 % means)."""
    passed = sum(judge(late(0.1, 400, 2 * i), late(0.1, 400, 2 * i + 1)).accepted for i in range(200))
    assert passed <= 30


def test_too_little_to_judge() -> None:
    """Fewer than a hundred held-out deadlines prove nothing, whatever they say."""
    verdict = judge(np.ones(90), np.zeros(90))
    assert not verdict.accepted
    assert "only 90" in verdict.reason


def test_tasks_without_a_deadline_do_not_count() -> None:
    """NaN is neither met nor missed."""
    one, other = late(0.3, 400, 1), late(0.3, 400, 1)
    one[::2] = np.nan
    assert judge(one, other).tasks == 200


@pytest.mark.parametrize(("freedom", "expected"), [(1, 3.078), (10, 1.372), (30, 1.310), (1000, 1.282)])
def test_quantiles(freedom: int, expected: float) -> None:
    """Student's t, one-sided 90 %."""
    assert quantile90(freedom) == pytest.approx(expected, abs=0.01)
