"""What lies in the ConfigMap next: releases, canaries, rollbacks."""

import json

import msgspec
import pytest

from cloudai_optimizer.errors import PublishError
from cloudai_optimizer.judge.canary import Verdict
from cloudai_optimizer.release import document, publication
from cloudai_optimizer.release.config_map import Change, Published
from cloudai_rts import contract, parameters
from cloudai_rts.parameters import CanaryShare, Document, HistoryWindow, LatenessTerms

NOW = "2026-01-01T00:00:00.000Z"
TUNED = Document(Lateness=LatenessTerms(Alpha=30.0))


def lying(version: int = 5, **fields: object) -> Published:
    """What lies there now."""
    document = Document(version=version)
    return msgspec_replace(Published(document, parameters.dump(document), "77"), **fields)


def msgspec_replace(published: Published, **fields: object) -> Published:
    """A changed copy."""
    import dataclasses

    return dataclasses.replace(published, **fields)  # type: ignore[arg-type]  # fields by name


def active(change: Change) -> Document:
    """The document that a change puts in force."""
    return parameters.parse(change.texts[contract.PARAMETERS_KEY] or "")


def test_a_fit_is_released_at_once() -> None:
    """Next version, no canary, the old document kept."""
    change = publication.release(lying(), Document(Tau={"a": 5.0}), None, NOW, 0.2, {"Result": "fitted"})
    assert (active(change).version, active(change).Canary, active(change).Tau) == (6, None, {"a": 5.0})
    assert json.loads(change.texts[contract.PREVIOUS_KEY] or "{}")["version"] == 5


def test_tuned_weights_go_to_a_share_first() -> None:
    """The weights in force stay for the others."""
    change = publication.release(lying(), Document(), TUNED, NOW, 0.2, {})
    assert active(change).Lateness.Alpha == 20.0
    assert active(change).Canary == CanaryShare(7, NOW, 0.2)
    candidate = parameters.parse(change.texts[contract.CANDIDATE_KEY] or "")
    assert (candidate.version, candidate.Lateness.Alpha) == (7, 30.0)


def test_the_end_of_a_canary() -> None:
    """Promoted: its content under a new version; rolled back: its control's."""
    candidate = msgspec.structs.replace(TUNED, version=7)
    document = Document(version=6, Canary=CanaryShare(7, NOW, 0.2))
    before = lying(document=document, candidate=candidate)
    for result, alpha in (("promoted", 30.0), ("rolled back", 20.0)):
        verdict = Verdict(result, 100, 0.1, 400, 0.1, 0.0)
        found = active(publication.end_canary(before, verdict, NOW))
        assert (found.version, found.Canary, found.Lateness.Alpha) == (8, None, alpha)


def test_rollback() -> None:
    """Old content, new version; without a previous document it says what to do."""
    found = active(publication.rollback(lying(previous=msgspec.structs.replace(TUNED, version=4)), NOW))
    assert (found.version, found.Lateness.Alpha) == (6, 30.0)
    with pytest.raises(PublishError, match="delete the ConfigMap"):
        publication.rollback(lying(), NOW)


def test_differences() -> None:
    """Dotted keys with both values."""
    assert publication.difference(Document(), TUNED) == {"Lateness.Alpha": (20.0, 30.0)}


def test_a_rollback_does_not_make_old_tasks_news() -> None:
    """The window that was read stays: the next epoch must not bring the same fit back at once."""
    read = HistoryWindow(NOW, NOW, 7)
    before = lying(document=Document(version=5, Window=read), previous=Document(version=4))
    assert active(publication.rollback(before, NOW)).Window == read


def test_by_hand_during_a_canary() -> None:
    """The trial ends, and the candidate's number is not used again."""
    running = Document(version=5, Canary=CanaryShare(6, NOW, 0.2))
    found = parameters.parse(document.successor(running, {"Lateness": {"Beta": 1.0}}, None, NOW))
    assert (found.version, found.Canary) == (7, None)
