"""Equal values once."""

from cloudai_scheduler.cluster.interned import MOST_KEPT, Interned


def test_equal_values_are_one() -> None:
    """The first one is kept."""
    kept: Interned[dict[str, int]] = Interned()
    first = {"cpu": 1}
    assert kept.of(("cpu", 1), first) is first
    assert kept.of(("cpu", 1), {"cpu": 1}) is first
    assert kept.of(("cpu", 2), {"cpu": 2}) == {"cpu": 2}


def test_what_is_kept_is_bounded() -> None:
    """Each pod may be of its own kind."""
    kept: Interned[int] = Interned()
    for number in range(3 * MOST_KEPT):
        assert kept.of(number, number) == number
    assert len(kept._kept) <= MOST_KEPT  # noqa: SLF001  that is what is tested
