"""Records of finished pods that we bound and that are no Task's: of Jobs, workflows, or nobody's."""

import msgspec

from cloudai_kube import duration, quantity, records, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod, Terminated
from cloudai_rts import contract, nodeclass
from cloudai_rts.history import Record
from cloudai_rts.task import clip_type, infer_type


def record_of(pod: Pod) -> Record | None:
    """The record of a finished pod; None if it never ran, was not placed by us, or cannot be read."""
    meta, notes = pod.metadata, pod.metadata.annotations
    decision = records.decision_of(_json(notes.get(contract.ANNOTATION_DECISION, "")))
    ended = [one.state.terminated for one in pod.status.containerStatuses if one.state.terminated is not None]
    if decision is None or not ended:
        return None
    try:
        amounts = _requests(pod)
        gpu_resource = min(filter(nodeclass.is_gpu_resource, amounts), default="")
        start, finish = _span(ended)
        created = timestamp.parse(meta.creationTimestamp)
        arrival = timestamp.parse_optional(notes.get(contract.ANNOTATION_ARRIVAL)) or created
        cpu, memory = amounts.get("cpu", 0) / 1000, float(amounts.get("memory", 0))
        gpu = float(amounts.get(gpu_resource, 0))
        named = notes.get(contract.ANNOTATION_TASK_TYPE) or meta.labels.get(contract.LABEL_TASK_TYPE, "")
        return Record(
            pod_uid=meta.uid,
            task_uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            type=clip_type(named) or infer_type(cpu, memory, gpu),
            node=pod.spec.nodeName,
            node_class=records.plain_class(decision.nodeClass, gpu_resource),
            arrival=arrival,
            start=start,
            finish=finish,
            outcome=pod.status.phase,
            cpu=cpu,
            memory=memory,
            gpu=gpu,
            gpu_resource=gpu_resource,
            user=meta.namespace,
            deadline=_deadline(notes, arrival),
            load=decision.load,
            predicted=decision.predictedRuntimeSeconds,
            late_probability=decision.lateProbability,
            parameters_version=decision.parametersVersion,
            policy=decision.policy,
            available=decision.available,
        )
    except FormatError:
        return None


def _requests(pod: Pod) -> dict[str, int]:
    """What all containers ask for together; limits count where no request stands."""
    total: dict[str, int] = {}
    for container in pod.spec.containers:
        for name, value in {**container.resources.limits, **container.resources.requests}.items():
            total[name] = total.get(name, 0) + quantity.resource(name, str(value))
    return total


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


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text) if text else None
    except (msgspec.DecodeError, RecursionError):
        return None
