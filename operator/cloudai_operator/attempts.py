"""The book of attempts: which pods there were, what became of each, and when the next may be made."""

import copy
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube import moment, outcome, records, timestamp
from cloudai_kube.objects import Pod
from cloudai_kube.task import Attempt, Task, TaskStatus
from cloudai_operator.plan import Observation, Plan
from cloudai_rts import contract
from cloudai_rts.history import Record
from cloudai_rts.nodeclass import RULES, ClassRules

REMEMBERED: Final = 20
REJECTION_LIMIT: Final = 20
DISRUPTION_LIMIT: Final = 50
START_FAILURE_NODES: Final = 3
"""What cannot be started on so many nodes is the Task's own fault: a typo, or an image that nobody can pull."""
START_FAILURE_LIMIT: Final = 6
"""Nor is it tried for ever where fewer nodes can be had."""
_IMAGE: Final = "image"
_OF_IMAGES: Final = re.compile(
    r"\b(?:ErrImage\w*|ImagePullBackOff|ImageInspectError|InvalidImageName|RegistryUnavailable)\b"
)
_NUMBERS: Final = re.compile(r"\b(?:[0-9a-f]*[0-9][0-9a-f]*)\b")
AVOIDED_SECONDS: Final = 600.0
"""How long a node that refused an attempt is avoided by the next ones."""
MOST_AVOIDED: Final = 16


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes in trouble: those that are gone (and from when on they count as gone), those that are not Ready."""

    gone: dict[str, float] = field(default_factory=dict)
    unready: AbstractSet[str] = frozenset()


def number_of(task: Task, pod: Pod) -> int:
    """The attempt of the Task that a pod's name proves it to be, 0 if it is none."""
    meta = task.metadata
    if pod.metadata.namespace != meta.namespace:
        return 0
    return contract.attempt_of(meta.name, meta.uid, pod.metadata.name)


def record(plan: Plan, task: Task, pods: Sequence[Pod], nodes: Nodes, start_seconds: float, now: float) -> None:
    """Bring the book up to date with the pods that there are; each end is counted once.

    An attempt that could not start for `start_seconds` ends: another node may be able to.
    """
    status = plan.status
    by_uid = {pod.metadata.uid: pod for pod in pods}
    book = {attempt.podUID: copy.copy(attempt) for attempt in status.attempts}
    for pod in sorted(pods, key=lambda pod: number_of(task, pod)):
        if pod.metadata.uid not in book and number_of(task, pod) == status.attemptCount + 1:
            status.attemptCount += 1
            book[pod.metadata.uid] = Attempt(pod.metadata.uid, status.attemptCount)
    for uid, attempt in book.items():
        if not attempt.outcome:
            _follow(plan, attempt, by_uid.get(uid), nodes, start_seconds, now)
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


def records_of_deleted(task: Task, now: float, rules: ClassRules = RULES) -> list[Record]:
    """What history lacks of a Task that is gone: runs that had ended, and those that ran when somebody deleted it."""
    runs = []
    for attempt in task.status.attempts:
        ended = copy.copy(attempt)
        if not ended.outcome:
            ended.outcome, ended.completionTime = outcome.DELETED, timestamp.millis(now)
        has_run = bool(attempt.outcome or attempt.startTime)
        if has_run and not attempt.recorded and (run := records.of_attempt(task, ended, rules=rules)) is not None:
            runs.append(run)
    return runs


def limit_reached(status: TaskStatus, backoff_limit: int) -> tuple[str, str] | None:
    """Reason and message if no further attempt may be made."""
    last = status.attempts[-1].message if status.attempts else ""
    tail = f"; the last one: {last}" if last else ""
    if status.failed > backoff_limit:
        return "BackoffLimitExceeded", f"failed {status.failed} times, backoffLimit is {backoff_limit}{tail}"
    unstarted = _start_failures(status)
    nodes = list(dict.fromkeys(attempt.node for attempt in unstarted))
    if len(nodes) >= START_FAILURE_NODES or len(unstarted) >= START_FAILURE_LIMIT:
        where = f"{len(unstarted)} times (on {', '.join(nodes)})"
        remedy = "check the image's name and the pull secrets" if _kind(last) == _IMAGE else "check image and command"
        return "StartFailed", f"could not be started {where}{tail}; {remedy}"
    if status.rejected >= REJECTION_LIMIT:
        return "NodeRejections", f"kubelets refused {status.rejected} of its pods{tail}; see the events of the nodes"
    if status.disrupted >= DISRUPTION_LIMIT:
        return "DisruptionLimitExceeded", f"disrupted {status.disrupted} times{tail}"
    return None


def _start_failures(status: TaskStatus) -> list[Attempt]:
    """The newest attempts that could not be started for one and the same reason, since any of them has started."""
    failures: list[Attempt] = []
    for attempt in reversed(status.attempts):
        if attempt.startFailed and _kind(attempt.message) == _kind(status.attempts[-1].message):
            failures.append(attempt)
        elif attempt.startFailed or attempt.startTime:
            break
    return failures[::-1] if status.attempts and status.attempts[-1].startFailed else []


