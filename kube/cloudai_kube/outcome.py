"""What became of a pod: succeeded, failed by its own fault, refused by its node, or disrupted by the cluster.

Decided by what ran, never by a list of reasons: kubelets, runtimes and controllers invent new words with every release
(kubernetes/enhancements#3463), but whether a container ran, how it ended and who ended it is always there.
"""

from dataclasses import dataclass
from typing import Final

from cloudai_kube import moment
from cloudai_kube.objects import ContainerStatus, Meta, Pod, Terminated, Waiting
from cloudai_rts import contract, history

SUCCEEDED: Final = history.SUCCEEDED
FAILED: Final = "Failed"
REJECTED: Final = "Rejected"
DISRUPTED: Final = "Disrupted"
DELETED: Final = "Deleted"
RUNTIME_EXIT_CODES: Final = range(125, 129)
"""What container runtimes and shells end with where a command could not be started."""
START_SECONDS: Final = 5.0
"""A command that ends with one of those within so long was never at work."""
CLOCK_SECONDS: Final = 5.0
"""By which the clocks of a node and of the API server may differ: one of them says when a pod ended."""
LOST_SECONDS: Final = 30.0
"""A pod that should be gone for so long is on a machine that can no longer say so."""
STUCK_SECONDS: Final = 600.0
"""The same on a machine that is Ready: its kubelet may still be busy with it."""
_EVICTED: Final = "Evicted"
_OVERTIME: Final = "DeadlineExceeded"
_UNKNOWN_END: Final = "ContainerStatusUnknown"
_ON_ITS_WAY: Final = frozenset({"", "ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, slots=True)
class Run:
    """When the work of a pod began and ended, seconds since the epoch; None where nobody saw it."""

    start: float | None = None
    end: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long it ran."""
        return None if self.start is None or self.end is None else self.end - self.start


def of(pod: Pod) -> str:
    """Classify a pod; empty while it lives."""
    status = pod.status
    if status.phase == SUCCEEDED:
        return SUCCEEDED
    if status.phase != FAILED:
        return _of_work(pod)
    if _work_exit(pod) == 0:  # the work is done; an injected container failed
        return SUCCEEDED
    if is_targeted(pod) or _ended_by_deletion(pod):
        return DISRUPTED
    if status.reason == _EVICTED and _has_statuses(pod):
        return FAILED  # for its own limits: for the node's sake it would be the target of a disruption
    if not has_run(pod) or is_start_failure(pod):
        return REJECTED
    ended = terminated(pod)
    if ended is not None and ended.reason == _UNKNOWN_END:
        return DISRUPTED  # its exit code is the kubelet's invention: the node was started again, nobody saw the end
    # A reason of the whole pod is the kubelet's or a controller's: it ended what ran.
    return DISRUPTED if status.reason and status.reason != _OVERTIME else FAILED


def _has_statuses(pod: Pod) -> bool:
    """A node under pressure that does not admit a pod says Evicted too, and nothing of its containers."""
    return bool(pod.status.containerStatuses or pod.status.initContainerStatuses)


def is_lost(pod: Pod, now: float, node_is_ready: bool) -> bool:
    """Whether a pod that should be gone is still shown, because its machine cannot say any more what became of it."""
    asked = moment.read(pod.metadata.deletionTimestamp)  # the request plus the grace period
    if asked is None:
        return False
    patience = STUCK_SECONDS if node_is_ready and not is_targeted(pod) else LOST_SECONDS
    return now >= asked + patience


def is_targeted(pod: Pod) -> bool:
    """Whether the cluster says that it disrupts the pod (eviction, preemption, drain, node pressure, shutdown)."""
    return any(c.type == "DisruptionTarget" and c.status == "True" for c in pod.status.conditions)


def has_run(pod: Pod) -> bool:
    """Whether any container of the pod ever ran."""
    statuses = (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
    return any(_has_run(status, pod.metadata) for status in statuses)


def is_start_failure(pod: Pod) -> bool:
    """Whether the work could not be started: the runtime refused, or its command ended at once with their code."""
    ended = terminated(pod)
    if ended is None:
        return False
    run = run_of(pod)
    if run.start is None:
        return ended.reason != _UNKNOWN_END
    return ended.exitCode in RUNTIME_EXIT_CODES and run.seconds is not None and run.seconds <= START_SECONDS


def run_of(pod: Pod) -> Run:
    """When the work ran: the container named `task` of a Task's pod; of others from the first start to the last end."""
    statuses = _work(pod)
    starts = [at for status in statuses if (at := _start_of(status, pod.metadata)) is not None]
    ends = [at for status in statuses if (at := _end_of(status)) is not None]
    if any(status.state.running is not None for status in statuses):
        ends = []
    start, end = min(starts, default=None), max(ends, default=None)
    if start is not None and end is not None and start > end:
        return Run(None, end)
    return Run(start, end)


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
    """How the work ended, None while it runs or if it never started."""
    ends = [status.state.terminated for status in _work(pod) if status.state.terminated is not None]
    return next((ended for ended in ends if ended.exitCode), ends[0] if ends else None)


def held_up(pod: Pod) -> Waiting | None:
    """Why a container does not start, None while it is merely on its way."""
    for container in (*pod.status.initContainerStatuses, *pod.status.containerStatuses):
        waiting = container.state.waiting
        if waiting is not None and waiting.reason not in _ON_ITS_WAY:
            return waiting
    return None


def is_prepared(pod: Pod) -> bool:
    """Whether network and volumes are there: from then on only an image can be missing.

    A kubelet that has seen the pod and has no word for that (a virtual one) is given all the time.
    """
    said = next((c.status for c in pod.status.conditions if c.type == "PodReadyToStartContainers"), None)
    return said == "True" or (said is None and bool(pod.status.startTime))


def bound_at(pod: Pod) -> float | None:
    """When the pod was bound, seconds since the epoch; None where that is not told."""
    said = (c.lastTransitionTime for c in pod.status.conditions if c.type == "PodScheduled" and c.status == "True")
    return moment.read(next(said, None))


def _of_work(pod: Pod) -> str:
    """A Task's container has ended while another, injected one runs on: nobody starts it again."""
    code = _work_exit(pod)
    if code is None:
        return ""
    if code == 0:
        return SUCCEEDED
    if is_targeted(pod) or _ended_by_deletion(pod):
        return DISRUPTED
    return REJECTED if is_start_failure(pod) else FAILED


def _work_exit(pod: Pod) -> int | None:
    if pod.spec.restartPolicy != "Never":
        return None
    for status in pod.status.containerStatuses:
        if status.name == contract.TASK_CONTAINER and status.state.terminated is not None:
            return status.state.terminated.exitCode
    return None


def _work(pod: Pod) -> list[ContainerStatus]:
    """The containers whose end is the pod's: that named `task`, all where there is none."""
    named = [status for status in pod.status.containerStatuses if status.name == contract.TASK_CONTAINER]
    return named or pod.status.containerStatuses


def _has_run(status: ContainerStatus, meta: Meta) -> bool:
    if status.state.running is not None or status.lastState.running is not None:
        return True
    for state in (status.state, status.lastState):
        ended = state.terminated
        if ended is not None and (ended.exitCode == 0 or ended.reason == _UNKNOWN_END):
            return True
        if ended is not None and moment.read(ended.startedAt, not_before=meta.creationTimestamp) is not None:
            return True
    return False


def _start_of(status: ContainerStatus, meta: Meta) -> float | None:
    for state in (status.state, status.lastState):
        begun = state.running or state.terminated
        if begun is not None:
            return moment.read(begun.startedAt, not_before=meta.creationTimestamp)
    return None


def _end_of(status: ContainerStatus) -> float | None:
    ended = status.state.terminated or status.lastState.terminated
    return None if ended is None else moment.read(ended.finishedAt)


def _ended_by_deletion(pod: Pod) -> bool:
    """Whether somebody deleted the pod before its container ended: then its exit code is that of a signal.

    A pod's `deletionTimestamp` is the moment of the request plus the grace period, in whole seconds.
    """
    meta = pod.metadata
    if meta.deletionTimestamp is None:
        return False
    end = run_of(pod).end
    asked = (moment.read(meta.deletionTimestamp) or 0.0) - meta.deletionGracePeriodSeconds
    return end is None or end >= asked - CLOCK_SECONDS
