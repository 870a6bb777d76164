"""Accepting a Task: what is frozen at first sight, so that nobody moves the goal posts later."""

from dataclasses import dataclass

import msgspec

from cloudai_kube import duration, records, timestamp
from cloudai_kube.task import Task, requests
from cloudai_rts import contract, prediction
from cloudai_rts.parameters import Document
from cloudai_rts.prediction import Said
from cloudai_rts.task import deadline_of, infer_type
from cloudai_rts.tau import TauStore


@dataclass(frozen=True, slots=True)
class Deadline:
    """By when (seconds since the epoch), and who said so."""

    at: float
    source: str


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms that acceptance freezes: type, run time on the reference class (seconds, log-sd) and deadline."""

    task_type: str
    reference_runtime: float
    log_sd: float
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a Task is not accepted: a reason for machines, a text for people."""

    reason: str
    message: str


def refusal(task: Task, own_namespace: str) -> Refusal | None:
    """What no Task may have, whatever the schema of the cluster's CRD says; None if there is nothing against it."""
    spec = task.spec
    if task.metadata.namespace == own_namespace:
        return Refusal(
            "NamespaceReserved", f"namespace {own_namespace} holds CloudAI's own credentials; use another namespace"
        )
    if spec.priorityClassName.startswith(contract.RESERVED_PRIORITY_PREFIX):
        return Refusal(
            "PriorityClassReserved",
            f"spec.priorityClassName {spec.priorityClassName!r} is reserved for the cluster itself; choose another one",
        )
    size = len(msgspec.json.encode(spec))
    if size > contract.MAX_SPEC_BYTES:
        return Refusal(
            "SpecTooLarge",
            f"spec has {size} bytes, at most {contract.MAX_SPEC_BYTES} are accepted; move data to a ConfigMap",
        )
    return None


def past_deadline(deadline: Deadline, arrival: float) -> Refusal | None:
    """A deadline that had passed when the Task came: nothing is run for it.

    It is no error of admission, because restores and GitOps apply old manifests again.
    """
    if deadline.at > arrival:
        return None
    return Refusal(
        "DeadlineInPast",
        f"its deadline {timestamp.millis(deadline.at)} had passed when it came; set spec.sla.finishBy to a later time",
    )


def type_of(task: Task) -> str:
    """Return the user's own word, or what the requests look like."""
    if task.spec.type:
        return task.spec.type
    amounts = requests(task)
    gpu = amounts.get(task.spec.gpuResourceName, 0)
    return infer_type(amounts.get("cpu", 0) / 1000, amounts.get("memory", 0), gpu)


def terms(task: Task, arrival: float, tau: TauStore, document: Document, sla_multiplier: float) -> Terms:
    """Everything that acceptance freezes. `arrival` in seconds since the epoch."""
    task_type = type_of(task)
    known = tau.get(task_type)
    deadline = deadline_for(task, arrival, known, tau.has_learned(task_type), sla_multiplier)
    said = Said(
        user=contract.tenant(task.metadata.namespace, task.spec.user),
        declared=records.declared_of(task),
        allowed=contract.time_allowed(arrival, deadline.at, deadline.source),
        identity=records.identity_of(task),
    )
    estimate = prediction.estimate(task_type, known, said, document.Runtime, tau.has_learned(task_type))
    return Terms(task_type, estimate.seconds, estimate.log_sd, deadline)


def deadline_for(task: Task, arrival: float, tau: float, learned: bool, sla_multiplier: float) -> Deadline:
    """D_i: the user's own word first; else multiplier x the declared, else x the type's run time (EDD 3.4)."""
    sla = task.spec.sla
    if sla.finishBy:
        return Deadline(timestamp.parse(sla.finishBy), contract.FINISH_BY)
    if sla.finishWithin:
        return Deadline(arrival + duration.parse(sla.finishWithin), contract.FINISH_WITHIN)
    multiplier = sla_multiplier if sla.multiplier is None else float(sla.multiplier)
    if sla.expectedRuntime:
        return Deadline(deadline_of(arrival, multiplier, duration.parse(sla.expectedRuntime)), contract.BY_DECLARATION)
    return Deadline(deadline_of(arrival, multiplier, tau), contract.BY_LEARNING if learned else contract.BY_DEFAULT)


def changed_deadline(task: Task, arrival: float) -> Deadline | None:
    """Return the deadline that the spec states now by finishBy or finishWithin, None if it states none."""
    sla = task.spec.sla
    if not (sla.finishBy or sla.finishWithin):
        return None
    return deadline_for(task, arrival, 0.0, learned=False, sla_multiplier=1.0)
