"""Names and rules that the processes share."""

import pytest

from cloudai_rts import contract


@pytest.mark.parametrize(
    ("deadline", "source", "seconds"),
    [
        (30.0, "FinishWithin", 20.0),
        (30.0, "FinishBy", 20.0),
        (30.0, "Expected", None),
        (30.0, "Learned", None),
        (30.0, "Default", None),
        (30.0, "", None),
        (None, "FinishBy", None),
        (10.0, "FinishBy", None),
        (5.0, "FinishBy", None),
        (4e9, "FinishBy", None),
    ],
)
def test_the_time_that_a_user_allowed(deadline: float | None, source: str, seconds: float | None) -> None:
    """From arrival at 10 to a deadline of the user's own: multiples of a run time, and 2099, tell nothing."""
    assert contract.time_allowed(10.0, deadline, source) == seconds
