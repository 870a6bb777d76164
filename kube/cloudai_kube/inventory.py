"""What there is in the cluster, read once: machines, what strangers occupy on them, and attempts that have ended."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import msgspec

from cloudai_kube import demand, foreign, quantity, records, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Node, ObjectList, Pod
from cloudai_kube.promise import Arrivals
from cloudai_kube.task import Task
from cloudai_kube.transport import Transport
from cloudai_rts import contract, nodeclass
from cloudai_rts.contract import CPU, MEMORY, PODS, STORAGE
from cloudai_rts.history import RUNNING, Record
from cloudai_rts.machine import Machine
from cloudai_rts.traces import FleetNode

DEFAULT_PODS: Final = 110
PAGE: Final = 500
_TERMINAL: Final = frozenset({"Succeeded", "Failed"})


class _Nodes(msgspec.Struct):
    items: list[Node] = []


class _ListMeta(msgspec.Struct):
    """`continue` is a keyword."""

    next: str = msgspec.field(default="", name="continue")


class _Pods(msgspec.Struct):
    items: list[Pod] = []
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)


async def nodes(transport: Transport) -> list[Node]:
    """All nodes."""
    return (await transport.get("/api/v1/nodes", _Nodes)).items


def machines(
    found: Sequence[Node],
    occupied: Mapping[str, demand.Amounts],
    gpu_product_label: str = contract.LABEL_GPU_PRODUCT,
) -> list[Machine]:
    """All nodes that can run anything. `occupied` by node is what strangers ask for there.

    The label is the scheduler's setting of the same name, or classes would be other ones here.
    """
    known = [_machine(node, occupied.get(node.metadata.name, {}), gpu_product_label) for node in found]
    return [machine for machine in known if machine is not None]


async def occupied(transport: Transport) -> dict[str, demand.Amounts]:
    """What pods that we did not bind ask for, by node: daemons, and whatever other schedulers placed."""
    found: dict[str, demand.Amounts] = {}
    async for pod in _pods(transport, {"labelSelector": f"!{contract.LABEL_BOUND_BY}"}):
        _occupy(found, pod)
    return found


async def attempts(transport: Transport, now: float, only_running: bool = False) -> list[Record]:
    """Attempts in the status of all Tasks that still exist, also those that run `now`: history without a database.

    With one `only_running` is enough, and spares the API server all Tasks that have ended. Of pods that we bound and
    that are no Task's only those that run are here: what has ended a database remembers.
    """
    path = f"/apis/{contract.API_VERSION}/{contract.PLURAL}"
    selector = {"fieldSelector": f"status.state={RUNNING}"} if only_running else None
    listed = await transport.get(path, ObjectList, selector)
    found: list[Record] = []
    for raw in listed.items:
        try:
            task = msgspec.convert(raw, Task)
        except msgspec.ValidationError:
            continue  # one that nobody can read must not hide the others
        found.extend(record for attempt in task.status.attempts if (record := records.of_attempt(task, attempt, now)))
    return found + await _running_pods(transport, now)


async def _running_pods(transport: Transport, now: float) -> list[Record]:
    others = f"{contract.LABEL_BOUND_BY},!{contract.LABEL_TASK}"
    arrivals = Arrivals()
    pods = [pod async for pod in _pods(transport, {"labelSelector": others}) if pod.status.phase == RUNNING]
    found = [foreign.record_of(pod, arrivals, 1.0, now) for pod in pods]
    return [msgspec.structs.replace(record, deadline=None) for record in found if record is not None]


async def _pods(transport: Transport, selector: dict[str, str]) -> AsyncIterator[Pod]:
    """All pods that a selector names, page by page."""
    asked = {**selector, "limit": str(PAGE)}
    while True:
        page = await transport.get("/api/v1/pods", _Pods, asked)
        for pod in page.items:
            yield pod
        if not page.metadata.next:
            return
        asked["continue"] = page.metadata.next


def _occupy(found: dict[str, demand.Amounts], pod: Pod) -> None:
    if not pod.spec.nodeName or pod.status.phase in _TERMINAL:
        return
    try:
        amounts = demand.requests_of(pod)
    except FormatError:
        return
    there = found.setdefault(pod.spec.nodeName, {})
    for name, amount in amounts.items():
        there[name] = there.get(name, 0) + amount


def _machine(node: Node, taken: demand.Amounts, gpu_product_label: str) -> Machine | None:
    meta, allocatable = node.metadata, node.status.allocatable
    try:
        amounts = {name: quantity.resource(name, str(value)) for name, value in allocatable.items()}
        since = timestamp.parse_optional(meta.creationTimestamp)
    except FormatError:
        return None
    cpu, memory = amounts.get(CPU, 0), amounts.get(MEMORY, 0)
    if not cpu:
        return None
    gpus = {name: amount for name, amount in amounts.items() if amount and nodeclass.is_gpu_resource(name)}
    shape = FleetNode(
        node=meta.name,
        cpu=cpu / 1000,
        memory_bytes=memory,
        gpu=gpus.get(contract.DEFAULT_GPU_RESOURCE, 0),
        gpu_product=meta.labels.get(gpu_product_label, ""),
        storage_bytes=amounts.get(STORAGE, 0),
        pods=amounts.get(PODS, DEFAULT_PODS),
    )
    node_class = nodeclass.node_class(meta.labels, cpu, memory, gpu_product_label)
    return Machine(shape, node_class, gpus, taken, -math.inf if since is None else since)
