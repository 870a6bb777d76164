"""Classes of pods: pods with the same spec share the verdicts of the static filters, kept until a node changes.

Filtering thousands of nodes by labels and taints in Python would cost milliseconds a pod; a class pays it once and then
only for the nodes that changed.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from cloudai_kube.demand import Amounts, HostPort, host_ports_of, requests_of
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray, FloatArray
from cloudai_scheduler import filters
from cloudai_scheduler.cluster.state import ClusterState, NodeInfo
from cloudai_scheduler.filters import node_affinity, taints

REMEMBERED: Final = 2048
_TAINT_WEIGHT: Final = 3.0
_AFFINITY_WEIGHT: Final = 2.0
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class PodClass:
    """Pods with one spec.

    `allowed[slot]`: no static filter is against the node; `reasons[slot]` says which one is. `preference` is in 0..1 by
    slot, None where the pod has no wishes. `classes` are those of the nodes that the pod is meant for, empty if there
    are nodes of all classes among them. `failed_version` is the state's version at which no node was free for it.
    """

    key: bytes
    sample: Pod
    amounts: Amounts
    ports: frozenset[HostPort]
    allowed: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    reasons: list[str | None] = field(default_factory=list)
    preference: FloatArray | None = None
    classes: tuple[str, ...] = ()
    failed_version: int = -1
    _not_meant: set[int] = field(default_factory=set)
    _seen: int = -1

    def refresh(self, state: ClusterState) -> None:
        """Bring the verdicts up to date with the nodes that changed since the last call."""
        changed, forgotten = state.changed_slots, state.forgotten_changes
        if self._seen == forgotten + len(changed):
            return
        width = len(state.fleet)
        if width > len(self.allowed):
            self.allowed = np.pad(self.allowed, (0, width - len(self.allowed)))
            self.reasons.extend([None] * (width - len(self.reasons)))
        slots = range(width) if self._seen < forgotten else set(changed[self._seen - forgotten :])
        for slot in slots:
            self._judge(slot, state.by_slot.get(slot))
        self._seen = forgotten + len(changed)
        self.failed_version = -1
        self.preference = _preference(self.sample, state)
        there = {node.node_class for node in state.by_slot.values()}
        admitted = {node.node_class for slot, node in state.by_slot.items() if slot not in self._not_meant}
        self.classes = tuple(sorted(admitted)) if admitted < there else ()

    def _judge(self, slot: int, node: NodeInfo | None) -> None:
        reason = "" if node is None else filters.first_reason(self.sample, node)
        self.reasons[slot] = reason
        self.allowed[slot] = reason is None
        self._not_meant.discard(slot)
        if reason and node is not None and not filters.is_meant_for(self.sample, node):
            self._not_meant.add(slot)


@dataclass(slots=True)
class ClassTable:
    """All classes in use, the least recently used ones dropped."""

    _classes: OrderedDict[bytes, PodClass] = field(default_factory=OrderedDict)

    def of(self, pod: Pod) -> PodClass:
        """Return the class of an unbound pod. Raises `FormatError` if its requests cannot be read."""
        key = _encode(pod.spec)
        found = self._classes.get(key)
        if found is None:
            found = PodClass(key, pod, requests_of(pod), host_ports_of(pod))
            self._classes[key] = found
            if len(self._classes) > REMEMBERED:
                self._classes.popitem(last=False)
        else:
            self._classes.move_to_end(key)
        return found


def _preference(pod: Pod, state: ClusterState) -> FloatArray | None:
    """The user's soft wishes: upstream's normalised scores by upstream's weights, in 0..1; None without any."""
    parts: list[tuple[float, FloatArray]] = []
    wishes = np.zeros(len(state.fleet))
    dislikes = np.zeros(len(state.fleet))
    affinity = pod.spec.affinity
    has_wishes = bool(
        affinity and affinity.nodeAffinity and affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution
    )
    for slot, node in state.by_slot.items():
        if has_wishes:
            wishes[slot] = node_affinity.preference(pod, node)
        if node.taints:
            dislikes[slot] = taints.disliked(pod, node)
    if wishes.any():
        parts.append((_AFFINITY_WEIGHT, wishes / wishes.max()))
    if dislikes.any():
        parts.append((_TAINT_WEIGHT, 1.0 - dislikes / dislikes.max()))
    if not parts:
        return None
    total = sum(weight for weight, _ in parts)
    return np.asarray(sum(weight * score for weight, score in parts) / total, np.float64)