def _kind(message: str) -> str:
    """The words that several nodes share: they differ in numbers, and for a missing image there are many reasons."""
    return _IMAGE if _OF_IMAGES.search(message) else _NUMBERS.sub("#", message)


def avoided_nodes(status: TaskStatus, now: float) -> list[str]:
    """Nodes that refused an attempt lately, the newest ones."""
    refused = [
        attempt.node
        for attempt in reversed(status.attempts)
        if attempt.node
        and attempt.outcome == outcome.REJECTED
        and (moment.read(attempt.completionTime) or 0.0) > now - AVOIDED_SECONDS
    ]
    return list(dict.fromkeys(refused))[:MOST_AVOIDED]


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
    return (moment.read(last.completionTime) or 0.0) + pause


def _follow(plan: Plan, attempt: Attempt, pod: Pod | None, nodes: Nodes, start_seconds: float, now: float) -> None:
    if pod is None:
        attempt.outcome = outcome.DISRUPTED
        attempt.message = "its pod was deleted by someone else"
        attempt.completionTime = timestamp.millis(now)
        return
    run = outcome.run_of(pod)
    attempt.node = pod.spec.nodeName
    if attempt.node and not attempt.decision:  # as it came with the Binding: before and after anybody can write it
        attempt.decision = records.raw_decision(pod)
    attempt.startTime = moment.text(_by_now(run.start, now)) or attempt.startTime
    attempt.outcome = outcome.of(pod)
    attempt.message = outcome.explain(pod)
    if not attempt.outcome:
        _look_for_an_end(plan, attempt, pod, nodes, start_seconds, now)
    if attempt.outcome:
        attempt.completionTime = moment.text(_by_now(run.end, now)) or timestamp.millis(now)
        attempt.stuckSince = ""
        if attempt.outcome == outcome.REJECTED and outcome.is_start_failure(pod):
            attempt.startFailed = True


def _by_now(at: float | None, now: float) -> float | None:
    """A kubelet's time; its clock may be ahead of ours, and nothing must wait for that."""
    return None if at is None else min(at, now)


def _look_for_an_end(plan: Plan, attempt: Attempt, pod: Pod, nodes: Nodes, start_seconds: float, now: float) -> None:
    """What a pod cannot say itself: its node is gone or dead, or its container does not start."""
    node = pod.spec.nodeName
    gone_at = nodes.gone.get(node)
    if gone_at is not None and gone_at <= now:
        attempt.outcome, attempt.message = outcome.DISRUPTED, f"node {node} is gone"
    elif outcome.is_lost(pod, now, node_is_ready=node not in nodes.unready):
        attempt.outcome, attempt.message = outcome.DISRUPTED, f"node {node} does not say what became of it"
    elif pod.metadata.deletionTimestamp is not None:
        plan.wake(now + outcome.LOST_SECONDS)
    elif node:
        _watch_start(plan, attempt, pod, start_seconds, now)


def _watch_start(plan: Plan, attempt: Attempt, pod: Pod, start_seconds: float, now: float) -> None:
    """The clock runs on errors and until network and volumes are there, never while an image is pulled."""
    problem = outcome.held_up(pod)
    if attempt.startTime or pod.status.phase != "Pending" or (problem is None and outcome.is_prepared(pod)):
        attempt.stuckSince = ""
        return
    if not attempt.stuckSince:
        since = now if problem is not None else outcome.bound_at(pod) or now
        attempt.stuckSince = timestamp.millis(min(now, since))
    ends = (moment.read(attempt.stuckSince) or now) + start_seconds
    if now < ends:
        plan.wake(ends)
        return
    why = f"{problem.reason}: {problem.message}" if problem is not None else "network or volumes are not ready"
    attempt.outcome = outcome.REJECTED
    attempt.startFailed = problem is not None  # what is not ready there is the cluster's fault, on however many nodes
    attempt.message = f"did not start within {start_seconds:.0f} s: {why}"


def _count(plan: Plan, task: Task, attempt: Attempt) -> None:
    status = plan.status
    plan.ended.append(attempt.outcome)
    if attempt.outcome == outcome.SUCCEEDED:
        status.succeeded += 1
        observation = _observation(task, attempt)
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
            f"attempt {attempt.number}{where} was not started: {attempt.message}; another node will be tried",
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


def _observation(task: Task, attempt: Attempt) -> Observation | None:
    """What a run tells about the run times of its type in its namespace."""
    status = task.status
    start, end = moment.read(attempt.startTime), moment.read(attempt.completionTime)
    if start is None or end is None:
        return None
    predicted = attempt.decision.get("predictedRuntimeSeconds")
    factor = 1.0
    if isinstance(predicted, int | float) and predicted > 0 and status.referenceRuntimeSeconds > 0:
        factor = predicted / status.referenceRuntimeSeconds
    return Observation(task.metadata.namespace, status.type, end - start, factor)
