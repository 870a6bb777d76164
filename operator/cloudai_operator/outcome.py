"""What became of a pod: succeeded, failed by its own fault, refused by a kubelet, or disrupted by the cluster."""

from typing import Final

from cloudai_kube.objects import Pod, Terminated
from cloudai_rts import contract

SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"
REJECTED: Final = "Rejected"
DISRUPTED: Final = "Disrupted"
DELETED: Final = "Deleted"
_DISRUPTION_REASONS: Final = frozenset({"Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"})


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
    if targeted or status.reason in _DISRUPTION_REASONS:
        return DISRUPTED
    return FAILED


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


def started(pod: Pod) -> str:
    """When the container began to run, empty if it never did."""
    for container in pod.status.containerStatuses:
        if container.state.running is not None:
            return container.state.running.startedAt or ""
        if container.state.terminated is not None:
            return container.state.terminated.startedAt or ""
    return ""
