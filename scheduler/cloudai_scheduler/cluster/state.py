"""The cluster as the scheduler believes it to be: fleet arrays, pods by node, what is assumed but not yet confirmed.

Assuming is synchronous and binding is not: between the two the node must already look fuller. An assumed pod is
released on evidence only (a refused bind, a deletion, a list that shows it unbound), never by a timer: kube-scheduler
tried timers three times and gave them up, because expiry races with late confirmations.
"""

import logging
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cloudai_kube import moment
from cloudai_kube.demand import Amounts, HostPort, capacity_of, countable, host_ports_of, requests_of
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Node, Pod, PodDisruptionBudget, Taint
from cloudai_kube.series import NodeAddresses
from cloudai_rts import contract, nodeclass
from cloudai_rts.arrays import BoolArray, IntArray
from cloudai_rts.contract import CPU, MEMORY
from cloudai_rts.fleet import Fleet, NodeSpec
from cloudai_rts.harm import HarmTable, RunningTask
from cloudai_rts.nodeclass import Hardware, NodeClasses
from cloudai_rts.reservation import Reservations
from cloudai_scheduler.cluster import pod_volumes
from cloudai_scheduler.cluster.attachments import Attachments
from cloudai_scheduler.cluster.domains import Domains
from cloudai_scheduler.cluster.images import Images
from cloudai_scheduler.cluster.interned import Interned
from cloudai_scheduler.cluster.journal import Journal
from cloudai_scheduler.cluster.neighbours import Neighbour, Neighbours
from cloudai_scheduler.cluster.nominations import Nominations
from cloudai_scheduler.cluster.pod_volumes import PodVolumes
from cloudai_scheduler.cluster.ports import HostPorts
from cloudai_scheduler.cluster.resource_scores import ResourceScores
from cloudai_scheduler.cluster.shares import Shares
from cloudai_scheduler.cluster.storage import Storage
from cloudai_scheduler.cluster.table import Table
from cloudai_scheduler.cluster.usage import Usage, Usual, usual_requests
from cloudai_scheduler.cluster.workloads import Workloads
from cloudai_scheduler.errors import CorruptStateError

