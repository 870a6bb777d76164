"""The Task object: what the user wrote and what we say about it, in the API's own spelling."""

from typing import Any

import msgspec

from cloudai_kube import quantity
from cloudai_kube.objects import Condition, Meta, Quantities

Json = dict[str, Any]


class Sla(msgspec.Struct, omit_defaults=True):
    """By when it must be finished."""

    finishBy: str | None = None
    finishWithin: str | None = None
    multiplier: str | int | float | None = None
    expectedRuntime: str | None = None


class TaskResources(msgspec.Struct, omit_defaults=True):
    """As in a Container."""

    requests: Quantities = {}
    limits: Quantities = {}


class TaskSpec(msgspec.Struct, omit_defaults=True):
    """What the user wants. Parts that only travel to the pod stay as they came; the schema has checked them."""

    image: str
    type: str = ""
    command: list[str] = []
    args: list[str] = []
    workingDir: str = ""
    env: list[Json] = []
    resources: TaskResources = msgspec.field(default_factory=TaskResources)
    gpus: int = 0
    gpuResourceName: str = "nvidia.com/gpu"
    volumes: list[Json] = []
    volumeMounts: list[Json] = []
    imagePullSecrets: list[Json] = []
    terminationGracePeriodSeconds: int | None = None
    securityContext: dict[str, int] = {}
    podLabels: dict[str, str] = {}
    podAnnotations: dict[str, str] = {}
    sla: Sla = msgspec.field(default_factory=Sla)
    targetNode: str = ""
    nodeSelector: dict[str, str] = {}
    tolerations: list[Json] = []
    affinity: Json = {}
    topologySpreadConstraints: list[Json] = []
    priorityClassName: str = ""
    replicas: int = 1
    backoffLimit: int = 6
    activeDeadlineSeconds: int | None = None
    ttlSecondsAfterFinished: int | None = None
    suspend: bool = False
    user: str = ""


class Attempt(msgspec.Struct, omit_defaults=True):
    """One pod of the Task. `outcome` is empty while it lives; `recorded` once history has it.

    `stuckSince` is from when on it could not start; `startFailed` whether its container never could.
    """

    podUID: str
    number: int = 0
    node: str = ""
    decision: Json = {}
    startTime: str = ""
    completionTime: str = ""
    outcome: str = ""
    message: str = ""
    recorded: bool = False
    stuckSince: str = ""
    startFailed: bool = False


class TaskStatus(msgspec.Struct, omit_defaults=True):
    """What became of it. Times are RFC 3339."""

    observedGeneration: int = 0
    state: str = ""
    conditions: list[Condition] = []
    type: str = ""
    arrivalTime: str = ""
    referenceRuntimeSeconds: float = 0.0
    runtimeLogSd: float = 0.0
    deadline: str = ""
    originalDeadline: str = ""
    deadlineSource: str = ""
    predictedCompletionTime: str = ""
    latePercent: int | None = None
    parametersVersion: int | None = None
    startTime: str = ""
    completionTime: str = ""
    runtimeSeconds: float | None = None
    activeSeconds: float = 0.0
    activeSince: str = ""
    nodes: list[str] = []
    podName: str = ""
    attemptCount: int = 0
    retryTime: str = ""
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    rejected: int = 0
    disrupted: int = 0
    refusals: int = 0
    attempts: list[Attempt] = []

    def condition(self, kind: str) -> Condition | None:
        """The condition of a type, None if it was never set."""
        return next((condition for condition in self.conditions if condition.type == kind), None)

    def is_true(self, kind: str) -> bool:
        """Whether a condition is True."""
        condition = self.condition(kind)
        return condition is not None and condition.status == "True"

    def finished(self) -> bool:
        """Whether the Task has ended, one way or the other."""
        return self.is_true("Complete") or self.is_true("Failed")


class Task(msgspec.Struct, omit_defaults=True):
    """One Task."""

    metadata: Meta
    spec: TaskSpec
    status: TaskStatus = msgspec.field(default_factory=TaskStatus)


def requests(task: Task) -> dict[str, int]:
    """Requests in millicores, bytes and devices: limits count where no request stands, and `gpus` is added.

    Raises `FormatError` that names the value.
    """
    amounts = {**task.spec.resources.limits, **task.spec.resources.requests}
    known = {name: quantity.resource(name, str(value)) for name, value in amounts.items()}
    if task.spec.gpus:
        known[task.spec.gpuResourceName] = task.spec.gpus
    return known


def status_patch(old: TaskStatus, new: TaskStatus) -> Json:
    """Return the merge patch from one status to the other; empty if they are equal."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    patch: Json = {key: value for key, value in after.items() if before.get(key) != value}
    patch.update({key: None for key in before if key not in after})
    return patch
