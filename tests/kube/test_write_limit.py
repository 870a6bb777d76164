"""A token bucket under virtual time."""

import pytest

from cloudai_kube.write_limit import WriteLimit


class Clock:
    """Seconds that pass on request."""

    now = 100.0

    def __call__(self) -> float:
        """This moment."""
        return self.now


def test_so_many_at_once_and_then_so_many_a_second() -> None:
    """The bucket is full at first, and never holds more than that."""
    clock = Clock()
    limit = WriteLimit(per_second=20.0, burst=100.0, clock=clock)
    assert sum(limit.take() for _ in range(500)) == 100
    assert limit.pause_seconds() == pytest.approx(0.05)
    clock.now += 1.0
    assert sum(limit.take() for _ in range(500)) == 20
    clock.now += 3600.0
    assert sum(limit.take() for _ in range(500)) == 100


def test_a_clock_that_goes_back() -> None:
    """It costs nothing and gives nothing."""
    clock = Clock()
    limit = WriteLimit(per_second=1.0, burst=1.0, clock=clock)
    assert limit.take()
    clock.now -= 50.0
    assert not limit.take()
