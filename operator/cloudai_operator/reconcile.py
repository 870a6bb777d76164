"""The operator's decision: Task and pods in, plan out. Pure and level-triggered.

Whatever was written before a crash, the next call sees what is and plans what is missing: status first, then pods, each
step idempotent because pod names follow from the Task and every end is booked once.
"""

import copy
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube import duration, outcome, records, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod
from cloudai_kube.task import Task, TaskStatus
from cloudai_kube.wording import sentence
from cloudai_operator import acceptance, attempts, conditions, pod, progress
from cloudai_operator.plan import Plan, PodDeletion
from cloudai_rts import contract
from cloudai_rts.nodeclass import RULES as CLASS_RULES
from cloudai_rts.nodeclass import ClassRules
from cloudai_rts.parameters import Document
from cloudai_rts.tau import TauStore

HISTORY_PATIENCE_SECONDS: Final = 3600.0
"""How long a finished Task is kept beyond its time for a history that cannot be written."""
TROUBLED: Final = "ReconcileFailed"
_TERMINAL: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings that decisions rest on; durations in seconds.

    `stand_in` is the scheduler that places Task pods while ours gives no sign of life; empty: ours lives.
    """

    scheduler_name: str
    sla_multiplier: float = 2.0
    retry_first_seconds: float = 10.0
    retry_longest_seconds: float = 360.0
    start_seconds: float = 600.0
    own_namespace: str = contract.NAMESPACE
    classes: ClassRules = CLASS_RULES
    stand_in: str = ""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Everything known besides the Task: nodes, and run times as they hold for its namespace.

    `recorded` are UIDs of pods that history has, if one is kept at all.
    """

    nodes: attempts.Nodes = field(default_factory=attempts.Nodes)
    tau: TauStore = field(default_factory=TauStore)
    document: Document = field(default_factory=Document)
    keeps_history: bool = False
    recorded: AbstractSet[str] = frozenset()


def reconcile(task: Task, pods: Sequence[Pod], knowledge: Knowledge, rules: Rules, now: float) -> Plan:
    """Plan everything that this Task needs now. `now` in seconds since the epoch; `pods` are those it owns."""
    status = copy.deepcopy(task.status)
    status.observedGeneration = task.metadata.generation
    plan = Plan(status)
    task = Task(task.metadata, task.spec, status)  # what follows reads what was just decided
    conditions.put_missing(status, task.metadata.generation, now)
    _advance(plan, task, pods, knowledge, rules, now)
    _keep_history(plan, task, knowledge, rules, now)
    return plan


def _advance(plan: Plan, task: Task, pods: Sequence[Pod], knowledge: Knowledge, rules: Rules, now: float) -> None:
    status = plan.status
    if status.finished():
        _after_the_end(plan, task, pods, now)
        return
    if not status.arrivalTime and not _accept(plan, task, knowledge, rules, now):
        return
    _heed_changed_deadline(plan, task, pods)
    attempts.record(plan, task, pods, knowledge.nodes, rules.start_seconds, now)
    _wake_for_gone_nodes(plan, pods, knowledge, now)
    _judge_deadline(plan, task, now)
    if _verdict(plan, task, pods, now):
        return
    if task.spec.suspend:
        _suspend(plan, task, pods, now)
        return
    _resume(plan, task, now)
    live = _live(pods, status)
    if live is not None and _is_stranded(live, rules):
        _hand_over(plan, live, rules, now)
    elif live is not None:
        _delete_live(plan, [other for other in pods if other is not live])
        progress.show(plan, task, live, now)
    else:
        _make_next(plan, task, pods, knowledge, rules, now)


def refused(task: Task, reason: str, message: str, rules: Rules, now: float) -> TaskStatus:
    """The status after the API server refused to create the pod: its words, and nothing counted as an attempt."""
    status = copy.deepcopy(task.status)
    status.refusals += 1
    pause = min(rules.retry_longest_seconds, rules.retry_first_seconds * 2.0 ** min(status.refusals - 1, 30))
    status.retryTime = timestamp.millis(now + pause)
    conditions.put(status, "Scheduled", "False", reason, message, task.metadata.generation, now)
    return status


