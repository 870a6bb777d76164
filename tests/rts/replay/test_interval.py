"""Few numbers make wide intervals."""

import numpy as np
import pytest

from cloudai_rts.replay.interval import half_width, half_width_over_tasks, quantile


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.706), (7, 2.365), (20, 2.086), (30, 2.0423), (120, 1.9799)])
def test_quantiles_of_a_table(freedom: int, expected: float) -> None:
    """Student's t, also beyond what is tabulated here."""
    assert quantile(freedom) == pytest.approx(expected, abs=2e-3)


def test_by_hand() -> None:
    """1, 2, 3: sd 1, 4.303 / sqrt(3)."""
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(2.4843, abs=1e-3)


def test_one_number_says_nothing() -> None:
    """No interval of a single value."""
    assert half_width([1.0]) is None


def test_neighbours_share_their_fate() -> None:
    """Blocks of twenty tasks count, not tasks; those without a deadline are left out, few blocks say nothing."""
    blocks = [0.0, 0.1, 0.2, 0.3, 0.4]
    values = np.concatenate([[np.nan], np.repeat(blocks, 20)])
    assert half_width_over_tasks(values) == pytest.approx(half_width(blocks))
    assert half_width_over_tasks(values[:90]) is None


def test_what_is_infinite_has_no_interval() -> None:
    """Where nothing fits, nothing ends."""
    assert half_width([1.0, float("nan")]) is None
