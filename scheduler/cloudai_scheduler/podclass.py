"""Classes of pods: pods with the same spec share the verdicts of the static filters, kept until a node changes.

Filtering thousands of nodes by labels and taints in Python would cost milliseconds a pod; a class pays it once and then
only for the nodes that changed.
"""

import hashlib
import math
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from cloudai_kube.demand import Amounts, HostPort, host_ports_of, requests_of
from cloudai_kube.objects import Affinity, Container, Meta, Pod, PodAffinity, PodSpec
from cloudai_rts.arrays import BoolArray, FloatArray
from cloudai_scheduler import filters
from cloudai_scheduler.cluster.selector import Selection
from cloudai_scheduler.cluster.state import ClusterState, NodeInfo
from cloudai_scheduler.filters import inter_pod_affinity, node_affinity, pod_topology_spread, taints
from cloudai_scheduler.filters.inter_pod_affinity import Wishes
from cloudai_scheduler.filters.pod_topology_spread import Constraint, Inclusion

REMEMBERED: Final = 2048
REMEMBERED_BYTES: Final = 64 << 20
"""Of the specs of all remembered classes: a spec may have 1.5 MB."""
JUDGED_AT_ONCE: Final = 64
"""Nodes that are judged between two looks at the clock, where a spec is as small as nearly all are."""
SMALL_BYTES: Final = 16 << 10
_TAINT_WEIGHT: Final = 3.0
_AFFINITY_WEIGHT: Final = 2.0
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class PodClass:
    """Pods with one spec.

    `allowed[slot]`: no static filter is against the node; `reasons[slot]` says which one is. `preference` is in 0..1 by
    slot, None where the pod has no wishes. `classes` are those of the nodes that the pod is meant for, empty if there
    are nodes of all classes among them. `spread` and `wishes` are what its pods require of their neighbours.
    `failed_at` is the state's version, and what it saw of neighbours, when no node could take a pod of it.
    """

    key: bytes
    sample: Pod
    amounts: Amounts
    ports: frozenset[HostPort]
    size_bytes: int = 0
    allowed: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    reasons: list[str | None] = field(default_factory=list)
    preference: FloatArray | None = None
    classes: tuple[str, ...] = ()
    spread: tuple[Constraint, ...] = ()
    wishes: Wishes = inter_pod_affinity.NONE
    failed_at: tuple[int, ...] = ()
    _affine: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    _tolerated: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    _failed_mark: tuple[int, ...] = ()
    _wishes: FloatArray = field(default_factory=lambda: np.zeros(0))
    _dislikes: FloatArray = field(default_factory=lambda: np.zeros(0))
    _not_meant: set[int] = field(default_factory=set)
    _unjudged: list[int] = field(default_factory=list)
    _seen: int = -1

    @property
    def selections(self) -> tuple[Selection, ...]:
        """Other pods whose coming and going may change the verdicts."""
        spread = tuple(one.selection for one in self.spread if one.selection is not None)
        return (*spread, *self.wishes.selections())

    @property
    def inclusion(self) -> Inclusion:
        """Nodes that its spread constraints count."""
        return Inclusion(self._affine, self._tolerated)

    def note_failure(self, state: ClusterState, for_all: bool, by_neighbours: bool) -> None:
        """No node could take a pod; `for_all`: nor any of this class. `by_neighbours`: other pods are a reason."""
        mark = state.neighbours.mark(self.selections)
        self.failed_at = (state.version, *mark) if for_all else ()
        self._failed_mark = mark if by_neighbours else ()

    def has_failed(self, state: ClusterState) -> bool:
        """Whether nothing that could help has happened since no node could take any pod of it."""
        return bool(self.failed_at) and self.failed_at == (state.version, *state.neighbours.mark(self.selections))

    def neighbours_changed(self, state: ClusterState) -> bool:
        """Whether pods that stood in the way have gone, or those that were missed have come: the hint to look again."""
        return bool(self._failed_mark) and self._failed_mark != state.neighbours.mark(self.selections)

    def is_fresh(self, state: ClusterState) -> bool:
        """Whether the verdicts are those of the nodes as they are now."""
        return not self._unjudged and self._seen == state.forgotten_changes + len(state.changed_slots)

    def refresh(self, state: ClusterState, until: float = math.inf) -> bool:
        """Bring the verdicts up to date with the nodes that changed since the last call. True once they are.

        It stops at `until` (of `time.perf_counter`) and goes on at the next call: a spec of a megabyte on thousands of
        nodes takes seconds, and nobody else may wait for it.
        """
        if self.is_fresh(state):
            return True
        self._note_changes(state)
        step = JUDGED_AT_ONCE if self.size_bytes <= SMALL_BYTES else 1
        while self._unjudged:
            batch = self._unjudged[-step:]
            del self._unjudged[-step:]
            for slot in batch:
                self._judge(slot, state.by_slot.get(slot))
            if self._unjudged and time.perf_counter() >= until:
                return False
        self.preference = self._preference()
        there = {node.node_class for node in state.by_slot.values()}
        admitted = {node.node_class for slot, node in state.by_slot.items() if slot not in self._not_meant}
        self.classes = tuple(sorted(admitted)) if admitted < there else ()
        return True

    def _note_changes(self, state: ClusterState) -> None:
        changed, forgotten = state.changed_slots, state.forgotten_changes
        if self._seen == forgotten + len(changed):
            return
        width = len(state.fleet)
        extra = width - len(self.allowed)
        if extra > 0:
            self.allowed = np.pad(self.allowed, (0, extra))
            self._wishes, self._dislikes = (np.pad(one, (0, extra)) for one in (self._wishes, self._dislikes))
            self._affine, self._tolerated = (np.pad(one, (0, extra)) for one in (self._affine, self._tolerated))
            self.reasons.extend([None] * extra)
        everything = self._seen < forgotten
        slots = set(range(width)) if everything else {*changed[self._seen - forgotten :], *self._unjudged}
        self._unjudged = sorted(slots, reverse=True)
        self._seen = forgotten + len(changed)
        self.failed_at = ()

    def _judge(self, slot: int, node: NodeInfo | None) -> None:
        reason, is_meant = ("", True) if node is None else filters.judge(self.sample, node)
        self.reasons[slot] = reason
        self.allowed[slot] = reason is None
        self._not_meant.discard(slot)
        self._wishes[slot] = self._dislikes[slot] = 0.0
        if node is None:
            return
        if not is_meant:
            self._not_meant.add(slot)
        if self.spread:
            self._affine[slot] = node_affinity.check(self.sample, node) is None
            self._tolerated[slot] = taints.check(self.sample, node) is None
        affinity = self.sample.spec.affinity
        if affinity and affinity.nodeAffinity and affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution:
            self._wishes[slot] = node_affinity.preference(self.sample, node)
        if node.taints:
            self._dislikes[slot] = taints.disliked(self.sample, node)

    def _preference(self) -> FloatArray | None:
        """The user's soft wishes: upstream's normalised scores by upstream's weights, in 0..1; None without any."""
        parts: list[tuple[float, FloatArray]] = []
        if self._wishes.any():
            parts.append((_AFFINITY_WEIGHT, self._wishes / self._wishes.max()))
        if self._dislikes.any():
            parts.append((_TAINT_WEIGHT, 1.0 - self._dislikes / self._dislikes.max()))
        if not parts:
            return None
        total = sum(weight for weight, _ in parts)
        return np.asarray(sum(weight * score for weight, score in parts) / total, np.float64)


