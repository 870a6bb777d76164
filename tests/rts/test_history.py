"""What a finished attempt says about its deadline, and what cannot be true."""

import pytest

from cloudai_rts import history
from cloudai_rts.history import Record


def record(**fields: object) -> Record:
    """A run from 10 to 20 whose deadline is 30."""
    known: dict[str, object] = {"finish": 20.0, "outcome": "Succeeded", "deadline": 30.0, **fields}
    return Record("p", "t", "ns", "n", "t", "n", "k", 0.0, 10.0, cpu=1.0, memory=1.0, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({}, False),
        ({"finish": 31.0}, True),
        ({"outcome": "Failed"}, True),
        ({"outcome": "Disrupted"}, None),
        ({"outcome": "Deleted"}, None),
        ({"outcome": "Running"}, None),
        ({"outcome": "Disrupted", "finish": 31.0}, True),
        ({"outcome": "Running", "finish": 31.0}, True),
        ({"deadline": None, "outcome": "Failed"}, None),
    ],
)
def test_whether_a_deadline_was_missed(fields: dict[str, object], violated: bool | None) -> None:
    """A disrupted attempt is tried again and may still make it; past the deadline nothing can."""
    assert record(**fields).violated is violated


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"finish": float("nan")}, "not finite"),
        ({"finish": 5.0}, "not positive"),
        ({"finish": 10.0}, "less than a second"),
        ({"load": 65.0}, "larger than any machine"),
        ({"cpu": -1.0}, "negative"),
        ({"declared": 0.0}, "declared run time"),
        ({"allowed": -1.0}, "time allowed"),
        ({"allowed": float("nan")}, "time allowed"),
        ({"node": ""}, "missing"),
    ],
)
def test_what_cannot_be_true(fields: dict[str, object], said: str) -> None:
    """The reason is what it is counted under."""
    import msgspec

    assert said in (history.problem(msgspec.structs.replace(record(), **fields), 1000.0) or "")


def test_a_good_one() -> None:
    """Nothing is wrong with it."""
    assert history.problem(record(), 1000.0) is None
