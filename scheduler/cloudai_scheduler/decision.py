"""The decision annotation: why this node, in at most 2 KiB of JSON that the API server copies from Binding to pod."""

from typing import Any

import msgspec

from cloudai_kube import timestamp
from cloudai_rts.contract import CPU, MEMORY, STORAGE
from cloudai_rts.nodeclass import class_for
from cloudai_rts.placement import Placed
from cloudai_rts.task import Task
from cloudai_scheduler.cluster.state import ClusterState, NodeInfo

_encode = msgspec.json.Encoder().encode


def annotation(state: ClusterState, task: Task, placed: Placed, node: NodeInfo, version: int, now: float) -> str:
    """Write the decision. Call it before the pod is assumed: `available` is what was free before this task."""
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
        "available": {
            "cpu": int(fleet.available(CPU)[slot]) / 1000,
            "memoryBytes": int(fleet.available(MEMORY)[slot]),
            "gpu": gpu,
            "storageBytes": int(fleet.available(STORAGE)[slot]),
        },
        "runnerUp": runner_up,
    }
    return _encode(body).decode()


def _short(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.6g}")
