"""History records from what the cluster still shows: the attempts in a Task's status."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloudai_kube import duration, moment, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod
from cloudai_kube.task import Attempt, Task, TaskStatus, requests
from cloudai_rts import contract
from cloudai_rts.contract import CPU, MAX_SECONDS, MEMORY, STORAGE
from cloudai_rts.history import MAX_LOAD, RUNNING, Available, Record, RunnerUp, identity_key
from cloudai_rts.nodeclass import RULES, ClassRules

_Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Name = Annotated[str, Meta(max_length=253)]


class Decision(msgspec.Struct, omit_defaults=True):
    """The decision annotation: what the scheduler knew when it placed the pod (contract: docs/contracts.md)."""

    policy: _Name = ""
    fallbackReason: Annotated[str, Meta(max_length=400)] | None = None
    model: _Name = ""
    decidedAt: _Name = ""
    risk: float | None = None
    runnerUp: RunnerUp | None = None
    parametersVersion: Annotated[int, Meta(ge=0, le=2**53)] = 0
    nodeClass: _Name = ""
    allowedClasses: Annotated[tuple[_Name, ...], Meta(max_length=64)] = ()
    predictedRuntimeSeconds: _Seconds | None = None
    predictedCompletionTime: _Name | None = None
    lateProbability: _Share | None = None
    load: Annotated[float, Meta(ge=0, le=MAX_LOAD)] = 0.0
    loadWith: Annotated[float, Meta(ge=0, le=MAX_LOAD)] | None = None
    available: Available = Available()
    arrival: _Name = ""
    deadline: _Name | None = None
    deadlineSource: _Name = ""
    referenceRuntimeSeconds: _Seconds | None = None
    runtimeLogSd: Annotated[float, Meta(ge=0, le=10)] | None = None


def with_decision(record: Record, decision: Decision) -> Record:
    """The record of a run with what the scheduler knew when it placed the pod."""
    return msgspec.structs.replace(
        record,
        node_class=plain_class(decision.nodeClass, record.gpu_resource),
        load=decision.load,
        load_with=decision.loadWith,
        reference_runtime=decision.referenceRuntimeSeconds or record.reference_runtime,
        log_sd=decision.runtimeLogSd or record.log_sd,
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
    """The time that the user allowed at first; a user who moved the deadline had seen how the task went."""
    if status.originalDeadline not in {"", status.deadline}:
        return None
    deadline = timestamp.parse_optional(status.deadline)
    return contract.time_allowed(timestamp.parse(status.arrivalTime), deadline, status.deadlineSource)


def of_attempt(task: Task, attempt: Attempt, now: float | None = None, rules: ClassRules = RULES) -> Record | None:
    """The record of an attempt that was placed and ended, None if it was not or cannot be read.

    One that a kubelet refused has no run time. With `now` (seconds since the epoch) one that still runs has a record
    too, as far as it has come.
    """
    decision = decision_of(attempt.decision)
    if decision is None or not (attempt.outcome or (attempt.startTime and now is not None)):
        return None
    meta, spec, status = task.metadata, task.spec, task.status
    finish = moment.read(attempt.completionTime) if attempt.outcome else now
    if finish is None:
        return None
    start = moment.read(attempt.startTime)
    try:
        amounts = requests(task)
        gpu_resource = rules.accelerator_of(amounts, spec.gpuResourceName)
        record = Record(
            pod_uid=attempt.podUID,
            task_uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            type=status.type,
            node=attempt.node,
            node_class="",
            arrival=timestamp.parse(status.arrivalTime),
            start=finish if start is None else min(start, finish),
            finish=finish,
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
    """The scheduler's decision on a pod; empty if there is none, or if it is not what the scheduler writes.

    The annotation is the pod owner's to change: only what has the contract's form and bounds gets any further.
    """
    text = pod.metadata.annotations.get(contract.ANNOTATION_DECISION)
    if not text or len(text) > contract.DECISION_MAX_BYTES:
        return {}
    try:
        decision = msgspec.json.decode(text, type=Decision)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return {}
    written: dict[str, Any] = msgspec.to_builtins(decision)
    return written


def plain_class(decided: str, gpu_resource: str) -> str:
    """Name the node's own class: the decision names it together with the slice that was asked for."""
    suffix = f"/{gpu_resource.rpartition('/')[2]}"
    is_slice = gpu_resource not in {"", contract.DEFAULT_GPU_RESOURCE}
    return decided.removesuffix(suffix) if is_slice else decided