def _accept(plan: Plan, task: Task, knowledge: Knowledge, rules: Rules, now: float) -> bool:
    """Freeze what a Task is judged by. A Task created suspended arrives when it is first resumed."""
    status, generation = plan.status, task.metadata.generation
    against = acceptance.refusal(task, rules.own_namespace)
    if against is not None:
        return _refuse(plan, task, against, now)
    try:
        status.type = acceptance.type_of(task)
    except FormatError as error:
        return _find_invalid(plan, task, error, now)
    if task.spec.suspend:
        status.state = "Suspended"
        plan.set(task, "Suspended", "True", "SuspendedByUser", "created suspended; it arrives when resumed", now)
        return False
    was_suspended = status.is_true("Suspended")
    arrival = now if was_suspended else timestamp.parse(task.metadata.creationTimestamp)
    try:
        terms = acceptance.terms(task, arrival, knowledge.tau, knowledge.document, rules.sla_multiplier)
    except FormatError as error:
        return _find_invalid(plan, task, error, now)
    against = acceptance.past_deadline(terms.deadline, arrival)
    if against is not None:
        return _refuse(plan, task, against, now)
    status.arrivalTime = timestamp.millis(arrival)
    status.referenceRuntimeSeconds = round(terms.reference_runtime, 3)
    status.runtimeLogSd = round(terms.log_sd, 4)
    status.deadline = status.originalDeadline = timestamp.millis(terms.deadline.at)
    status.deadlineSource = terms.deadline.source
    status.activeSince = timestamp.millis(now)
    status.state = "Pending"
    left = duration.human(terms.deadline.at - arrival)
    text = (
        f"type {status.type}, expected to run {duration.human(terms.reference_runtime)}, "
        f"to be finished within {left} ({terms.deadline.source})"
    )
    conditions.put(status, "Accepted", "True", "Accepted", text, generation, now)
    plan.say("Accepted", text)
    return True


def _refuse(plan: Plan, task: Task, against: acceptance.Refusal, now: float) -> bool:
    """End a Task that must not run before anything is made of it."""
    status = plan.status
    status.state = "Failed"
    status.completionTime = timestamp.millis(now)
    plan.set(task, "Accepted", "False", against.reason, against.message, now)
    plan.set(task, "Failed", "True", against.reason, against.message, now)
    plan.say(against.reason, against.message, "Warning")
    _schedule_removal(plan, task, now)
    return False


def _find_invalid(plan: Plan, task: Task, error: FormatError, now: float) -> bool:
    """Say what cannot be read; the Task waits for its correction."""
    plan.status.state = "Pending"
    if plan.set(task, "Accepted", "False", "InvalidSpec", str(error), now):
        plan.say("InvalidSpec", f"it cannot be accepted: {error}", "Warning")
    return False


def _heed_changed_deadline(plan: Plan, task: Task, pods: Sequence[Pod]) -> None:
    """finishBy and finishWithin may be changed; the deadline first promised stays on record."""
    status = plan.status
    stated = _stated_deadline(plan, task)
    if stated is not None and timestamp.millis(stated.at) != status.deadline:
        before, status.deadline = status.deadline, timestamp.millis(stated.at)
        status.deadlineSource = stated.source
        plan.say("DeadlineChanged", f"to be finished by {status.deadline} instead of {before}")
    notes, labels = pod.annotations(task), {contract.LABEL_TASK: task.metadata.name}
    for task_pod in pods:
        meta = task_pod.metadata
        if not outcome.of(task_pod) and not (
            notes.items() <= meta.annotations.items() and labels.items() <= meta.labels.items()
        ):
            plan.corrections.append((meta, {"annotations": notes, "labels": labels}))


def _stated_deadline(plan: Plan, task: Task) -> acceptance.Deadline | None:
    """The deadline that the spec states now. One that cannot be read changes nothing, and the Task says so."""
    accepted = plan.status.condition("Accepted")
    message = accepted.message if accepted is not None else ""
    try:
        stated = acceptance.changed_deadline(task, timestamp.parse(plan.status.arrivalTime))
    except FormatError as error:
        text = f"{error}; the deadline stays {plan.status.deadline}"
        if text != message and accepted is not None:
            accepted.reason, accepted.message = "DeadlineNotChanged", text
            plan.say("DeadlineNotChanged", text, "Warning")
        return None
    if accepted is not None and accepted.reason in {"DeadlineNotChanged", TROUBLED}:
        accepted.reason, accepted.message = "Accepted", ""
    return stated


def _wake_for_gone_nodes(plan: Plan, pods: Sequence[Pod], knowledge: Knowledge, now: float) -> None:
    booked = {attempt.podUID: attempt.outcome for attempt in plan.status.attempts}
    for task_pod in pods:
        gone_at = knowledge.nodes.gone.get(task_pod.spec.nodeName)
        if gone_at is None or outcome.of(task_pod):
            continue
        if booked.get(task_pod.metadata.uid) and gone_at <= now:
            plan.deletions.append(PodDeletion(task_pod.metadata, force=True))
        elif gone_at > now:
            plan.wake(gone_at)


