"""What became of a pod: succeeded, failed by its own fault, refused by a kubelet, or disrupted by the cluster."""

from typing import Final

from cloudai_kube import timestamp
from cloudai_kube.objects import Pod, Terminated, Waiting
from cloudai_rts import contract, history

SUCCEEDED: Final = history.SUCCEEDED
FAILED: Final = "Failed"
REJECTED: Final = "Rejected"
DISRUPTED: Final = "Disrupted"
DELETED: Final = "Deleted"
_DISRUPTION_REASONS: Final = frozenset({"Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"})
_STARTING: Final = frozenset({"", "ContainerCreating", "PodInitializing"})


def of(pod: Pod) -> str:
    """Classify a pod; empty while it lives."""
    status = pod.status
    if status.phase == SUCCEEDED:
        return SUCCEEDED
    if status.phase != FAILED:
        return ""
    if contract.is_kubelet_rejection(status.reason):
        return REJECTED
    targeted = any(c.type == "DisruptionTarget" and c.status == "True" for c in status.conditions)
    if targeted or status.reason in _DISRUPTION_REASONS or _ended_by_deletion(pod):
        return DISRUPTED
    return FAILED


def _ended_by_deletion(pod: Pod) -> bool:
    """Whether somebody deleted the pod before its container ended: then its exit code is that of a signal.

    A pod's `deletionTimestamp` is the moment of the request plus the grace period, in whole seconds.
    """
    meta = pod.metadata
    if meta.deletionTimestamp is None:
        return False
    ended = terminated(pod)
    finished = timestamp.parse_optional(ended.finishedAt) if ended is not None else None
    asked = (timestamp.parse_optional(meta.deletionTimestamp) or 0.0) - meta.deletionGracePeriodSeconds
    return finished is None or finished >= asked


def explain(pod: Pod) -> str:
    """The reason for people: the pod's own words, or its container's exit code."""
    status = pod.status
    if status.reason:
        return f"{status.reason}: {status.message}" if status.message else status.reason
    ended = terminated(pod)
    if ended is not None and ended.exitCode:
        why = f" ({ended.reason})" if ended.reason and ended.reason != "Error" else ""
        return f"exit code {ended.exitCode}{why}" + (f": {ended.message[:200]}" if ended.message else "")
    return ""


def terminated(pod: Pod) -> Terminated | None:
    """How the container ended, None while it runs or if it never started."""
    for container in pod.status.containerStatuses:
        if container.state.terminated is not None:
            return container.state.terminated
    return None


def held_up(pod: Pod) -> Waiting | None:
    """Why the container does not start, None while it is merely on its way."""
    for container in (*pod.status.initContainerStatuses, *pod.status.containerStatuses):
        waiting = container.state.waiting
        if waiting is not None and waiting.reason not in _STARTING:
            return waiting
    return None


def started(pod: Pod) -> str:
    """When the container began to run, empty if it never did."""
    for container in pod.status.containerStatuses:
        if container.state.running is not None:
            return container.state.running.startedAt or ""
        if container.state.terminated is not None:
            return container.state.terminated.startedAt or ""
    return ""
