"""Records of pods that we bound and that are no Task's: of Jobs, workflows, or nobody's."""

import msgspec

from cloudai_kube import demand, outcome, promise, records, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod
from cloudai_kube.promise import Arrivals
from cloudai_rts import contract, nodeclass
from cloudai_rts.contract import CPU, MEMORY, STORAGE
from cloudai_rts.history import RUNNING, Record


def record_of(pod: Pod, arrivals: Arrivals, sla_multiplier: float, now: float | None = None) -> Record | None:
    """The record of a pod that has ended; None if it was not placed by us, or cannot be read.

    One that a kubelet refused has no run time. With `now` (seconds since the epoch) one that still runs has a record
    too, as far as it has come. What it promised is read as the scheduler reads it.
    """
    meta, ended = pod.metadata, outcome.of(pod)
    decision = records.decision_of(records.raw_decision(pod))
    if decision is None or not (ended or now is not None):
        return None
    said = promise.read(pod, arrivals, sla_multiplier)
    try:
        amounts = demand.requests_of(pod)
        gpu_resource = nodeclass.gpu_resource_of(amounts)
        start, finish = _span(pod, now if not ended else None)
        # The promise counts from its controller's first pod; the pod itself came when it was created.
        arrival = said.arrival
        if contract.ANNOTATION_ARRIVAL not in meta.annotations:
            arrival = timestamp.parse_optional(meta.creationTimestamp) or start
    except FormatError:
        return None
    cpu, memory = amounts.get(CPU, 0) / 1000, float(amounts.get(MEMORY, 0))
    gpu = float(amounts.get(gpu_resource, 0))
    record = Record(
        pod_uid=meta.uid,
        task_uid=meta.uid,
        namespace=meta.namespace,
        name=meta.name,
        type=promise.type_of(pod, cpu, memory, gpu),
        node=pod.spec.nodeName,
        node_class="",
        arrival=min(start, arrival),
        start=start,
        finish=finish,
        outcome=ended or RUNNING,
        cpu=cpu,
        memory=memory,
        gpu=gpu,
        gpu_resource=gpu_resource,
        storage=float(amounts.get(STORAGE, 0)),
        user=meta.namespace,
        deadline=said.deadline,
        deadline_source=said.deadline_source,
        declared=said.expected,
        allowed=contract.time_allowed(said.arrival, said.deadline, said.deadline_source),
    )
    return records.with_decision(record, decision)


def record_of_deleted(pod: Pod, arrivals: Arrivals, sla_multiplier: float) -> Record | None:
    """The record of a pod that was deleted while it ran; None if it did not, or nobody knows when that was.

    It ended when that was asked for, at the earliest: the time stamp is that moment plus the grace period.
    """
    meta = pod.metadata
    at = timestamp.parse_optional(meta.deletionTimestamp)
    if at is None or pod.status.phase != RUNNING:
        return None
    record = record_of(pod, arrivals, sla_multiplier, at - meta.deletionGracePeriodSeconds)
    return None if record is None else msgspec.structs.replace(record, outcome=outcome.DELETED)


def _span(pod: Pod, now: float | None) -> tuple[float, float]:
    """From the first container's start to the last one's end; for a refused pod, no time. Raises `FormatError`.

    With `now` it still runs. Of a pod whose node was lost nobody saw the end: it is when the cluster gave it up.
    """
    states = [one.state for one in pod.status.containerStatuses]
    ended = [one.terminated for one in states if one.terminated is not None]
    running = [one.running for one in states if one.running is not None]
    starts = _known([*(one.startedAt for one in ended), *(one.startedAt for one in running)])
    start = min(starts) if starts else timestamp.parse(pod.status.startTime or pod.metadata.creationTimestamp or "")
    if now is not None:
        return start, max(start, now)
    if not ended and not running:
        return start, start
    ends = _known([*(one.finishedAt for one in ended)])
    if running or not ends:
        ends += _known([_given_up(pod)])
    if not ends:
        raise FormatError(f"nobody knows when {pod.metadata.namespace}/{pod.metadata.name} ended")
    return start, max(start, *ends)


def _known(times: list[str | None]) -> list[float]:
    return [seconds for text in times if (seconds := timestamp.parse_optional(text)) is not None]


def _given_up(pod: Pod) -> str | None:
    """When the cluster said that it disrupts the pod, or somebody deleted it."""
    said = [one.lastTransitionTime for one in pod.status.conditions if one.type == "DisruptionTarget"]
    return next(iter(said), None) or pod.metadata.deletionTimestamp
