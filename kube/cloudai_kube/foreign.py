"""Records of pods that we bound and that are no Task's: of Jobs, workflows, or nobody's."""

from dataclasses import replace

import msgspec

from cloudai_kube import demand, moment, outcome, promise, records
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod
from cloudai_kube.promise import Arrivals
from cloudai_rts import contract
from cloudai_rts.contract import CPU, MEMORY, STORAGE
from cloudai_rts.history import RUNNING, Record
from cloudai_rts.nodeclass import RULES, ClassRules


def record_of(
    pod: Pod, arrivals: Arrivals, sla_multiplier: float, now: float | None = None, rules: ClassRules = RULES
) -> Record | None:
    """The record of a pod that has ended; None if it was not placed by us, or cannot be read.

    One that a kubelet refused has no run time. With `now` (seconds since the epoch) one that still runs has a record
    too, as far as it has come. What it promised is read as the scheduler reads it.
    """
    meta, ended = pod.metadata, outcome.of(pod)
    decision = records.decision_of(records.raw_decision(pod))
    is_bound_by_its_scheduler = meta.labels.get(contract.LABEL_BOUND_BY) == pod.spec.schedulerName
    if decision is None or not is_bound_by_its_scheduler or not (ended or now is not None):
        return None
    said = _as_decided(promise.read(pod, arrivals, sla_multiplier), decision)
    try:
        amounts = demand.requests_of(pod)
        gpu_resource = rules.accelerator_of(amounts, meta.annotations.get(contract.ANNOTATION_GPU_RESOURCE, ""))
        start, finish = _span(pod, now if not ended else None)
        # The promise counts from its controller's first pod; the pod itself came when it was created.
        arrival = moment.read(meta.creationTimestamp) or start
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


def _as_decided(said: promise.Promise, decision: records.Decision) -> promise.Promise:
    """The promise as the scheduler read it when it placed the pod: nobody works it out again, or another way."""
    arrival = moment.read(decision.arrival)
    if arrival is None:  # decided by a version that did not say it
        return said
    return replace(
        said, arrival=arrival, deadline=moment.read(decision.deadline), deadline_source=decision.deadlineSource
    )


def record_of_deleted(pod: Pod, arrivals: Arrivals, sla_multiplier: float, rules: ClassRules = RULES) -> Record | None:
    """The record of a pod that was deleted while it ran; None if it did not, or nobody knows when that was.

    It ended when that was asked for, at the earliest: the time stamp is that moment plus the grace period.
    """
    meta = pod.metadata
    at = moment.read(meta.deletionTimestamp)
    if at is None or pod.status.phase != RUNNING:
        return None
    record = record_of(pod, arrivals, sla_multiplier, at - meta.deletionGracePeriodSeconds, rules)
    return None if record is None else msgspec.structs.replace(record, outcome=outcome.DELETED)


def _span(pod: Pod, now: float | None) -> tuple[float, float]:
    """From the first container's start to the last one's end; no time for a pod that never ran. Raises `FormatError`.

    With `now` it still runs. Of a pod whose node was lost nobody saw the end: it is when the cluster gave it up.
    """
    meta, run = pod.metadata, outcome.run_of(pod)
    known = (run.start, moment.read(pod.status.startTime), moment.read(meta.creationTimestamp))
    start = next((at for at in known if at is not None), None)
    if start is None:
        raise FormatError(f"{meta.namespace}/{meta.name}: its start is unknown")
    if now is not None:
        return start, max(start, now)
    if run.start is None and not outcome.has_run(pod):
        return start, start
    end = run.end if run.end is not None else _given_up(pod)
    if end is None:
        raise FormatError(f"{meta.namespace}/{meta.name}: its end is unknown")
    return start, max(start, end)


def _given_up(pod: Pod) -> float | None:
    """When the cluster said that it disrupts the pod, or somebody deleted it."""
    said = (c.lastTransitionTime for c in pod.status.conditions if c.type == "DisruptionTarget")
    return moment.read(next(said, None) or pod.metadata.deletionTimestamp)