_log = logging.getLogger(__name__)
DISRUPTION_TARGET: Final = "DisruptionTarget"
PREEMPTED: Final = "PreemptionByScheduler"
TERMINAL: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What filters look at on one node."""

    name: str
    slot: int
    labels: dict[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool
    node_class: str
    shared_gpu_resource: str = ""
    features: frozenset[str] = frozenset()


@dataclass(slots=True)
class PlacedPod:
    """A pod that takes room on a node. `ours`: this process bound it, so what it does says something about the node.

    `refused`: that its node did not start it is counted already. `is_preempted`: it is to go, or going, for another.
    """

    uid: str
    namespace: str
    name: str
    node: str
    amounts: Amounts
    ports: frozenset[HostPort]
    neighbour: Neighbour
    volumes: PodVolumes = pod_volumes.NONE
    usual: Usual = (0, 0)
    priority: int = 0
    start_time: str = ""
    checkpointed_at: float | None = None
    running: RunningTask | None = None
    generation: int = 0
    assumed: bool = False
    ours: bool = False
    has_started: bool = False
    refused: bool = False
    is_preempted: bool = False


@dataclass(slots=True)
class ClusterState:
    """Nodes and the pods on them.

    `version` grows with every change that could make a pod fit; `node_changes` are slots whose static properties
    (labels, taints, cordon, existence) changed, for those who keep filter results, `amount_changes` those whose
    capacity or requests did. `priorities`: how many pods there are of each. `kept_match` is
    the last answer of VolumeBinding, `kept_reach` are nodes from which volumes can be used.
    """

    classes: NodeClasses = field(default_factory=NodeClasses)
    fleet: Fleet = field(default_factory=Fleet)
    harm: HarmTable = field(default_factory=HarmTable)
    nodes: dict[str, NodeInfo] = field(default_factory=dict)
    node_changes: Journal = field(default_factory=Journal)
    amount_changes: Journal = field(default_factory=Journal)
    resource_scores: ResourceScores = field(default_factory=ResourceScores)
    version: int = 0
    on_capacity: Callable[[str], None] = lambda _node: None
    by_slot: dict[int, NodeInfo] = field(default_factory=dict)
    pods: dict[str, PlacedPod] = field(default_factory=dict)
    addresses: dict[str, NodeAddresses] = field(default_factory=dict)
    _on_node: dict[str, dict[str, PlacedPod]] = field(default_factory=dict)
    ports: HostPorts = field(default_factory=HostPorts)
    neighbours: Neighbours = field(default_factory=Neighbours)
    domains: Domains = field(default_factory=Domains)
    storage: Storage = field(default_factory=Storage)
    workloads: Workloads = field(default_factory=Workloads)
    attachments: Attachments = field(default_factory=Attachments)
    usage: Usage = field(default_factory=Usage)
    images: Images = field(default_factory=Images)
    kept_match: tuple[object, Any] | None = None
    kept_reach: tuple[int, dict[tuple[str, str], BoolArray]] = field(default_factory=lambda: (-1, {}))
    priorities: Counter[int] = field(default_factory=Counter)
    shares: Shares = field(default_factory=Shares)
    nominations: Nominations = field(default_factory=Nominations)
    reservations: Reservations = field(default_factory=Reservations)
    budgets: Table[PodDisruptionBudget] = field(default_factory=lambda: Table(lambda _item: None))
    _same_amounts: Interned[Amounts] = field(default_factory=Interned)
    _same_usual: Interned[Usual] = field(default_factory=Interned)
    _same_neighbours: Interned[Neighbour] = field(default_factory=Interned)
    _static: dict[str, tuple[object, ...]] = field(default_factory=dict)
    _specs: dict[str, NodeSpec] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.storage.slot_of = self.fleet.slot
        self.nominations.on_end = self._changed

    @property
    def surroundings(self) -> tuple[int, int, int]:
        """Grows with every change of other pods, of storage or of domains that may help one that waits."""
        return self.neighbours.version, self.storage.version, len(self.node_changes)

    def domain_of(self, key: str) -> IntArray:
        """The topology domain of each slot by a node label; `domains.NONE` where there is none."""
        return self.domains.of(key, self.by_slot, len(self.fleet), self.node_changes)

    def put_node(self, node: Node) -> str | None:
        """Add or update a node. Returns what is wrong with it, None if all could be read."""
        name = node.metadata.name
        self.addresses[name] = NodeAddresses.of(node)
        slot = self.fleet.slot(name)
        if slot is not None:
            self.images.put(slot, node.status.images)
        static = _static_of(node)
        if self._static.get(name) == static:
            return None
        allocatable, problems = capacity_of(node.status.allocatable)
        if not allocatable:
            problems.append("has no allocatable resources; nothing is scheduled there until its kubelet reports them")
        new = [resource for resource in allocatable if not self.fleet.counts(resource)]
        self._static[name] = static
        is_new = name not in self.nodes
        renamed = self.classes.put(name, self._hardware(node, allocatable))
        spec = self._spec(node, allocatable)
        slot = self.fleet.put(spec)
        self._count_new(new)
        info = NodeInfo(
            name=name,
            slot=slot,
            labels=node.metadata.labels,
            taints=tuple(node.spec.taints),
            unschedulable=node.spec.unschedulable,
            node_class=spec.node_class,
            shared_gpu_resource=spec.shared_gpu_resource,
            features=frozenset(node.status.declaredFeatures),
        )
        self.nodes[name] = info
        self.by_slot[slot] = info
        self._specs[name] = spec
        self._note_changed(slot)
        self._rename(renamed)
        if is_new:
            self.storage.touch(slot)
            self.images.put(slot, node.status.images)
            for pod in self._on_node.get(name, {}).values():  # they were seen before their node
                self._occupy(info, pod)
        self._changed(name)
        return "; ".join(problems) or None

    def is_as_told(self, node: Node) -> bool:
        """Whether this is what we know of a node: labels, taints, cordon, what it offers."""
        return self._static.get(node.metadata.name) == _static_of(node)

    def _rename(self, names: set[str]) -> None:
        """The class of these nodes has changed, because one of another shape bears the same type, or no more does."""
        for name in names & self.nodes.keys():
            self._specs[name] = replace(self._specs[name], node_class=self.classes.of(name))
            slot = self.fleet.put(self._specs[name])
            self.nodes[name] = self.by_slot[slot] = replace(self.nodes[name], node_class=self.classes.of(name))
            self._note_changed(slot)

    def _count_new(self, resources: list[str]) -> None:
        """Some node offers a resource that none has offered before: pods may have asked for it all the time."""
        for placed in self.pods.values() if resources else ():
            info = self.nodes.get(placed.node)
            missed = {name: placed.amounts[name] for name in resources if name in placed.amounts}
            if info is not None and missed:
                self.fleet.request(info.slot, missed)
                self.amount_changes.note(info.slot, len(self.fleet))

    def remove_node(self, name: str) -> None:
        """Forget a node. Pods recorded on it stay recorded: their deletion follows, or the node comes back."""
        info = self.nodes.pop(name, None)
        self.addresses.pop(name, None)
        self._static.pop(name, None)
        self._specs.pop(name, None)
        if info is None:
            return
        self.fleet.remove(name)
        self.harm.clear(info.slot)
        self.reservations.leave(info.slot)
        self.images.put(info.slot, [])
        for placed in self._on_node.get(name, {}).values():
            self._leave(info.slot, placed)
            self.shares.hold(placed.namespace, placed.amounts, -1)
        self.by_slot.pop(info.slot, None)
        self._note_changed(info.slot)
        self._rename(self.classes.remove(name))
        self.version += 1

    def pods_on(self, slot: int) -> list[PlacedPod]:
        """Pods on the node in a slot."""
        return list(self._on_node.get(self.fleet.names[slot], {}).values())

    def count(self, slot: int, placed: PlacedPod, sign: int) -> None:
        """Count a pod in or out for a trial: what filters read changes, and nothing else."""
        self.fleet.request(slot, placed.amounts, sign)
        self._leave(slot, placed, sign)

    def put_pod(self, pod: Pod) -> None:
        """Take a bound pod as the API server shows it. Confirms an assumed one; a finished one frees its room.

        The figures of a task that runs come from our own decision about it, never from the pod.
        """
        meta = pod.metadata
        known = self.pods.get(meta.uid)
        if pod.status.phase in TERMINAL:
            self.remove_pod(meta.uid)
            return
        if known is not None and known.node != pod.spec.nodeName:
            if not known.assumed:
                raise CorruptStateError(
                    f"pod {meta.namespace}/{meta.name} moved from {known.node} to {pod.spec.nodeName}; "
                    "a binding never changes, so an event was lost"
                )
            _log.warning("pod %s/%s was bound to %s by someone else", meta.namespace, meta.name, pod.spec.nodeName)
            self.remove_pod(meta.uid)
            known = None
        if known is not None:
            known.assumed = False
            known.start_time = pod.status.startTime
            known.checkpointed_at = _checkpoint(pod)
            known.is_preempted = known.is_preempted or _is_preempted(pod)
            self._see_neighbour(known, pod)
            if known.generation == meta.generation and not _reports_resources(pod):
                return
        amounts = self.amounts_of(pod)
        if known is not None:
            known.generation = meta.generation
            if known.amounts == amounts:
                return
            self.remove_pod(meta.uid)
            self._place(replace(known, amounts=amounts, usual=usual_requests(pod)))
            return
        usual = usual_requests(pod)
        self._place(
            PlacedPod(
                uid=meta.uid,
                namespace=sys.intern(meta.namespace),
                name=meta.name,
                node=sys.intern(pod.spec.nodeName),
                amounts=self._same_amounts.of(tuple(sorted(amounts.items())), amounts),
                ports=host_ports_of(pod),
                neighbour=self._neighbour(pod),
                volumes=PodVolumes.of(pod),
                usual=self._same_usual.of(usual, usual),
                priority=pod.spec.priority,
                start_time=pod.status.startTime,
                checkpointed_at=_checkpoint(pod),
                is_preempted=_is_preempted(pod),
                generation=meta.generation,
            )
        )

    def _neighbour(self, pod: Pod) -> Neighbour:
        seen = Neighbour.of(pod)
        return self._same_neighbours.of(seen, seen)

    def _see_neighbour(self, known: PlacedPod, pod: Pod) -> None:
        """A pod's labels may change, and it may be on its way out: no generation tells of either."""
        seen, info = self._neighbour(pod), self.nodes.get(known.node)
        if seen == known.neighbour:
            return
        if info is not None:
            self.neighbours.occupy(info.slot, known.neighbour, -1)
            self.neighbours.occupy(info.slot, seen)
        known.neighbour = seen

    def assume(self, placed: PlacedPod) -> None:
        """Count a pod on the node it is about to be bound to. No pod is assumed twice."""
        if placed.uid in self.pods:
            raise CorruptStateError(f"pod {placed.namespace}/{placed.name} is assumed although it is placed already")
        placed.assumed = placed.ours = True
        self._place(placed)

    def forget(self, uid: str) -> None:
        """Release an assumed pod: its bind is known to have failed. Confirmed pods are not touched."""
        placed = self.pods.get(uid)
        if placed is not None and placed.assumed:
            self.remove_pod(uid)

    def release_room(self, uid: str) -> None:
        """Nothing is kept any more for a pod: those that stood back may go there."""
        reservation = self.reservations.release(uid)
        info = None if reservation is None else self.by_slot.get(reservation.slot)
        if info is not None:
            self._changed(info.name)

    def remove_pod(self, uid: str) -> PlacedPod | None:
        """Free what a pod held. Returns its record, None if it held nothing."""
        placed = self.pods.pop(uid, None)
        if placed is None:
            return None
        self.priorities[placed.priority] -= 1
        if not self.priorities[placed.priority]:
            del self.priorities[placed.priority]
        on_node = self._on_node[placed.node]
        del on_node[uid]
        if not on_node:
            del self._on_node[placed.node]
        info = self.nodes.get(placed.node)
        if info is not None:
            self.fleet.request(info.slot, placed.amounts, -1)
            self.harm.remove(info.slot, uid)
            self._leave(info.slot, placed)
            self.shares.hold(placed.namespace, placed.amounts, -1)
            self._changed(placed.node)
        return placed

    def _place(self, placed: PlacedPod) -> None:
        self.pods[placed.uid] = placed
        self.priorities[placed.priority] += 1
        self._on_node.setdefault(placed.node, {})[placed.uid] = placed
        info = self.nodes.get(placed.node)
        if info is not None:
            self._occupy(info, placed)

    def _occupy(self, info: NodeInfo, placed: PlacedPod) -> None:
        self.fleet.request(info.slot, placed.amounts)
        self._leave(info.slot, placed, 1)
        self.shares.hold(placed.namespace, placed.amounts)
        if placed.running is not None:
            self.harm.add(info.slot, placed.uid, placed.running)

    def _leave(self, slot: int, placed: PlacedPod, sign: int = -1) -> None:
        """Give back what a pod holds beside its requests (`sign=1`: take it)."""
        self.ports.occupy(slot, placed.ports, sign)
        self.neighbours.occupy(slot, placed.neighbour, sign)
        self.storage.occupy(slot, placed.volumes, sign)
        self.usage.occupy(slot, placed.usual, sign)
        self.amount_changes.note(slot, len(self.fleet))

    def _note_changed(self, slot: int) -> None:
        self.node_changes.note(slot, len(self.fleet))
        self.amount_changes.note(slot, len(self.fleet))

    def _changed(self, node: str) -> None:
        self.version += 1
        self.on_capacity(node)

    def _hardware(self, node: Node, allocatable: Amounts) -> Hardware:
        return Hardware(
            node.metadata.labels, allocatable.get(CPU, 0), allocatable.get(MEMORY, 0), bool(self._devices(allocatable))
        )

    def _devices(self, allocatable: Amounts) -> list[str]:
        return [name for name, amount in allocatable.items() if amount and self.classes.rules.is_accelerator(name)]

    def _spec(self, node: Node, allocatable: Amounts) -> NodeSpec:
        name, gpus = node.metadata.name, self._devices(allocatable)
        shared = min(gpus, default="") if nodeclass.is_shared(node.metadata.labels) else ""
        return NodeSpec(name, allocatable, self.classes.of(name), bool(gpus), shared)

    @staticmethod
    def amounts_of(pod: Pod) -> Amounts:
        """What a pod on a node holds."""
        try:
            return countable(requests_of(pod))
        except FormatError as error:  # another scheduler let it through: count at least its slot
            _log.warning("pod %s/%s: %s", pod.metadata.namespace, pod.metadata.name, error)
            return {"pods": 1}


def _static_of(node: Node) -> tuple[object, ...]:
    spec, status = node.spec, node.status
    return (node.metadata.labels, spec.taints, spec.unschedulable, status.allocatable, status.declaredFeatures)


def _checkpoint(pod: Pod) -> float | None:
    """When the pod last saved its work, as it says."""
    meta = pod.metadata
    return moment.read(meta.annotations.get(contract.ANNOTATION_CHECKPOINTED_AT), meta.creationTimestamp)


def _is_preempted(pod: Pod) -> bool:
    """Whether a scheduler has evicted it for another pod."""
    if pod.metadata.deletionTimestamp is None:
        return False
    told = next((condition for condition in pod.status.conditions if condition.type == DISRUPTION_TARGET), None)
    return told is not None and (told.status, told.reason) == ("True", PREEMPTED)


def _reports_resources(pod: Pod) -> bool:
    """Whether the kubelet reports resources that may differ from the spec (an in-place resize)."""
    statuses = (*pod.status.containerStatuses, *pod.status.initContainerStatuses)
    return bool(pod.status.allocatedResources or pod.status.resources) or any(
        status.allocatedResources or status.resources for status in statuses
    )
