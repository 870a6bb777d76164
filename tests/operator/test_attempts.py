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


def start_error(one: Any, node: str, message: str = "") -> None:
    """The runtime cannot start the container on a node."""
    one.bind(node)
    ended = {"exitCode": 128, "reason": "StartError", "message": message, "startedAt": "1970-01-01T00:00:00Z"}
    state = {"terminated": ended}
    one.report("Failed", containerStatuses=[{"name": "task", "state": state}])


def test_a_container_that_never_started_is_tried_elsewhere(world: WorldClass) -> None:
    """No start, no run time, no failure of the Task's; the next pod names the node to be avoided."""
    one = world(backoffLimit=0)
    one.settle()
    start_error(one, "broken")
    one.settle()
    attempt = one.task.status.attempts[0]
    assert (attempt.outcome, attempt.startTime, attempt.startFailed) == ("Rejected", "", True)
    assert (one.task.status.failed, one.task.status.rejected) == (0, 1)
    one.step(10)
    assert one.pod().metadata.annotations["cloudai.dev/avoided-nodes"] == "broken"


def test_what_cannot_be_started_anywhere_is_the_tasks_own_fault(world: WorldClass) -> None:
    """A typo burns three attempts, not twenty, and the runtime's words are told."""
    one = world()
    one.settle()
    for node in ("a", "b", "c"):
        start_error(one, node)
        one.settle()
        one.step(400)
    assert one.condition("Failed") == ("True", "StartFailed")
    message = one.task.status.condition("Failed").message
    assert "on a, b, c" in message
    assert "StartError" in message
    assert one.task.status.attemptCount == 3


def drained(one: Any, node: str) -> None:
    """It ran for a minute, and its node was drained."""
    one.bind(node)
    begun = timestamp.whole_seconds(one.now)
    one.report("Running", containerStatuses=[{"name": "task", "state": {"running": {"startedAt": begun}}}])
    one.step(60)
    ended = {"exitCode": 143, "startedAt": begun, "finishedAt": timestamp.whole_seconds(one.now)}
    status = [{"name": "task", "state": {"terminated": ended}}]
    one.report("Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}], containerStatuses=status)


def test_faults_of_several_nodes_are_not_the_tasks_own(world: WorldClass) -> None:
    """Each had its own, and in between the Task has started: it is no typo."""
    one = world()
    one.settle()
    for node, error in (
        ("a", "device error 17"),
        ("b", None),
        ("c", "device error 18"),
        ("d", None),
        ("e", "device error 19"),
        ("f", "no space left on device"),
        ("g", "device error 20"),
    ):
        if error is None:
            drained(one, node)
        else:
            start_error(one, node, error)
        one.settle()
        assert one.condition("Failed")[0] != "True"
        one.step(400)
    for node in ("h", "i"):
        start_error(one, node, "device error 4711")
        one.settle()
        one.step(400)
    assert one.condition("Failed") == ("True", "StartFailed")
    assert "3 times (on g, h, i)" in one.task.status.condition("Failed").message


def test_a_cluster_whose_network_is_away_fails_no_task(world: WorldClass) -> None:
    """However many nodes it is away on."""
    one = world(sla={"finishWithin": "5h"})
    one.settle()
    for node in ("a", "b", "c", "d"):
        one.bind(node)
        waiting = [{"name": "task", "state": {"waiting": {"reason": "ContainerCreating"}}}]
        missing = [{"type": "PodReadyToStartContainers", "status": "False"}]
        one.report("Pending", conditions=missing, containerStatuses=waiting)
        one.step()
        one.step(one.rules.start_seconds)
        one.settle()
        one.step(400)
    assert one.condition("Failed")[0] != "True"
    assert [attempt.outcome for attempt in one.task.status.attempts[:4]] == ["Rejected"] * 4


def test_one_broken_node_is_not_the_tasks_own_fault(world: WorldClass) -> None:
    """Three failures there are none of the Task's; where no other node can be had it ends after six."""
    one = world()
    one.settle()
    for number in range(6):
        assert one.condition("Failed")[0] != "True", number
        start_error(one, "broken")
        one.settle()
        one.step(400)
    assert one.condition("Failed") == ("True", "StartFailed")
    assert "6 times (on broken)" in one.task.status.condition("Failed").message
