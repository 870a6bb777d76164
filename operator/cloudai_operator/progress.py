"""What the status of a Task says of its living pod: whether it waits, starts or runs, and when it is to finish."""

from collections.abc import Mapping

from cloudai_kube import duration, moment, outcome, timestamp
from cloudai_kube.objects import Pod
from cloudai_kube.task import Task, TaskStatus
from cloudai_operator.plan import Plan


def show(plan: Plan, task: Task, live: Pod, now: float) -> None:
    """Bring state, conditions and prospects up to date with the pod of the attempt that has not ended."""
    status = plan.status
    status.podName = live.metadata.name
    status.retryTime = ""
    status.refusals = 0
    if not live.spec.nodeName:
        _show_waiting(plan, task, live, now)
        return
    _show_prospects(plan, task, live, now)
    started = outcome.run_of(live).start
    if live.status.phase == "Running" and started is not None:
        status.startTime = status.startTime or moment.text(started)
        status.state = "Running"
        plan.set(task, "Running", "True", "Started", f"runs on {live.spec.nodeName}", now)
        return
    status.state = "Scheduled"
    problem = outcome.held_up(live)
    if problem is None:
        plan.set(task, "Running", "False", "Starting", f"{live.spec.nodeName} is starting the pod", now)
        return
    known = status.condition("Running")
    if known is None or known.reason != problem.reason:
        plan.say(problem.reason, f"{live.spec.nodeName} cannot start the container: {problem.message}", "Warning")
    plan.set(task, "Running", "False", problem.reason, problem.message, now)


def _show_waiting(plan: Plan, task: Task, live: Pod, now: float) -> None:
    status = plan.status
    told = next((c for c in live.status.conditions if c.type == "PodScheduled" and c.status == "False"), None)
    reason, message = (told.reason, told.message) if told is not None else ("Queued", "waits for the scheduler")
    status.state = "Deferred" if reason == "Deferred" else "Retrying" if status.attemptCount > 1 else "Pending"
    clear_prospects(status)
    known = status.condition("Scheduled")
    if told is not None and (known is None or known.reason != reason):  # its counts change all the time
        plan.say(reason or "Queued", f"waits: {message}", "Normal" if reason == "Deferred" else "Warning")
    plan.set(task, "Scheduled", "False", reason or "Queued", message, now)
    plan.set(task, "Running", "False", "Waiting", "", now)


def _show_prospects(plan: Plan, task: Task, live: Pod, now: float) -> None:
    status = plan.status
    decision = next((attempt.decision for attempt in status.attempts if attempt.podUID == live.metadata.uid), {})
    deadline = moment.read(status.deadline)
    finish, late = moment.read(decision.get("predictedCompletionTime")), decision.get("lateProbability")
    told = round(100 * late) if isinstance(late, int | float) else None
    status.latePercent = told if deadline is None or now < deadline else None  # from then on it is known
    if finish is None:
        status.predictedCompletionTime = ""
    elif finish <= now:  # it was a guess, and it was wrong: it must not stand there unchanged
        clear_prospects(status)
    else:
        status.predictedCompletionTime = timestamp.millis(finish)
        plan.wake(finish)
    version = decision.get("parametersVersion")
    status.parametersVersion = version if isinstance(version, int) and 0 <= version < 1 << 53 else None
    text = _why(live.spec.nodeName, decision, told)
    if plan.set(task, "Scheduled", "True", "Bound", text, now):
        plan.say("Scheduled", text)


def _why(node: str, decision: Mapping[str, object], late_percent: int | None) -> str:
    """Why this node, in one sentence."""
    if not decision:
        return f"bound to {node} (not by the CloudAI scheduler)"
    parts = [f"bound to {node} by {decision.get('policy')}"]
    runtime = decision.get("predictedRuntimeSeconds")
    if isinstance(runtime, int | float):
        parts.append(f"predicted to run {duration.human(runtime)}")
    if late_percent is not None:
        parts.append(f"{late_percent} % chance of missing its deadline")
    if decision.get("fallbackReason"):
        parts.append(str(decision["fallbackReason"])[:200])
    return ", ".join(parts) + f" (parameters version {decision.get('parametersVersion')})"


def clear_prospects(status: TaskStatus) -> None:
    """Forget when a Task is expected to finish; how it ended stays."""
    if status.state not in {"Complete", "Failed"}:
        status.predictedCompletionTime = ""
        status.latePercent = None
