"""Records of pods that we bound and that are no Task's: of Jobs, workflows, or nobody's."""

from cloudai_kube import demand, outcome, promise, records, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod
from cloudai_kube.promise import Arrivals
from cloudai_rts import nodeclass
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
        arrival=min(said.arrival, start),
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
        declared=said.expected,
    )
    return records.with_decision(record, decision)


def _span(pod: Pod, now: float | None) -> tuple[float, float]:
    """From the first container's start to the last one's end; for a refused pod, no time. Raises `FormatError`."""
    states = [one.state for one in pod.status.containerStatuses]
    ended = [one.terminated for one in states if one.terminated is not None]
    running = [one.running for one in states if one.running is not None]
    starts = [one.startedAt or "" for one in ended] + [one.startedAt or "" for one in running]
    if now is not None:
        return min(timestamp.parse(one) for one in starts or [""]), now
    if not ended:
        refused = timestamp.parse(pod.status.startTime or pod.metadata.creationTimestamp or "")
        return refused, refused
    return min(timestamp.parse(one) for one in starts), max(timestamp.parse(one.finishedAt or "") for one in ended)
