"""What history says of a Task's attempt."""

import msgspec
import pytest

from cloudai_kube import records
from cloudai_kube.objects import Meta
from cloudai_kube.task import Attempt, Task, TaskSpec, TaskStatus

ARRIVAL, FIRST, MOVED = "2026-01-01T00:00:00Z", "2026-01-01T00:20:00Z", "2026-01-01T00:30:00Z"


def a_task(**status: str) -> Task:
    """A Task that arrived at midnight."""
    known = msgspec.convert({"arrivalTime": ARRIVAL, "type": "a", **status}, TaskStatus)
    return Task(Meta(name="t", namespace="ns", uid="u"), TaskSpec(image="i", user="ann"), known)


@pytest.mark.parametrize(
    ("status", "allowed"),
    [
        ({"deadline": FIRST, "originalDeadline": FIRST, "deadlineSource": "FinishWithin"}, 1200.0),
        ({"deadline": MOVED, "originalDeadline": FIRST, "deadlineSource": "FinishWithin"}, None),
        ({"deadline": FIRST, "originalDeadline": FIRST, "deadlineSource": "Learned"}, None),
        ({}, None),
    ],
)
def test_the_time_that_the_user_allowed(status: dict[str, str], allowed: float | None) -> None:
    """As it was at first: who moves a deadline while the Task runs has seen how it goes."""
    ended = "2026-01-01T00:10:00Z"
    attempt = Attempt("p", 1, "n", {"nodeClass": "c"}, ARRIVAL, ended, "Succeeded")
    record = records.of_attempt(a_task(**status), attempt)
    assert record is not None
    assert (record.allowed, record.user, record.runtime) == (allowed, "ns/ann", 600.0)
