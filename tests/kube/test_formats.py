"""Quantities, durations and times as Kubernetes writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_kube import duration, quantity, timestamp
from cloudai_kube.errors import FormatError


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("cpu", "500m", 500),
        ("cpu", "2", 2000),
        ("cpu", "0.1", 100),
        ("cpu", "100u", 1),
        ("cpu", "1e3", 1_000_000),
        ("memory", "16Gi", 16 << 30),
        ("memory", "1G", 10**9),
        ("memory", "128974848", 128974848),
        ("memory", "100m", 1),
        ("memory", "1.5Gi", 3 << 29),
        ("nvidia.com/gpu", "4", 4),
        ("pods", "110", 110),
        ("memory", "1E", quantity.MAX_VALUE),
        ("cpu", "-1", None),
        ("cpu", "one", None),
        ("cpu", "", None),
        ("cpu", "NaN", None),
        ("cpu", "Infinity", None),
        ("cpu", "1_000", None),
        ("memory", "5 Gi", None),
        ("memory", "9" * 400, quantity.MAX_VALUE),
        ("cpu", "9223372036854775", quantity.MAX_VALUE),
        ("memory", "1e999999999", None),
    ],
)
def test_quantities(name: str, text: str, expected: int | None) -> None:
    """Exact integers, rounded up; what cannot be read or is absurd is an error that says so."""
    if expected is None:
        with pytest.raises(FormatError):
            quantity.resource(name, text)
    else:
        assert quantity.resource(name, text) == expected


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("2h30m", 9000), ("1.5h", 5400), ("250ms", 0.25)])
def test_durations(text: str, seconds: float) -> None:
    """As Go writes them."""
    assert duration.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "-1s", "1d", "0s", "1h ", "9999h", "s", "1h" * 20])
def test_bad_durations(text: str) -> None:
    """No unit, zero, negative or beyond a year: refused."""
    with pytest.raises(FormatError):
        duration.parse(text)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (45, "45s"), (9000, "2h30m"), (90061, "1d1h"), (-30, "-30s")])
def test_durations_for_people(seconds: float, text: str) -> None:
    """The two largest units."""
    assert duration.human(seconds) == text


@given(st.floats(0, 4e9))
def test_times_survive_a_round_trip(seconds: float) -> None:
    """Milliseconds are kept."""
    assert abs(timestamp.parse(timestamp.millis(seconds)) - seconds) <= 0.001


@pytest.mark.parametrize("text", ["", "yesterday", "2026-03-01T10:00:00", "2026-13-01T10:00:00Z"])
def test_bad_times(text: str) -> None:
    """No zone, or no time at all: refused."""
    with pytest.raises(FormatError):
        timestamp.parse(text)
