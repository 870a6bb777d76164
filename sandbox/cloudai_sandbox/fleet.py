"""The simulated fleet as Kubernetes nodes."""

from collections.abc import Sequence
from typing import Any, Final

from cloudai_kube.errors import ConflictError
from cloudai_kube.transport import Transport
from cloudai_rts import contract
from cloudai_rts.traces import FleetNode

GIB: Final = 1 << 30
ATTACHED_BY_CONTROLLER: Final = "volumes.kubernetes.io/controller-managed-attach-detach"
"""What every kubelet says of its node by default."""
DEFAULT_NODES: Final = 4


def uniform(count: int, gpus: int = 0) -> list[FleetNode]:
    """Nodes that are all alike: 32 cores, 256 GiB, `gpus` GPUs."""
    product = "NVIDIA-V100" if gpus else ""
    return [FleetNode(f"node-{index}", 32, 256 * GIB, gpus, product, 500 * GIB, 110) for index in range(count)]


async def create(transport: Transport, nodes: Sequence[FleetNode]) -> None:
    """Create the Node objects, Ready, with labels as the GPU operator sets them."""
    for node in nodes:
        try:
            await transport.request("POST", "/api/v1/nodes", node_object(node))
        except ConflictError:
            continue  # it is there from an earlier start


def node_object(node: FleetNode) -> dict[str, Any]:
    """One Node as its kubelet would report it."""
    labels = {contract.LABEL_HOSTNAME: node.node, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
    amounts = {
        "cpu": f"{node.cpu:g}",
        "memory": str(node.memory_bytes),
        "ephemeral-storage": str(node.storage_bytes),
        "pods": str(node.pods),
    }
    if node.gpu:
        labels[contract.LABEL_GPU_PRODUCT] = node.gpu_product
        amounts[contract.DEFAULT_GPU_RESOURCE] = str(node.gpu)
    addresses = [{"type": "Hostname", "address": node.node}]
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated kubelet"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.node, "labels": labels, "annotations": {ATTACHED_BY_CONTROLLER: "true"}},
        "status": {"allocatable": amounts, "capacity": amounts, "conditions": [ready], "addresses": addresses},
    }
