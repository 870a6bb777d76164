"""Records of finished pods that we bound and that are no Task's: of Jobs, workflows, or nobody's."""

from cloudai_kube import demand, duration, records, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod, Terminated
from cloudai_operator import attempts
from cloudai_rts import contract, nodeclass
from cloudai_rts.contract import CPU, MEMORY, STORAGE
from cloudai_rts.history import Record
from cloudai_rts.task import clip_type, infer_type


def record_of(pod: Pod) -> Record | None:
    """The record of a finished pod; None if it never ran, was not placed by us, or cannot be read."""
    meta, notes = pod.metadata, pod.metadata.annotations
    decision = records.decision_of(attempts.decision_of(pod))
    ended = [one.state.terminated for one in pod.status.containerStatuses if one.state.terminated is not None]
    if decision is None or not ended:
        return None
    try:
        amounts = demand.requests_of(pod)
        gpu_resource = nodeclass.gpu_resource_of(amounts)
        start, finish = _span(ended)
        created = timestamp.parse(meta.creationTimestamp)
        arrival = timestamp.parse_optional(notes.get(contract.ANNOTATION_ARRIVAL)) or created
        cpu, memory = amounts.get(CPU, 0) / 1000, float(amounts.get(MEMORY, 0))
        gpu = float(amounts.get(gpu_resource, 0))
        named = notes.get(contract.ANNOTATION_TASK_TYPE) or meta.labels.get(contract.LABEL_TASK_TYPE, "")
        record = Record(
            pod_uid=meta.uid,
            task_uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            type=clip_type(named) or infer_type(cpu, memory, gpu),
            node=pod.spec.nodeName,
            node_class="",
            arrival=arrival,
            start=start,
            finish=finish,
            outcome=pod.status.phase,
            cpu=cpu,
            memory=memory,
            gpu=gpu,
            gpu_resource=gpu_resource,
            storage=float(amounts.get(STORAGE, 0)),
            user=meta.namespace,
            deadline=_deadline(notes, arrival),
        )
    except FormatError:
        return None
    return records.with_decision(record, decision)


def _span(ended: list[Terminated]) -> tuple[float, float]:
    """From the first container's start to the last one's end."""
    starts = [timestamp.parse(one.startedAt or "") for one in ended]
    finishes = [timestamp.parse(one.finishedAt or "") for one in ended]
    return min(starts), max(finishes)


def _deadline(notes: dict[str, str], arrival: float) -> float | None:
    by = notes.get(contract.ANNOTATION_DEADLINE) or notes.get(contract.ANNOTATION_FINISH_BY)
    if by:
        return timestamp.parse(by)
    within = notes.get(contract.ANNOTATION_FINISH_WITHIN)
    return arrival + duration.parse(within) if within else None
