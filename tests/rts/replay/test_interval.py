"""Few numbers make wide intervals."""

import pytest

from cloudai_rts.replay.interval import half_width, quantile


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
