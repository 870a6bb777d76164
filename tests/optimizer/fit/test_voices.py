"""Weighted medians of what tenants say, and whose vote counts how much."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_optimizer.fit.voices import Voices, off_the_usual


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 9), st.integers(0, 2)), min_size=1, max_size=30))
def test_the_usual_is_the_weighted_median(voices: list[tuple[float, float, int]]) -> None:
    """At least half of the weight lies on either side of it."""
    known = {about: at for at, about in enumerate(sorted({about for _, _, about in voices}))}
    mean, weight = (np.array([one[part] for one in voices]) for part in (0, 1))
    about = np.array([known[one[2]] for one in voices])
    found = Voices(mean, weight, about).usual(mean)
    for at in known.values():
        own = about == at
        half = weight[own].sum() / 2 - 1e-6
        assert weight[own & (mean <= found[at])].sum() >= half
        assert weight[own & (mean >= found[at])].sum() >= half


@pytest.mark.parametrize(
    ("weight", "evened"),
    [([9.0, 2.0, 1.0], [2.0, 2.0, 1.0]), ([9.0, 2.0], [9.0, 2.0]), ([9.0, 2.0, 0.0], [9.0, 2.0, 0.0]), ([5.0], [5.0])],
)
def test_nobody_outvotes_the_others_alone(weight: list[float], evened: list[float]) -> None:
    """Of three voices the heaviest weighs no more than the second; of two the heavier one is believed."""
    of = Voices(np.zeros(len(weight)), np.array(weight), np.zeros(len(weight), np.int64))
    assert of.evened().weight.tolist() == evened


def test_how_far_off_worked_out_by_hand() -> None:
    """Three voices of ten runs at 0, 0 and 3, sd .3, a third of all each: room is .3 sqrt(1/10 + 1/20) / (2/3)."""
    own = np.repeat([0, 1, 2], 10)
    voices = Voices.of(np.repeat([0.0, 0.0, 3.0], 10), np.ones(30), own, np.zeros(3, np.int64))
    found = off_the_usual(voices, own, np.full(30, 0.3), np.full(30, 1 / 3), 1.0)
    assert found[:20].tolist() == [0.0] * 20
    assert found[20:] == pytest.approx(3.0 - 0.3 * np.sqrt(0.15) * 1.5)
