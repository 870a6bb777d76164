"""A workload on a cluster: each task of a trace becomes a Task when it arrives."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from cloudai_kube import connection
from cloudai_kube.errors import ConflictError
from cloudai_kube.transport import Transport
from cloudai_rts import contract
from cloudai_rts.traces import TraceTask

IMAGE: Final = "registry.k8s.io/pause:3.10"
ANNOTATION_RUNTIME: Final = "sandbox.cloudai.dev/runtime-seconds"
"""Only simulated kubelets read it; on a real cluster the image says how long a Task runs."""


def manifest(task: TraceTask, time_scale: float, image: str = IMAGE) -> dict[str, Any]:
    """The Task; its times are divided by `time_scale`."""
    limits: dict[str, str] = {"cpu": f"{round(task.cpu * 1000)}m", "memory": str(task.memory_bytes)}
    spec: dict[str, Any] = {"type": task.type, "image": image, "resources": {"limits": limits}}
    is_slice = task.gpu_resource not in {"", contract.DEFAULT_GPU_RESOURCE}
    if is_slice:
        limits[task.gpu_resource] = str(task.gpu)
    elif task.gpu:
        spec["gpus"] = task.gpu
    if task.gpu_product and not is_slice:
        spec["nodeSelector"] = {contract.LABEL_GPU_PRODUCT: task.gpu_product}
    if task.user:
        spec["user"] = task.user
    sla: dict[str, Any] = {}
    if task.expected_runtime_s:
        sla["expectedRuntime"] = f"{max(1, round(task.expected_runtime_s / time_scale))}s"
    if task.deadline_s is not None and task.deadline_s < math.inf:
        sla["finishWithin"] = f"{max(1, round((task.deadline_s - task.arrival_s) / time_scale))}s"
    elif task.deadline_s is None:
        sla["multiplier"] = str(task.sla_multiplier)
    return {
        "apiVersion": contract.API_VERSION,
        "kind": contract.KIND,
        "metadata": {
            "name": task.name,
            "annotations": {ANNOTATION_RUNTIME: f"{task.reference_runtime_s / time_scale:.3f}"},
        },
        "spec": {**spec, "sla": sla},
    }


async def apply(
    kubeconfig: str, namespace: str, tasks: Sequence[TraceTask], time_scale: float, progress: Callable[[int], None]
) -> int:
    """Create the Tasks as they arrive. Returns how many were new; those that are there already stay as they are.

    Raises `KubeError` if the cluster refuses one.
    """
    path = f"/apis/{contract.API_VERSION}/namespaces/{namespace}/{contract.PLURAL}"
    begun, new = time.monotonic(), 0
    async with Transport(connection.load(kubeconfig), "kubectl-cloudai", 4) as transport:
        for number, task in enumerate(tasks, start=1):
            await asyncio.sleep(max(0.0, begun + task.arrival_s / time_scale - time.monotonic()))
            try:
                await transport.request("POST", path, manifest(task, time_scale))
                new += 1
            except ConflictError:  # an earlier run was ended half-way
                continue
            finally:
                progress(number)
    return new
