"""What there is in the cluster, read once: machines, what strangers occupy on them, and attempts that have ended."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from cloudai_kube import demand, foreign, listing, moment, records
from cloudai_kube.errors import FormatError
from cloudai_kube.listing import Json
from cloudai_kube.objects import Node, Pod
from cloudai_kube.promise import Arrivals
from cloudai_kube.scope import EVERYWHERE, Scope
from cloudai_kube.task import Task
from cloudai_kube.transport import Transport
from cloudai_rts import contract, nodeclass
from cloudai_rts.contract import CPU, MEMORY, PODS, STORAGE
from cloudai_rts.history import RUNNING, Record
from cloudai_rts.machine import Machine
from cloudai_rts.nodeclass import RULES, ClassRules, NodeClasses
from cloudai_rts.traces import FleetNode

DEFAULT_PODS: Final = 110
_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_TERMINAL: Final = frozenset({"Succeeded", "Failed"})


async def nodes(transport: Transport) -> list[Node]:
    """All nodes that can be read."""
    return (await listing.read(transport, "/api/v1/nodes", _decoder(Node))).items


def machines(
    cluster: Sequence[Node],
    occupied: Mapping[str, demand.Amounts],
    rules: ClassRules = RULES,
) -> list[Machine]:
    """All nodes that can run anything. `occupied` by node is what strangers ask for there.

    The rules are those that the scheduler publishes, or classes would be other ones here.
    """
    sizes = {node.metadata.name: _capacity(node) for node in cluster}
    classes = nodeclass.classes_of(
        (
            (node.metadata.name, _shape(node.metadata.labels, sizes[node.metadata.name], rules))
            for node in sorted(cluster, key=lambda node: node.metadata.name)
        ),
        rules,
    )
    return [
        _machine(node, sizes[node.metadata.name], occupied.get(node.metadata.name, {}), classes)
        for node in cluster
        if sizes[node.metadata.name].get(CPU)
    ]


@dataclass(frozen=True, slots=True)
class Ours:
    """Pods that an epoch learns from: those that this scheduler bound, in these namespaces."""

    scheduler_name: str = contract.SCHEDULER_NAME
    scope: Scope = EVERYWHERE


async def occupied(transport: Transport, scheduler_name: str = contract.SCHEDULER_NAME) -> dict[str, demand.Amounts]:
    """What pods that we did not bind ask for, by node: daemons, and whatever other schedulers placed."""
    by_node: dict[str, demand.Amounts] = {}
    for pod in await _pods(transport, {"labelSelector": f"{contract.LABEL_BOUND_BY}!={scheduler_name}"}):
        _occupy(by_node, pod)
    return by_node


async def attempts(
    transport: Transport,
    now: float,
    only_running: bool = False,
    rules: ClassRules = RULES,
    ours: Ours | None = None,
) -> list[Record]:
    """Attempts in the status of all Tasks that still exist, also those that run `now`: history without a database.

    With one `only_running` is enough, and spares the API server all Tasks that have ended. Of pods that we bound and
    that are no Task's only those that run are here: what has ended a database remembers.
    """
    ours = ours or Ours()
    selector = {"fieldSelector": f"status.state={RUNNING}"} if only_running else None
    decode = _decoder(Task)
    tasks = [
        task
        for path in ours.scope.tasks().values()
        for task in (await listing.read(transport, path, decode, selector)).items
    ]
    runs = [
        record
        for task in tasks
        for attempt in task.status.attempts
        if (record := records.of_attempt(task, attempt, now, rules)) is not None
    ]
    return runs + await _running_pods(transport, now, rules, ours)


async def _running_pods(transport: Transport, now: float, rules: ClassRules, ours: Ours) -> list[Record]:
    others = f"{contract.LABEL_BOUND_BY}={ours.scheduler_name},!{contract.LABEL_TASK}"
    arrivals = Arrivals()
    bound = await _pods(transport, {"labelSelector": others})
    pods = [pod for pod in bound if pod.status.phase == RUNNING and pod.metadata.namespace in ours.scope]
    runs = [foreign.record_of(pod, arrivals, 1.0, now, rules) for pod in pods]
    return [msgspec.structs.replace(record, deadline=None) for record in runs if record is not None]


async def _pods(transport: Transport, selector: dict[str, str]) -> list[Pod]:
    """All pods that a selector names, as far as they can be read."""
    return (await listing.read(transport, "/api/v1/pods", _decoder(Pod), selector)).items


def _decoder(kind: type[_T]) -> Callable[[Json], _T | None]:
    """Reads one object; one that nobody can read must not hide the others."""
    decoder = msgspec.json.Decoder(kind)

    def decode(raw: Json) -> _T | None:
        try:
            return decoder.decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            _log.warning("a %s is left out: %s", kind.__name__, error)
            return None

    return decode


def _occupy(by_node: dict[str, demand.Amounts], pod: Pod) -> None:
    if not pod.spec.nodeName or pod.status.phase in _TERMINAL:
        return
    try:
        amounts = demand.countable(demand.requests_of(pod))
    except FormatError:
        return
    taken = by_node.setdefault(pod.spec.nodeName, {})
    for name, amount in amounts.items():
        taken[name] = taken.get(name, 0) + amount


def _capacity(node: Node) -> demand.Amounts:
    amounts, problems = demand.capacity_of(node.status.allocatable)
    if problems:
        _log.warning("node %s: %s", node.metadata.name, "; ".join(problems))
    return amounts


def _shape(labels: Mapping[str, str], amounts: demand.Amounts, rules: ClassRules) -> nodeclass.Hardware:
    has_accelerator = any(amount and rules.is_accelerator(name) for name, amount in amounts.items())
    return nodeclass.Hardware(labels, amounts.get(CPU, 0), amounts.get(MEMORY, 0), has_accelerator)


def _machine(node: Node, amounts: demand.Amounts, taken: demand.Amounts, classes: NodeClasses) -> Machine:
    meta, rules = node.metadata, classes.rules
    gpus = {name: amount for name, amount in amounts.items() if amount and rules.is_accelerator(name)}
    shape = FleetNode(
        node=meta.name,
        cpu=amounts[CPU] / 1000,
        memory_bytes=amounts.get(MEMORY, 0),
        gpu=gpus.get(contract.DEFAULT_GPU_RESOURCE, 0),
        gpu_product=rules.product(meta.labels),
        storage_bytes=amounts.get(STORAGE, 0),
        pods=amounts.get(PODS, DEFAULT_PODS),
    )
    since = moment.read(meta.creationTimestamp)
    return Machine(shape, classes.of(meta.name), gpus, taken, -math.inf if since is None else since)
