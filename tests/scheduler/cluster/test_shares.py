"""What namespaces have had lately."""

import pytest

from cloudai_rts.fleet import Fleet, NodeSpec
from cloudai_scheduler.cluster.shares import Shares

HALF = 600.0


def a_fleet() -> Fleet:
    """A hundred cores and eight GPUs."""
    fleet = Fleet()
    fleet.put(NodeSpec("n", {"cpu": 100_000, "memory": 1 << 40, "pods": 110, "nvidia.com/gpu": 8}, "x"))
    return fleet


def test_the_dominant_share_decides() -> None:
    """Two GPUs of eight are more than ten cores of a hundred; pod slots are nobody's share."""
    shares, fleet = Shares(HALF), a_fleet()
    shares.hold("few", {"cpu": 500, "pods": 1})
    shares.hold("cores", {"cpu": 10_000, "pods": 60})
    shares.hold("gpus", {"cpu": 1000, "nvidia.com/gpu": 2})
    assert shares.advance(0.0, fleet) == set()
    assert [shares.level(name) for name in ("few", "cores", "gpus", "nobody")] == [0, 4, 5, 0]


def test_use_is_forgotten_by_halves() -> None:
    """A level for each half-life; those who fell are named, and in the end nothing is kept of them."""
    shares, fleet = Shares(HALF), a_fleet()
    shares.hold("a", {"cpu": 50_000})
    shares.advance(0.0, fleet)
    shares.hold("a", {"cpu": 50_000}, -1)
    levels = []
    for turn in range(1, 8):
        assert shares.advance(turn * HALF, fleet) == ({"a"} if turn <= 6 else set())
        levels.append(shares.level("a"))
    assert levels == [5, 4, 3, 2, 1, 0, 0]
    shares.advance(100 * HALF, fleet)
    assert shares == Shares(HALF, _seen_at=100 * HALF)


def test_use_grows_slowly() -> None:
    """A namespace that begins to use the whole cluster counts as doing so only after half-lives."""
    shares, fleet = Shares(HALF), a_fleet()
    shares.advance(0.0, fleet)
    shares.hold("a", {"cpu": 100_000})
    shares.advance(0.1 * HALF, fleet)
    early = shares.level("a")
    shares.advance(5 * HALF, fleet)
    assert 0 < early < shares.level("a")


@pytest.mark.parametrize("half_life", [0.0, -1.0])
def test_without_a_half_life_all_are_equals(half_life: float) -> None:
    """Deadlines alone decide."""
    shares, fleet = Shares(half_life), a_fleet()
    shares.hold("a", {"cpu": 100_000})
    shares.advance(0.0, fleet)
    assert shares.level("a") == 0