@dataclass(slots=True)
class ClassTable:
    """All classes in use, the least recently used ones dropped."""

    _classes: OrderedDict[bytes, PodClass] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def of(self, pod: Pod) -> PodClass:
        """Return the class of an unbound pod. Raises `FormatError` if its requests cannot be read."""
        sample = _relevant(pod)
        spec = _encode(sample)
        key = spec if len(spec) <= SMALL_BYTES else hashlib.sha256(spec).digest()
        known = self._classes.get(key)
        if known is not None:
            self._classes.move_to_end(key)
            return known
        new = PodClass(
            key,
            sample,
            requests_of(sample),
            host_ports_of(sample),
            len(spec),
            spread=pod_topology_spread.asks(sample),
            wishes=inter_pod_affinity.asks(sample),
        )
        self._classes[key] = new
        self._bytes += new.size_bytes
        while len(self._classes) > REMEMBERED or (self._bytes > REMEMBERED_BYTES and len(self._classes) > 1):
            self._bytes -= self._classes.popitem(last=False)[1].size_bytes
        return new


def _relevant(pod: Pod) -> Pod:
    """The pod with nothing but what filters and requests rest on; who it is matters if it requires neighbours.

    Images, commands and volumes are not: every pod has a volume of its own with a drawn name (its service account's
    token), and a class of its own costs a judgement of every node.
    """
    spec = pod.spec
    affinity = spec.affinity and Affinity(
        nodeAffinity=spec.affinity.nodeAffinity,
        podAffinity=_required(spec.affinity.podAffinity),
        podAntiAffinity=_required(spec.affinity.podAntiAffinity),
    )
    spread = [one for one in spec.topologySpreadConstraints if one.whenUnsatisfiable == pod_topology_spread.HARD]
    kept = PodSpec(
        nodeSelector=spec.nodeSelector,
        affinity=affinity,
        tolerations=spec.tolerations,
        containers=[_asking(container) for container in spec.containers],
        initContainers=[_asking(container) for container in spec.initContainers],
        overhead=spec.overhead,
        resources=spec.resources,
        topologySpreadConstraints=spread,
    )
    has_neighbours = bool(spread or (affinity and (affinity.podAffinity or affinity.podAntiAffinity)))
    meta = Meta(namespace=pod.metadata.namespace, labels=pod.metadata.labels) if has_neighbours else Meta()
    return Pod(metadata=meta, spec=kept)


def _required(wish: PodAffinity | None) -> PodAffinity | None:
    """The terms that must hold; None where there are only preferred ones."""
    terms = wish.requiredDuringSchedulingIgnoredDuringExecution if wish is not None else []
    return PodAffinity(requiredDuringSchedulingIgnoredDuringExecution=terms) if terms else None


def _asking(container: Container) -> Container:
    """What a container asks for."""
    return Container(resources=container.resources, ports=container.ports, restartPolicy=container.restartPolicy)