def _judge_deadline(plan: Plan, task: Task, now: float) -> None:
    """DeadlineMet becomes False when the deadline passes, not at the end: that is when people want to know."""
    status = plan.status
    deadline = timestamp.parse(status.deadline)
    done_at = _success_time(status)
    if done_at is not None:
        met = done_at <= deadline
        margin = duration.human(abs(deadline - done_at))
        text = f"finished {margin} {'before' if met else 'after'} its deadline"
        plan.set(task, "DeadlineMet", str(met), "Met" if met else "Missed", text, now)
    elif now >= deadline:
        if plan.set(task, "DeadlineMet", "False", "Passed", f"its deadline {status.deadline} has passed", now):
            plan.say("DeadlineMissed", f"not finished by {status.deadline} ({status.deadlineSource})", "Warning")
    else:
        plan.set(task, "DeadlineMet", "Unknown", "Pending", "", now)
        plan.wake(deadline)


def _verdict(plan: Plan, task: Task, pods: Sequence[Pod], now: float) -> bool:
    """End the Task if it has succeeded or must not go on."""
    status = plan.status
    if _success_time(status) is not None:
        _complete(plan, task, now)
        _delete_live(plan, pods)  # an injected container may run on
        return True
    limit = attempts.limit_reached(status, task.spec.backoffLimit)
    if limit is None and not task.spec.suspend:
        limit = _out_of_time(plan, task, now)
    if limit is None:
        return False
    _fail(plan, task, pods, *limit, now)
    return True


def _out_of_time(plan: Plan, task: Task, now: float) -> tuple[str, str] | None:
    allowed = task.spec.activeDeadlineSeconds
    status = plan.status
    if allowed is None or not status.activeSince:
        return None
    ends = timestamp.parse(status.activeSince) + allowed - status.activeSeconds
    if now < ends:
        plan.wake(ends)
        return None
    return "DeadlineExceeded", f"was active longer than activeDeadlineSeconds = {allowed}"


def _complete(plan: Plan, task: Task, now: float) -> None:
    status = plan.status
    attempt = next(attempt for attempt in reversed(status.attempts) if attempt.outcome == outcome.SUCCEEDED)
    status.state = "Complete"
    status.completionTime = attempt.completionTime
    status.startTime = attempt.startTime or status.startTime
    if attempt.startTime:
        seconds = timestamp.parse(attempt.completionTime) - timestamp.parse(attempt.startTime)
        status.runtimeSeconds = round(max(0.0, seconds), 3)
    progress.clear_prospects(status)
    met = status.condition("DeadlineMet")
    text = f"ran {duration.human(status.runtimeSeconds or 0.0)} on {attempt.node}; {met.message if met else ''}"
    plan.set(task, "Running", "False", "Finished", "", now)
    plan.set(task, "Complete", "True", "Succeeded", text, now)
    plan.say("Completed", text)
    _schedule_removal(plan, task, now)


def _fail(plan: Plan, task: Task, pods: Sequence[Pod], reason: str, message: str, now: float) -> None:
    status = plan.status
    attempts.abandon(plan, now)
    status.state = "Failed"
    status.completionTime = timestamp.millis(now)
    progress.clear_prospects(status)
    plan.set(task, "Running", "False", "Finished", "", now)
    plan.set(task, "Failed", "True", reason, message, now)
    plan.set(task, "DeadlineMet", "False", "Failed", "it failed", now)
    plan.say(reason, message, "Warning")
    _delete_live(plan, pods)
    _schedule_removal(plan, task, now)


def _after_the_end(plan: Plan, task: Task, pods: Sequence[Pod], now: float) -> None:
    _delete_live(plan, pods)
    _schedule_removal(plan, task, now)


def _keep_history(plan: Plan, task: Task, knowledge: Knowledge, rules: Rules, now: float) -> None:
    """Offer what ended and is not recorded, mark what is; a finished Task is not removed before it is recorded."""
    if not knowledge.keeps_history:
        return
    for attempt in plan.status.attempts:
        if not attempt.outcome or attempt.recorded:
            continue
        record = records.of_attempt(task, attempt, rules=rules.classes)
        if record is None or attempt.podUID in knowledge.recorded:
            attempt.recorded = True  # nothing to learn from it, or it is safe
        else:
            plan.history.append(record)
    if plan.delete_task and plan.history:
        ttl = task.spec.ttlSecondsAfterFinished or 0
        patience_ends = timestamp.parse(plan.status.completionTime) + ttl + HISTORY_PATIENCE_SECONDS
        if now < patience_ends:
            plan.delete_task = False
            plan.wake(patience_ends)


def _schedule_removal(plan: Plan, task: Task, now: float) -> None:
    ttl = task.spec.ttlSecondsAfterFinished
    if ttl is None:
        return
    at = timestamp.parse(plan.status.completionTime) + ttl
    if now >= at:
        plan.delete_task = True
    else:
        plan.wake(at)


