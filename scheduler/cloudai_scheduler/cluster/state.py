"""The cluster as the scheduler believes it to be: fleet arrays, pods by node, what is assumed but not yet confirmed.

Assuming is synchronous and binding is not: between the two the node must already look fuller. An assumed pod is
released on evidence only (a refused bind, a deletion, a list that shows it unbound), never by a timer: kube-scheduler
tried timers three times and gave them up, because expiry races with late confirmations.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube.demand import Amounts, HostPort, amounts_of, host_ports_of, requests_of
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Node, Pod, Taint
from cloudai_rts import contract, nodeclass
from cloudai_rts.contract import CPU, MEMORY
from cloudai_rts.fleet import Fleet, NodeSpec
from cloudai_rts.harm import HarmTable, RunningTask
from cloudai_scheduler.errors import CorruptStateError

_log = logging.getLogger(__name__)
TERMINAL: Final = frozenset({"Succeeded", "Failed"})
REMEMBERED_CHANGES: Final = 4096


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


@dataclass(slots=True)
class PlacedPod:
    """A pod that takes room on a node."""

    uid: str
    namespace: str
    name: str
    node: str
    amounts: Amounts
    ports: frozenset[HostPort]
    running: RunningTask | None = None
    generation: int = 0
    assumed: bool = False


@dataclass(slots=True)
class ClusterState:
    """Nodes and the pods on them.

    `version` grows with every change that could make a pod fit; `changed_slots` lists slots whose static properties
    (labels, taints, cordon, existence) changed, oldest first, for those who keep filter results; `forgotten_changes`
    counts those that were dropped from its beginning.
    """

    gpu_product_label: str = contract.LABEL_GPU_PRODUCT
    fleet: Fleet = field(default_factory=Fleet)
    harm: HarmTable = field(default_factory=HarmTable)
    nodes: dict[str, NodeInfo] = field(default_factory=dict)
    changed_slots: list[int] = field(default_factory=list)
    forgotten_changes: int = 0
    version: int = 0
    on_capacity: Callable[[str], None] = lambda _node: None
    by_slot: dict[int, NodeInfo] = field(default_factory=dict)
    pods: dict[str, PlacedPod] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    _on_node: dict[str, dict[str, PlacedPod]] = field(default_factory=dict)
    _ports: dict[int, dict[str, frozenset[HostPort]]] = field(default_factory=dict)
    _static: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def put_node(self, node: Node) -> str | None:
        """Add or update a node. Returns what is wrong with it, None if all could be read."""
        name = node.metadata.name
        self.addresses.update({address.address: name for address in node.status.addresses})
        static = (node.metadata.labels, node.spec.taints, node.spec.unschedulable, node.status.allocatable)
        if self._static.get(name) == static:
            return None
        problem = None
        try:
            allocatable = amounts_of(node.status.allocatable)
        except FormatError as error:
            allocatable, problem = {}, f"allocatable cannot be read: {error}; nothing is scheduled there"
        if not allocatable and problem is None:
            problem = "has no allocatable resources; nothing is scheduled there until its kubelet reports them"
        self._static[name] = static
        is_new = name not in self.nodes
        spec = self._spec(node, allocatable)
        slot = self.fleet.put(spec)
        info = NodeInfo(
            name=name,
            slot=slot,
            labels=node.metadata.labels,
            taints=tuple(node.spec.taints),
            unschedulable=node.spec.unschedulable,
            node_class=spec.node_class,
            shared_gpu_resource=spec.shared_gpu_resource,
        )
        self.nodes[name] = info
        self.by_slot[slot] = info
        self._note_changed(slot)
        if is_new:
            for pod in self._on_node.get(name, {}).values():  # they were seen before their node
                self._occupy(info, pod)
        self._changed(name)
        return problem

    def remove_node(self, name: str) -> None:
        """Forget a node. Pods recorded on it stay recorded: their deletion follows, or the node comes back."""
        info = self.nodes.pop(name, None)
        self.addresses = {address: owner for address, owner in self.addresses.items() if owner != name}
        self._static.pop(name, None)
        if info is None:
            return
        self.fleet.remove(name)
        self.harm.clear(info.slot)
        self._ports.pop(info.slot, None)
        self.by_slot.pop(info.slot, None)
        self._note_changed(info.slot)
        self.version += 1

    def put_pod(self, pod: Pod, running: RunningTask | None) -> None:
        """Take a bound pod as the API server shows it. Confirms an assumed one; a finished one frees its room."""
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
            if known.generation == meta.generation and not _reports_resources(pod):
                return
        amounts = self._amounts(pod)
        if known is not None:
            known.generation = meta.generation
            if known.amounts == amounts:
                return
            running = running or known.running
            self.remove_pod(meta.uid)
        placed = PlacedPod(meta.uid, meta.namespace, meta.name, pod.spec.nodeName, amounts, host_ports_of(pod), running)
        self._place(placed)

    def assume(self, placed: PlacedPod) -> None:
        """Count a pod on the node it is about to be bound to. No pod is assumed twice."""
        if placed.uid in self.pods:
            raise CorruptStateError(f"pod {placed.namespace}/{placed.name} is assumed although it is placed already")
        placed.assumed = True
        self._place(placed)

    def forget(self, uid: str) -> None:
        """Release an assumed pod: its bind is known to have failed. Confirmed pods are not touched."""
        placed = self.pods.get(uid)
        if placed is not None and placed.assumed:
            self.remove_pod(uid)

    def remove_pod(self, uid: str) -> PlacedPod | None:
        """Free what a pod held. Returns its record, None if it held nothing."""
        placed = self.pods.pop(uid, None)
        if placed is None:
            return None
        on_node = self._on_node[placed.node]
        del on_node[uid]
        if not on_node:
            del self._on_node[placed.node]
        info = self.nodes.get(placed.node)
        if info is not None:
            self.fleet.request(info.slot, placed.amounts, -1)
            self.harm.remove(info.slot, uid)
            if placed.ports:
                self._ports.get(info.slot, {}).pop(uid, None)
            self._changed(placed.node)
        return placed

    def used_ports(self, slot: int) -> list[HostPort]:
        """Host ports taken on a node."""
        return [port for ports in self._ports.get(slot, {}).values() for port in ports]

    def slots_with_ports(self) -> list[int]:
        """Slots on which any host port is taken."""
        return [slot for slot, ports in self._ports.items() if ports]

    def _place(self, placed: PlacedPod) -> None:
        self.pods[placed.uid] = placed
        self._on_node.setdefault(placed.node, {})[placed.uid] = placed
        info = self.nodes.get(placed.node)
        if info is not None:
            self._occupy(info, placed)

    def _occupy(self, info: NodeInfo, placed: PlacedPod) -> None:
        self.fleet.request(info.slot, placed.amounts)
        if placed.ports:
            self._ports.setdefault(info.slot, {})[placed.uid] = placed.ports
        if placed.running is not None:
            self.harm.add(info.slot, placed.uid, placed.running)

    def _note_changed(self, slot: int) -> None:
        self.changed_slots.append(slot)
        if len(self.changed_slots) > REMEMBERED_CHANGES + 2 * len(self.fleet):
            self.forgotten_changes += len(self.changed_slots)
            self.changed_slots.clear()

    def _changed(self, node: str) -> None:
        self.version += 1
        self.on_capacity(node)

    def _spec(self, node: Node, allocatable: Amounts) -> NodeSpec:
        labels = node.metadata.labels
        gpus = [name for name, amount in allocatable.items() if amount and nodeclass.is_gpu_resource(name)]
        shared = min(gpus, default="") if nodeclass.is_shared(labels) else ""
        node_class = nodeclass.node_class(
            labels, allocatable.get(CPU, 0), allocatable.get(MEMORY, 0), self.gpu_product_label
        )
        return NodeSpec(node.metadata.name, allocatable, node_class, bool(gpus), shared)

    @staticmethod
    def _amounts(pod: Pod) -> Amounts:
        try:
            return requests_of(pod)
        except FormatError as error:  # another scheduler let it through: count at least its slot
            _log.warning("pod %s/%s: %s", pod.metadata.namespace, pod.metadata.name, error)
            return {"pods": 1}


def _reports_resources(pod: Pod) -> bool:
    """Whether the kubelet reports resources that may differ from the spec (an in-place resize)."""
    statuses = (*pod.status.containerStatuses, *pod.status.initContainerStatuses)
    return bool(pod.status.allocatedResources or pod.status.resources) or any(
        status.allocatedResources or status.resources for status in statuses
    )
