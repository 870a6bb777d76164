"""Names that the processes share: API group, labels, annotations, reasons, object names.

They stand here once because a label that the operator writes and the scheduler reads is an interface: spelled in
two places it would break silently.
"""

import hashlib
from typing import Final

GROUP: Final = "cloudai.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "Task"
PLURAL: Final = "tasks"

SCHEDULER_NAME: Final = "cloudai-scheduler"
OPERATOR_NAME: Final = "cloudai-operator"
OPTIMIZER_NAME: Final = "cloudai-optimizer"
NAMESPACE: Final = "cloudai-system"
NAME_PATTERN: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""Of a scheduler's name: it is the name of its Lease and the value of a label too."""

LABEL_TASK: Final = "cloudai.dev/task"
LABEL_TASK_TYPE: Final = "cloudai.dev/task-type"
LABEL_ATTEMPT: Final = "cloudai.dev/attempt"
LABEL_BOUND_BY: Final = "cloudai.dev/bound-by"

ANNOTATION_ARRIVAL: Final = "cloudai.dev/arrival"
ANNOTATION_DEADLINE: Final = "cloudai.dev/deadline"
ANNOTATION_DEADLINE_SOURCE: Final = "cloudai.dev/deadline-source"
ANNOTATION_REFERENCE_RUNTIME: Final = "cloudai.dev/reference-runtime-seconds"
ANNOTATION_RUNTIME_LOG_SD: Final = "cloudai.dev/runtime-log-sd"
ANNOTATION_TASK_TYPE: Final = "cloudai.dev/task-type"
ANNOTATION_FINISH_BY: Final = "cloudai.dev/finish-by"
ANNOTATION_FINISH_WITHIN: Final = "cloudai.dev/finish-within"
ANNOTATION_EXPECTED_RUNTIME: Final = "cloudai.dev/expected-runtime"
ANNOTATION_DECISION: Final = "cloudai.dev/decision"
ANNOTATION_GPU_RESOURCE: Final = "cloudai.dev/gpu-resource"
"""The resource that a Task calls its GPU, where no list knows it."""
ANNOTATION_AVOIDED_NODES: Final = "cloudai.dev/avoided-nodes"
ANNOTATION_CHECKPOINTED_AT: Final = f"{GROUP}/checkpointed-at"
"""Nodes that refused earlier attempts, comma-separated: the scheduler takes another one where any can take the pod."""

TASK_CONTAINER: Final = "task"
"""Name of the container that does a Task's work; whatever else runs in its pod was injected."""
MAX_ATTEMPT_DIGITS: Final = 9

PARAMETERS_CONFIG_MAP: Final = "cloudai-parameters"
PARAMETERS_KEY: Final = "ga_output.json"
CANDIDATE_KEY: Final = "candidate.json"
PREVIOUS_KEY: Final = "previous.json"
REACH_KEYS: Final = (("lowest.json", "highest.json"), ("lowest-before.json", "highest-before.json"))
"""The least and the greatest that each value was: since a day at most, and on the day before that."""
RULES_CONFIG_MAP: Final = "cloudai-rules"
RULES_KEY: Final = "rules.json"
ANNOTATION_FROZEN: Final = "cloudai.dev/frozen"
ANNOTATION_LAST_EPOCH: Final = "cloudai.dev/last-epoch"
"""On the ConfigMap of the parameters: when an epoch ran last and how it ended, also one that changed nothing."""

CPU: Final = "cpu"
MEMORY: Final = "memory"
STORAGE: Final = "ephemeral-storage"
PODS: Final = "pods"
DEFAULT_GPU_RESOURCE: Final = "nvidia.com/gpu"
LABEL_GPU_PRODUCT: Final = "nvidia.com/gpu.product"
LABEL_GPU_SHARING: Final = "nvidia.com/gpu.sharing-strategy"
LABEL_GPU_REPLICAS: Final = "nvidia.com/gpu.replicas"
LABEL_INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
LABEL_HOSTNAME: Final = "kubernetes.io/hostname"
LABEL_OS: Final = "kubernetes.io/os"
LABEL_ARCHITECTURE: Final = "kubernetes.io/arch"

FINISH_BY: Final = "FinishBy"
FINISH_WITHIN: Final = "FinishWithin"
BY_DECLARATION: Final = "Expected"
BY_LEARNING: Final = "Learned"
BY_DEFAULT: Final = "Default"
DEADLINE_SOURCES: Final = frozenset({FINISH_BY, FINISH_WITHIN, BY_DECLARATION, BY_LEARNING, BY_DEFAULT})
"""Where a deadline comes from: the user's own word, or a multiple of a run time."""

MONGODB_DATABASE: Final = "cloudai"
TASK_HISTORY: Final = "TASK_HISTORY"
TASKS: Final = "TASKS"
ASSIGNMENTS: Final = "ASSIGNMENTS"
RESULTS: Final = "RESULTS"
WORKER_REGISTRY: Final = "WORKER_REGISTRY"
WORKER_STATS: Final = "WORKER_STATS"
RETENTION_SECONDS: Final = 30 * 86_400.0
"""How long MongoDB keeps runs and samples."""

DECISION_MAX_BYTES: Final = 2048
MAX_SPEC_BYTES: Final = 128 << 10
"""Of a Task's spec as JSON."""
RESERVED_PRIORITY_PREFIX: Final = "system-"
"""Priority classes of the cluster's own pods."""
MAX_SECONDS: Final = 365 * 86_400.0
"""Longer run times, and longer times allowed, are taken for a slip."""


def tenant(namespace: str, user: str) -> str:
    """The one that declares and repeats work. `user` is free text: only with the namespace it names nobody else."""
    return f"{namespace}/{user}" if user else namespace


def time_allowed(arrival: float, deadline: float | None, source: str) -> float | None:
    """Seconds from arrival to a deadline of the user's own; None without one, or where nobody can have meant it."""
    if deadline is None or source not in {FINISH_BY, FINISH_WITHIN} or not 0.0 < deadline - arrival <= MAX_SECONDS:
        return None
    return deadline - arrival


def pod_name(task: str, task_uid: str, attempt: int) -> str:
    """Name of the pod of a Task's attempt."""
    return f"{task}-{hashlib.sha256(task_uid.encode()).hexdigest()[:5]}-{attempt}"


def attempt_of(task: str, task_uid: str, pod: str) -> int:
    """Which attempt of a Task a pod's name proves it to be, 0 if it is none: a label can be forged, a name cannot."""
    prefix = pod_name(task, task_uid, 0).removesuffix("0")
    number = pod.removeprefix(prefix)
    is_number = number.isascii() and number.isdigit() and len(number) <= MAX_ATTEMPT_DIGITS and number[0] != "0"
    return int(number) if pod.startswith(prefix) and is_number else 0