def _suspend(plan: Plan, task: Task, pods: Sequence[Pod], now: float) -> None:
    """Stop what runs and stop the clock of activeDeadlineSeconds; the deadline stands."""
    status = plan.status
    if status.activeSince:
        status.activeSeconds = round(max(0.0, status.activeSeconds + now - timestamp.parse(status.activeSince)), 3)
        status.activeSince = ""
    attempts.abandon(plan, now)
    status.state = "Suspended"
    status.retryTime = ""
    progress.clear_prospects(status)
    _delete_live(plan, pods)
    plan.set(task, "Scheduled", "False", "Suspended", "", now)
    plan.set(task, "Running", "False", "Suspended", "", now)
    if plan.set(task, "Suspended", "True", "SuspendedByUser", "spec.suspend is true; the deadline stands", now):
        plan.say("Suspended", "its pod is stopped; the deadline stands")


def _resume(plan: Plan, task: Task, now: float) -> None:
    status = plan.status
    was = status.is_true("Suspended")
    plan.set(task, "Suspended", "False", "NotSuspended", "", now)
    if not status.activeSince:
        status.activeSince = timestamp.millis(now)
    if was:
        status.state = "Pending"
        plan.say("Resumed", f"it goes on; to be finished by {status.deadline}")


def _make_next(plan: Plan, task: Task, pods: Sequence[Pod], knowledge: Knowledge, rules: Rules, now: float) -> None:
    status = plan.status
    status.podName = ""
    status.active = 0
    progress.clear_prospects(status)
    plan.set(task, "Running", "False" if status.attemptCount else "Unknown", "Pending", "", now)
    status.state = "Retrying" if status.attemptCount else "Pending"
    if any(_is_in_the_way(task_pod, knowledge, now) for task_pod in pods):
        _delete_live(plan, pods)  # said before, but perhaps not done: a crash may have come between
        plan.wake(now + outcome.LOST_SECONDS)
        return
    at = attempts.next_attempt_at(status, rules.retry_first_seconds, rules.retry_longest_seconds)
    if status.refusals and status.retryTime:
        at = max(at, timestamp.parse(status.retryTime))
    if now < at:
        status.retryTime = timestamp.millis(at)
        plan.wake(at)
        if not status.refusals:
            plan.set(task, "Scheduled", "False", "Retrying", f"the next attempt is made at {status.retryTime}", now)
        return
    status.retryTime = ""
    avoided = attempts.avoided_nodes(status, now)
    plan.creation = pod.build(task, status.attemptCount + 1, rules.stand_in or rules.scheduler_name, avoided)


def _is_stranded(live: Pod, rules: Rules) -> bool:
    """Whether a pod waits for a scheduler that gives no sign of life."""
    return bool(rules.stand_in) and not live.spec.nodeName and live.spec.schedulerName == rules.scheduler_name


def _hand_over(plan: Plan, live: Pod, rules: Rules, now: float) -> None:
    """Delete a pod that no scheduler would ever place; the next attempt names the one that stands in."""
    attempts.abandon(plan, now)
    _delete_live(plan, [live])
    plan.say(
        "BreakGlass",
        f"scheduler {rules.scheduler_name} gives no sign of life: {rules.stand_in} places the next pod",
        "Warning",
    )


def _is_in_the_way(task_pod: Pod, knowledge: Knowledge, now: float) -> bool:
    """Whether a pod may still be at work, so that no other may be made: not one on a machine that is gone or dead."""
    if task_pod.status.phase in _TERMINAL or knowledge.nodes.gone.get(task_pod.spec.nodeName, now + 1.0) <= now:
        return False
    return not outcome.is_lost(task_pod, now, task_pod.spec.nodeName not in knowledge.nodes.unready)


def _live(pods: Sequence[Pod], status: TaskStatus) -> Pod | None:
    """The pod of an attempt that has not ended."""
    open_attempts = {attempt.podUID for attempt in status.attempts if not attempt.outcome}
    return next((task_pod for task_pod in pods if task_pod.metadata.uid in open_attempts), None)


def _delete_live(plan: Plan, pods: Sequence[Pod]) -> None:
    for task_pod in pods:
        if task_pod.status.phase not in _TERMINAL and task_pod.metadata.deletionTimestamp is None:
            plan.deletions.append(PodDeletion(task_pod.metadata))


def _success_time(status: TaskStatus) -> float | None:
    for attempt in reversed(status.attempts):
        if attempt.outcome == outcome.SUCCEEDED:
            return timestamp.parse(attempt.completionTime)
    return None


def troubled(task: Task, error: Exception, now: float) -> TaskStatus:
    """The status of a Task that could not be looked after: it says why, and nothing else about it changes."""
    status = copy.deepcopy(task.status)
    known = status.condition("Accepted")
    value = known.status if known is not None else "Unknown"
    text = f"the operator cannot look after this Task: {sentence(error)}; it tries again"
    conditions.put(status, "Accepted", value, TROUBLED, text, task.metadata.generation, now)
    return status
