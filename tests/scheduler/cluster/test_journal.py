"""What has changed since somebody looked."""

from cloudai_scheduler.cluster.journal import REMEMBERED, Journal


def test_since() -> None:
    """All later changes, in order; whoever has never looked begins anew."""
    journal = Journal()
    journal.note(3, 10)
    seen = len(journal)
    for slot in (5, 3, 5):
        journal.note(slot, 10)
    assert journal.since(seen) == [5, 3, 5]
    assert journal.since(len(journal)) == []
    assert journal.since(-1) is None


def test_old_changes_are_forgotten() -> None:
    """The list has an end, and whoever is too late begins anew."""
    journal = Journal()
    for _ in range(REMEMBERED + 2):
        journal.note(0, 0)
    assert (len(journal), journal.forgotten > 0) == (REMEMBERED + 2, True)
    assert journal.since(1) is None
    assert journal.since(len(journal)) == []
