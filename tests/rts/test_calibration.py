"""Quantiles that lie elsewhere than a normal quantity's, and what is told by them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_rts import calibration, lateness
from cloudai_rts.calibration import NAMES, NORMAL

SHARP = {"0.2": {name: -0.5 * normal for name, normal in zip(NAMES, NORMAL, strict=True)}}
"""Words that are twice as good as their spread says."""
SHAPES = st.dictionaries(
    st.sampled_from(["0.2", "0.4", "0.8", "more"]),
    st.dictionaries(st.sampled_from(NAMES), st.floats(-3, 3), max_size=7),
)


@pytest.mark.parametrize(
    ("log_sd", "name"), [(0.05, "0.2"), (0.2, "0.4"), (0.39, "0.4"), (0.8, "more"), (2.0, "more"), (0.5, "0.8")]
)
def test_bands(log_sd: float, name: str) -> None:
    """By what is known of the task."""
    assert calibration.band(log_sd) == name


def test_nothing_learned_is_normal() -> None:
    """Neither the chance nor the interval changes; nor in a band of which nothing is known."""
    assert calibration.normal_score(1.3, 0.5, {}) == 1.3
    assert calibration.normal_score(1.3, 0.5, SHARP) == 1.3


@given(st.floats(-3, 3), st.floats(0.05, 2.0), SHAPES)
def test_quantiles_are_the_inverse(score: float, log_sd: float, shape: dict[str, dict[str, float]]) -> None:
    """From a score to a quantile and back; many at once are as each by itself."""
    above = calibration.log_quantile(score, log_sd, shape)
    deviation = (above + 0.5 * log_sd**2) / log_sd
    assert calibration.normal_score(deviation, log_sd, shape) == pytest.approx(score, abs=1e-6)
    spreads = np.array([log_sd, 0.1, 0.3, 0.8])
    each = [calibration.log_quantile(score, spread, shape) for spread in spreads.tolist()]
    assert calibration.log_quantiles(score, spreads, shape).tolist() == pytest.approx(each)


def test_better_words_than_their_spread() -> None:
    """Half the spread: one told sigma late is as rare as two."""
    assert calibration.normal_score(0.5, 0.1, SHARP) == pytest.approx(1.0, abs=0.02)
    assert calibration.normal_score(0.5 * NORMAL[5], 0.1, SHARP) == pytest.approx(NORMAL[5])
    slack = 100.0 * math.exp(0.1)  # one sigma more than the median
    told = [lateness.told_probability(math.log(100.0) + 0.005, slack, 0.1, shape) for shape in ({}, SHARP)]
    assert told == pytest.approx([0.1587, 0.0228], abs=0.01)


@given(SHAPES, st.floats(0.05, 2.0), st.lists(st.floats(-8, 8), min_size=2, max_size=9))
def test_later_is_never_less_likely(shape: dict[str, dict[str, float]], log_sd: float, deviations: list[float]) -> None:
    """Whatever quantiles are published, the scores rise with the deviation."""
    scores = [calibration.normal_score(one, log_sd, shape) for one in sorted(deviations)]
    assert scores == sorted(scores)


@pytest.mark.parametrize(("slack", "told"), [(math.inf, 0.0), (0.0, 1.0), (-5.0, 1.0)])
def test_no_deadline_and_a_past_one(slack: float, told: float) -> None:
    """They are certain."""
    assert lateness.told_probability(3.0, slack, 0.3, SHARP) == told
