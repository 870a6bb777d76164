"""History records from what the cluster still shows: the attempts in a Task's status."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloudai_kube import duration, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod
from cloudai_kube.task import Attempt, Task, TaskStatus, requests
from cloudai_rts import contract
from cloudai_rts.contract import CPU, MEMORY, STORAGE
from cloudai_rts.history import RUNNING, Available, Record, RunnerUp, identity_key
from cloudai_rts.nodeclass import gpu_resource_of


class Decision(msgspec.Struct):
    """The part of the decision annotation that is learned from."""

    policy: str = ""
    fallbackReason: str | None = None
    model: str = ""
    risk: float | None = None
    runnerUp: RunnerUp | None = None
    parametersVersion: Annotated[int, Meta(ge=0, le=2**53)] = 0
    nodeClass: str = ""
    allowedClasses: tuple[str, ...] = ()
    predictedRuntimeSeconds: float | None = None
    lateProbability: float | None = None
    load: float = 0.0
    available: Available = Available()


def with_decision(record: Record, decision: Decision) -> Record:
    """The record of a run with what the scheduler knew when it placed the pod."""
    return msgspec.structs.replace(
        record,
        node_class=plain_class(decision.nodeClass, record.gpu_resource),
        load=decision.load,
        predicted=decision.predictedRuntimeSeconds,
        late_probability=decision.lateProbability,
        parameters_version=decision.parametersVersion,
        policy=decision.policy,
        model=decision.model,
        fallback_reason=decision.fallbackReason,
        risk=decision.risk,
        runner_up=decision.runnerUp,
        available=decision.available,
        allowed_classes=decision.allowedClasses,
    )


def identity_of(task: Task) -> str:
    """Which tasks do the same as this one."""
    spec = task.spec
    user = contract.tenant(task.metadata.namespace, spec.user)
    return identity_key(spec.image, spec.command, spec.args, float(spec.gpus), user)


def declared_of(task: Task) -> float | None:
    """The user's own estimate, seconds."""
    text = task.spec.sla.expectedRuntime
    try:
        return duration.parse(text) if text else None
    except FormatError:
        return None


def _allowed(status: TaskStatus) -> float | None:
    """The time that the user allowed at first; one who moved his deadline had seen how the task went."""
    if status.originalDeadline not in {"", status.deadline}:
        return None
    deadline = timestamp.parse_optional(status.deadline)
    return contract.time_allowed(timestamp.parse(status.arrivalTime), deadline, status.deadlineSource)


def of_attempt(task: Task, attempt: Attempt, now: float | None = None) -> Record | None:
    """The record of an attempt that was placed and ended, None if it was not or cannot be read.

    One that a kubelet refused has no run time. With `now` (seconds since the epoch) one that still runs has a record
    too, as far as it has come.
    """
    decision = decision_of(attempt.decision)
    if decision is None or not (attempt.outcome or (attempt.startTime and now is not None)):
        return None
    meta, spec, status = task.metadata, task.spec, task.status
    try:
        amounts = requests(task)
        gpu_resource = spec.gpuResourceName if amounts.get(spec.gpuResourceName) else gpu_resource_of(amounts)
        record = Record(
            pod_uid=attempt.podUID,
            task_uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            type=status.type,
            node=attempt.node,
            node_class="",
            arrival=timestamp.parse(status.arrivalTime),
            start=timestamp.parse(attempt.startTime or attempt.completionTime),
            finish=timestamp.parse(attempt.completionTime) if attempt.outcome else now or 0.0,
            outcome=attempt.outcome or RUNNING,
            cpu=amounts.get(CPU, 0) / 1000,
            memory=float(amounts.get(MEMORY, 0)),
            gpu=float(amounts.get(gpu_resource, 0)),
            gpu_resource=gpu_resource,
            storage=float(amounts.get(STORAGE, 0)),
            user=contract.tenant(meta.namespace, spec.user),
            identity=identity_of(task),
            attempt=attempt.number,
            deadline=timestamp.parse_optional(status.deadline),
            deadline_source=status.deadlineSource,
            reference_runtime=status.referenceRuntimeSeconds,
            log_sd=status.runtimeLogSd,
            declared=declared_of(task),
            allowed=_allowed(status),
        )
    except FormatError:
        return None
    return with_decision(record, decision)


def decision_of(raw: Any) -> Decision | None:  # noqa: ANN401  JSON
    """What can be learned from a decision; None if a stranger wrote something else there."""
    try:
        return msgspec.convert(raw, Decision) if raw else None
    except (msgspec.ValidationError, RecursionError):
        return None


def raw_decision(pod: Pod) -> dict[str, Any]:
    """The scheduler's decision on a pod; empty if there is none or it cannot be read."""
    text = pod.metadata.annotations.get(contract.ANNOTATION_DECISION)
    if not text:
        return {}
    try:
        decision = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return decision if isinstance(decision, dict) else {}


def plain_class(decided: str, gpu_resource: str) -> str:
    """Name the node's own class: the decision names it together with the slice that was asked for."""
    suffix = f"/{gpu_resource.rpartition('/')[2]}"
    is_slice = gpu_resource not in {"", contract.DEFAULT_GPU_RESOURCE}
    return decided.removesuffix(suffix) if is_slice else decided
