"""What the optimizer reads from the cluster: machines, and finished attempts where no database holds them."""

from collections.abc import Mapping

import msgspec

from cloudai_kube import quantity, records
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Node, ObjectList
from cloudai_kube.task import Task
from cloudai_kube.transport import Transport
from cloudai_optimizer.window import Machine
from cloudai_rts import contract, nodeclass
from cloudai_rts.history import Record
from cloudai_rts.traces import FleetNode

DEFAULT_PODS = 110


class _Nodes(msgspec.Struct):
    items: list[Node] = []


async def nodes(transport: Transport) -> list[Node]:
    """All nodes."""
    return (await transport.get("/api/v1/nodes", _Nodes)).items


async def machines(transport: Transport, background: Mapping[str, float] | None = None) -> list[Machine]:
    """All nodes that can run anything. `background` are cores used by others, by node."""
    found = await nodes(transport)
    known = [_machine(node, (background or {}).get(node.metadata.name, 0.0)) for node in found]
    return [machine for machine in known if machine is not None]


async def finished(transport: Transport) -> list[Record]:
    """Attempts in the status of all Tasks that still exist: history without a database."""
    path = f"/apis/{contract.API_VERSION}/{contract.PLURAL}"
    listed = await transport.get(path, ObjectList)
    found: list[Record] = []
    for raw in listed.items:
        try:
            task = msgspec.convert(raw, Task)
        except msgspec.ValidationError:
            continue  # one that nobody can read must not hide the others
        found.extend(record for attempt in task.status.attempts if (record := records.of_attempt(task, attempt)))
    return found


def _machine(node: Node, background: float) -> Machine | None:
    meta, allocatable = node.metadata, node.status.allocatable
    try:
        amounts = {name: quantity.resource(name, str(value)) for name, value in allocatable.items()}
    except FormatError:
        return None
    cpu, memory = amounts.get("cpu", 0), amounts.get("memory", 0)
    if not cpu:
        return None
    gpus = {name: amount for name, amount in amounts.items() if amount and nodeclass.is_gpu_resource(name)}
    shape = FleetNode(
        node=meta.name,
        cpu=cpu / 1000,
        memory_bytes=memory,
        gpu=gpus.get(contract.DEFAULT_GPU_RESOURCE, 0),
        gpu_product=meta.labels.get(contract.LABEL_GPU_PRODUCT, ""),
        storage_bytes=amounts.get("ephemeral-storage", 0),
        pods=amounts.get("pods", DEFAULT_PODS),
    )
    return Machine(shape, nodeclass.node_class(meta.labels, cpu, memory), background, gpus)
