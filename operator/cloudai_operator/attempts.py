"""The book of attempts: which pods there were, what became of each, and when the next may be made."""

import copy
from collections.abc import Mapping, Sequence
from typing import Final

from cloudai_kube import outcome, records, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod
from cloudai_kube.task import Attempt, Task, TaskStatus
from cloudai_operator.plan import Observation, Plan
from cloudai_rts import contract
from cloudai_rts.history import Record

REMEMBERED: Final = 20
REJECTION_LIMIT: Final = 20
DISRUPTION_LIMIT: Final = 50


def number_of(pod: Pod) -> int:
    """The attempt that a pod is, 0 if its label cannot be read."""
    text = pod.metadata.labels.get(contract.LABEL_ATTEMPT, "")
    return int(text) if text.isdigit() else 0


def record(plan: Plan, task: Task, pods: Sequence[Pod], gone_nodes: Mapping[str, float], now: float) -> None:
    """Bring the book up to date with the pods that there are; each end is counted once."""
    status = plan.status
    by_uid = {pod.metadata.uid: pod for pod in pods}
    book = {attempt.podUID: copy.copy(attempt) for attempt in status.attempts}
    for pod in sorted(pods, key=number_of):
        if pod.metadata.uid not in book and number_of(pod) > status.attemptCount:
            book[pod.metadata.uid] = Attempt(pod.metadata.uid, number_of(pod))
            status.attemptCount = number_of(pod)
    for uid, attempt in book.items():
        if not attempt.outcome:
            _follow(attempt, by_uid.get(uid), gone_nodes, now)
            if attempt.outcome:
                _count(plan, task, attempt)
    status.attempts = sorted(book.values(), key=lambda attempt: attempt.number)[-REMEMBERED:]
    status.nodes = list(dict.fromkeys(attempt.node for attempt in reversed(status.attempts) if attempt.node))
    status.active = sum(1 for attempt in status.attempts if not attempt.outcome)


def abandon(plan: Plan, now: float) -> None:
    """Mark what still lives as deleted by us; said before it is done, so that a crash between is repaired."""
    for attempt in plan.status.attempts:
        if not attempt.outcome:
            attempt.outcome = outcome.DELETED
            attempt.completionTime = timestamp.millis(now)
            plan.ended.append(outcome.DELETED)
    plan.status.active = 0


def records_of_deleted(task: Task, now: float) -> list[Record]:
    """What history lacks of a Task that is gone: runs that had ended, and those that ran when somebody deleted it."""
    found = []
    for attempt in task.status.attempts:
        ended = copy.copy(attempt)
        if not ended.outcome:
            ended.outcome, ended.completionTime = outcome.DELETED, timestamp.millis(now)
        has_run = bool(attempt.outcome or attempt.startTime)
        if has_run and not attempt.recorded and (one := records.of_attempt(task, ended)) is not None:
            found.append(one)
    return found


def limit_reached(status: TaskStatus, backoff_limit: int) -> tuple[str, str] | None:
    """Reason and message if no further attempt may be made."""
    last = status.attempts[-1].message if status.attempts else ""
    tail = f"; the last one: {last}" if last else ""
    if status.failed > backoff_limit:
        return "BackoffLimitExceeded", f"failed {status.failed} times, backoffLimit is {backoff_limit}{tail}"
    if status.rejected >= REJECTION_LIMIT:
        return "NodeRejections", f"kubelets refused {status.rejected} of its pods{tail}; see the events of the nodes"
    if status.disrupted >= DISRUPTION_LIMIT:
        return "DisruptionLimitExceeded", f"disrupted {status.disrupted} times{tail}"
    return None


def next_attempt_at(status: TaskStatus, first_seconds: float, longest_seconds: float) -> float:
    """When the next pod may be made (seconds since the epoch); 0: at once.

    Failures and rejections wait 10 s, doubled each time; a disruption is not the Task's fault and waits only if it
    repeats itself.
    """
    if not status.attempts:
        return 0.0
    last = status.attempts[-1]
    if last.outcome == outcome.FAILED:
        exponent = status.failed - 1
    elif last.outcome == outcome.REJECTED:
        exponent = status.rejected - 1
    elif last.outcome == outcome.DISRUPTED and status.disrupted > 1:
        exponent = status.disrupted - 2
    else:
        return 0.0
    pause = min(longest_seconds, first_seconds * 2.0 ** min(exponent, 30))
    return timestamp.parse(last.completionTime) + pause


def _follow(attempt: Attempt, pod: Pod | None, gone_nodes: Mapping[str, float], now: float) -> None:
    if pod is None:
        attempt.outcome = outcome.DISRUPTED
        attempt.message = "its pod was deleted by someone else"
        attempt.completionTime = timestamp.millis(now)
        return
    attempt.node = pod.spec.nodeName
    attempt.decision = records.raw_decision(pod)
    attempt.startTime = outcome.started(pod)
    attempt.outcome = outcome.of(pod)
    attempt.message = outcome.explain(pod)
    if not attempt.outcome and pod.spec.nodeName in gone_nodes and gone_nodes[pod.spec.nodeName] <= now:
        attempt.outcome = outcome.DISRUPTED
        attempt.message = f"node {pod.spec.nodeName} is gone"
    if attempt.outcome:
        ended = outcome.terminated(pod)
        attempt.completionTime = ended.finishedAt if ended is not None and ended.finishedAt else timestamp.millis(now)


def _count(plan: Plan, task: Task, attempt: Attempt) -> None:
    status = plan.status
    plan.ended.append(attempt.outcome)
    if attempt.outcome == outcome.SUCCEEDED:
        status.succeeded += 1
        observation = _observation(status, attempt)
        if observation is not None:
            plan.observations.append(observation)
        return
    where = f" on {attempt.node}" if attempt.node else ""
    if attempt.outcome == outcome.FAILED:
        status.failed += 1
        plan.say(
            "AttemptFailed",
            f"attempt {attempt.number}{where} failed: {attempt.message or 'unknown'} "
            f"({status.failed} of {task.spec.backoffLimit + 1})",
            "Warning",
        )
    elif attempt.outcome == outcome.REJECTED:
        status.rejected += 1
        plan.say(
            "NodeRejected",
            f"attempt {attempt.number}: the kubelet{where} refused the pod: {attempt.message}; "
            "another node will be tried",
            "Warning",
        )
    else:
        status.disrupted += 1
        plan.say(
            "Disrupted",
            f"attempt {attempt.number}{where} was disrupted: {attempt.message}; it is repeated and "
            "not counted as a failure",
            "Warning",
        )


def _observation(status: TaskStatus, attempt: Attempt) -> Observation | None:
    try:
        seconds = timestamp.parse(attempt.completionTime) - timestamp.parse(attempt.startTime)
    except FormatError:
        return None
    predicted = attempt.decision.get("predictedRuntimeSeconds")
    factor = 1.0
    if isinstance(predicted, int | float) and 0 < predicted < 1e9 and status.referenceRuntimeSeconds > 0:
        factor = predicted / status.referenceRuntimeSeconds
    return Observation(status.type, seconds, factor)
