"""The decision annotation: why this node, in at most 2 KiB of JSON that the API server copies from Binding to pod."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from cloudai_kube import timestamp
from cloudai_rts.contract import CPU, DECISION_MAX_BYTES, MEMORY, STORAGE
from cloudai_rts.nodeclass import class_for
from cloudai_rts.placement import Placed
from cloudai_rts.task import Task
from cloudai_scheduler.cluster.state import ClusterState, NodeInfo

MOST_CLASSES: Final = 16
"""A pod that may go to more kinds of nodes than that counts as one that may go to all."""
OPTIONAL: Final = ("allowedClasses", "runnerUp", "fallbackReason", "nodeClass")
"""Parts that may be left out, the largest first."""
_encode = msgspec.json.Encoder().encode


def annotation(
    state: ClusterState,
    task: Task,
    placed: Placed,
    node: NodeInfo,
    version: int,
    now: float,
    allowed_classes: Sequence[str] = (),
) -> str:
    """Write the decision. Call it before the pod is assumed: `available` is what was free before this task.

    `allowed_classes` are those that the pod's selectors and tolerations admit, if they do not admit all.
    """
    fleet, slot = state.fleet, placed.slot
    gpu = int(fleet.available(task.gpu_resource)[slot]) if task.gpu_resource else 0
    runner_up = None
    if placed.runner_up is not None:
        runner_up = {"node": fleet.names[placed.runner_up[0]], "risk": _short(placed.runner_up[1])}
    finish = None if placed.predicted_runtime is None else timestamp.millis(now + placed.predicted_runtime)
    body: dict[str, Any] = {
        "policy": placed.policy,
        "fallbackReason": placed.fallback_reason,
        "model": placed.model,
        "parametersVersion": version,
        "decidedAt": timestamp.millis(now),
        "nodeClass": class_for(node.node_class, task.gpu_resource)[:253],
        "risk": _short(placed.risk),
        "predictedRuntimeSeconds": _short(placed.predicted_runtime),
        "predictedCompletionTime": finish,
        "lateProbability": _short(placed.late_probability),
        "load": _short(placed.load),
        "loadWith": _short(placed.load_with),
        "arrival": timestamp.millis(task.arrival),
        "deadline": None if task.deadline is None else timestamp.millis(task.deadline),
        "deadlineSource": task.deadline_source,
        "referenceRuntimeSeconds": _short(task.reference_runtime),
        "runtimeLogSd": _short(task.log_sd),
        "available": {
            "cpu": int(fleet.available(CPU)[slot]) / 1000,
            "memoryBytes": int(fleet.available(MEMORY)[slot]),
            "gpu": gpu,
            "storageBytes": int(fleet.available(STORAGE)[slot]),
        },
        "runnerUp": runner_up,
    }
    if 0 < len(allowed_classes) <= MOST_CLASSES:
        body["allowedClasses"] = [name[:253] for name in allowed_classes]
    return _within(body)


def _within(body: dict[str, Any]) -> str:
    """The JSON, without its largest optional parts if it would be longer than the contract allows."""
    for optional in ("", *OPTIONAL):
        body.pop(optional, None)
        text = _encode(body)
        if len(text) <= DECISION_MAX_BYTES:
            break
    return text.decode()


def _short(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.6g}")
