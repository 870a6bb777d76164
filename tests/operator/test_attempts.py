"""The book of attempts."""

from typing import Any

import pytest
from tests.operator.conftest import T0

from cloudai_kube import timestamp
from cloudai_kube.task import Attempt, TaskStatus
from cloudai_operator import attempts

WorldClass = Any


@pytest.mark.parametrize(
    ("counter", "outcome", "expected"),
    [
        (1, "Failed", 10.0),
        (4, "Failed", 80.0),
        (60, "Failed", 360.0),
        (2, "Rejected", 20.0),
        (1, "Disrupted", 0.0),
        (3, "Disrupted", 20.0),
        (1, "Deleted", 0.0),
    ],
)
def test_pauses(counter: int, outcome: str, expected: float) -> None:
    """Doubled each time up to the longest; the first disruption and our own deletions wait for nothing."""
    ended = Attempt("u", 1, outcome=outcome, completionTime="1970-01-01T00:00:00Z")
    status = TaskStatus(failed=counter, rejected=counter, disrupted=counter, attempts=[ended])
    assert attempts.next_attempt_at(status, 10.0, 360.0) == expected


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({"failed": 7}, "BackoffLimitExceeded"),
        ({"failed": 6}, None),
        ({"rejected": 20}, "NodeRejections"),
        ({"disrupted": 50}, "DisruptionLimitExceeded"),
    ],
)
def test_limits(counts: dict[str, int], reason: str | None) -> None:
    """Failures against backoffLimit; rejections and disruptions have limits of their own."""
    found = attempts.limit_reached(TaskStatus(**counts), 6)  # type: ignore[arg-type]  # counts by name
    assert (found[0] if found else None) == reason


def test_a_node_whose_clock_is_ahead(world: WorldClass) -> None:
    """Two hours: the retry waits ten seconds all the same, and the attempt ended now."""
    one = world()
    one.settle()
    one.bind()
    later = timestamp.whole_seconds(one.now + 7200)
    ended = {"exitCode": 1, "startedAt": later, "finishedAt": later}
    one.report("Failed", containerStatuses=[{"name": "task", "state": {"terminated": ended}}])
    one.settle()
    status = one.task.status
    assert timestamp.parse(status.attempts[0].completionTime) <= one.now
    assert attempts.next_attempt_at(status, 10.0, 360.0) <= one.now + 10.0


def test_the_book_is_bounded(world: WorldClass) -> None:
    """The last twenty attempts are remembered, all are counted."""
    one = world()
    one.settle()
    for _ in range(30):
        one.pods.clear()
        one.step(400)
        one.step(400)
        one.step()
    assert len(one.task.status.attempts) == attempts.REMEMBERED
    assert one.task.status.disrupted == 30
    assert one.task.status.attemptCount == 31


def test_a_run_time_is_observed_once(world: WorldClass) -> None:
    """With the factor of the node it was predicted for."""
    one = world(sla={"expectedRuntime": "10s"})
    one.settle()
    reference = one.task.status.referenceRuntimeSeconds
    one.bind(decision=f'{{"predictedRuntimeSeconds":{2 * reference}}}')
    one.report("Succeeded", 0)
    found = [*one.step().observations, *one.step().observations]
    assert [(seen.seconds, round(seen.node_factor, 6)) for seen in found] == [(5.0, 2.0)]


def test_what_history_lacks_of_a_task_that_is_gone(world: WorldClass) -> None:
    """What ran when it was deleted, and what had ended and was not recorded; nothing that never ran."""
    one = world()
    one.settle()
    task = one.task
    decision = {"policy": "rts", "nodeClass": "k", "parametersVersion": 1}
    begun = "2026-01-01T00:00:10Z"
    task.status.attempts = [
        Attempt("safe", 1, "n", decision, begun, "2026-01-01T00:00:20Z", "Succeeded", recorded=True),
        Attempt("ended", 2, "n", decision, begun, "2026-01-01T00:00:30Z", "Failed"),
        Attempt("running", 3, "n", decision, begun),
        Attempt("placed", 4, "n", decision),
    ]
    found = attempts.records_of_deleted(task, T0 + 100.0)
    assert [(record.pod_uid, record.outcome, record.runtime) for record in found] == [
        ("ended", "Failed", 20.0),
        ("running", "Deleted", 90.0),
    ]
    assert task.status.attempts[2].outcome == ""
