"""Verdicts of the static filters on every node, for pods that ask the same of labels, taints and names.

Filtering thousands of nodes in Python costs milliseconds a pod. What a pod asks of a node's static side is a small part
of its spec, and most pods share it, however much their requests, images and names differ: it is judged once, and then
only on the nodes that changed.
"""

import math
import time
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_kube.objects import NodeAffinity, Pod
from cloudai_rts.arrays import BoolArray, FloatArray
from cloudai_scheduler import filters
from cloudai_scheduler.cluster.state import ClusterState, NodeInfo
from cloudai_scheduler.filters import node_affinity, taints

JUDGED_AT_ONCE: Final = 64
"""Nodes that are judged between two looks at the clock, where a spec is as small as nearly all are."""
SMALL_BYTES: Final = 16 << 10


@dataclass(slots=True)
class Verdicts:
    """What the static filters say of each slot to pods like `sample`.

    `added` is the affinity that the pods' profile adds to their own. `allowed[slot]`: no filter is against the node;
    `reasons[slot]` says which one is, `against` are all reasons that occur. `liked` and `disliked`: weights of the
    preferred terms that hold, and PreferNoSchedule taints that are not tolerated. `classes` are those of the nodes that
    the pod is meant for, empty if there are nodes of all classes among them. `affine` and `tolerated` are what each of
    the two filters says by itself, without what the profile adds.
    """

    sample: Pod
    size_bytes: int = 0
    added: NodeAffinity = field(default_factory=NodeAffinity)
    allowed: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    reasons: list[str | None] = field(default_factory=list)
    against: frozenset[str] = frozenset()
    classes: tuple[str, ...] = ()
    affine: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    tolerated: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    liked: FloatArray = field(default_factory=lambda: np.zeros(0))
    disliked: FloatArray = field(default_factory=lambda: np.zeros(0))
    _not_meant: set[int] = field(default_factory=set)
    _unjudged: list[int] = field(default_factory=list)
    _seen: int = -1
    _checks: tuple[filters.StaticFilter, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._checks = filters.checks_with(self.added.requiredDuringSchedulingIgnoredDuringExecution)

    def is_fresh(self, state: ClusterState) -> bool:
        """Whether the verdicts are those of the nodes as they are now."""
        return not self._unjudged and self._seen == len(state.node_changes)

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
        self.against = frozenset(filter(None, self.reasons))
        classes = {node.node_class for node in state.by_slot.values()}
        admitted = {node.node_class for slot, node in state.by_slot.items() if slot not in self._not_meant}
        self.classes = tuple(sorted(admitted)) if admitted < classes else ()
        return True

    def _note_changes(self, state: ClusterState) -> None:
        if self._seen == len(state.node_changes):
            return
        width = len(state.fleet)
        extra = width - len(self.allowed)
        if extra > 0:
            self.allowed = np.pad(self.allowed, (0, extra))
            self.liked, self.disliked = (np.pad(weights, (0, extra)) for weights in (self.liked, self.disliked))
            self.affine, self.tolerated = (np.pad(mask, (0, extra)) for mask in (self.affine, self.tolerated))
            self.reasons.extend([None] * extra)
        changed = state.node_changes.since(self._seen)
        slots = set(range(width)) if changed is None else {*changed, *self._unjudged}
        self._unjudged = sorted(slots, reverse=True)
        self._seen = len(state.node_changes)

    def _judge(self, slot: int, node: NodeInfo | None) -> None:
        reason, is_meant = ("", True) if node is None else filters.judge(self.sample, node, self._checks)
        self.reasons[slot] = reason
        self.allowed[slot] = reason is None
        self._not_meant.discard(slot)
        self.liked[slot] = self.disliked[slot] = 0.0
        if node is None:
            return
        if not is_meant:
            self._not_meant.add(slot)
        self.affine[slot] = reason is None or node_affinity.check(self.sample, node) is None
        self.tolerated[slot] = reason is None or taints.check(self.sample, node) is None
        affinity = self.sample.spec.affinity
        if affinity and affinity.nodeAffinity and affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution:
            self.liked[slot] = node_affinity.preference(self.sample, node)
        if self.added.preferredDuringSchedulingIgnoredDuringExecution:
            self.liked[slot] += node_affinity.liking(self.added, node)
        if node.taints:
            self.disliked[slot] = taints.disliked(self.sample, node)
