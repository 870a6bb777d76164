"""Pods on nodes as other pods see them: by namespace, labels and anti-affinity, counted by slot.

Counts of a selection are kept once somebody has asked for them, and brought up to date by every pod that comes or goes:
they are never counted again. Pods of one controller have equal labels, so a new selection looks at each set of labels
once. `version` grows with every change, that of a kept selection with those that concern it, `rejecting_version` with
those of pods whose anti-affinity is against others.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np

from cloudai_kube.objects import Pod, PodAffinity
from cloudai_rts.arrays import IntArray
from cloudai_scheduler.cluster.aimed_terms import AimedTerms
from cloudai_scheduler.cluster.selector import (
    Labels,
    Selection,
    Term,
    Weighted,
    affordable,
    size_of_term,
    size_of_wish,
    term,
)

KEPT_SELECTIONS: Final = 512
REQUIRED_WEIGHT: Final = 1
"""What a required affinity term of a pod that is there already weighs for others (upstream's hardPodAffinityWeight)."""
_NO_WISH: Final = PodAffinity()
_NO_LABELS: Final[Labels] = {}
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What other pods see of one. `key` are its sorted labels."""

    namespace: str
    key: tuple[tuple[str, str], ...]
    terminating: bool = False
    rejects: tuple[Term, ...] = ()
    attracts: tuple[Weighted, ...] = ()

    @classmethod
    def of(cls, pod: Pod) -> "Neighbour":
        """Read a pod."""
        meta, affinity = pod.metadata, pod.spec.affinity
        key, is_leaving = tuple(sorted(meta.labels.items())), meta.deletionTimestamp is not None
        if affinity is None or not (affinity.podAffinity or affinity.podAntiAffinity):
            return cls(meta.namespace, key, is_leaving)
        near, apart = affinity.podAffinity or _NO_WISH, affinity.podAntiAffinity or _NO_WISH
        against = affordable(apart.requiredDuringSchedulingIgnoredDuringExecution, size_of_term)
        rejects = tuple(term(wish, meta.namespace) for wish in against)
        required = affordable(near.requiredDuringSchedulingIgnoredDuringExecution, size_of_term)
        attracts = [Weighted(term(wish, meta.namespace), REQUIRED_WEIGHT) for wish in required]
        for side, sign in ((near, 1), (apart, -1)):
            preferred = affordable(side.preferredDuringSchedulingIgnoredDuringExecution, size_of_wish)
            attracts += [Weighted(term(wish.podAffinityTerm, meta.namespace), sign * wish.weight) for wish in preferred]
        return cls(meta.namespace, key, is_leaving, rejects, tuple(attracts))


@dataclass(slots=True)
class _Kept:
    """Pods of a selection by slot. `namespaces`: no others can have any; None where labels of namespaces decide."""

    counts: IntArray
    version: int
    namespaces: frozenset[str] | None


@dataclass(slots=True)
class Neighbours:
    """All pods on nodes that exist. During a trial no version grows: everything is taken back."""

    is_trial: bool = False
    version: int = 0
    rejecting_version: int = 0
    namespaces: dict[str, Labels] = field(default_factory=dict)
    _sets: dict[str, dict[tuple[tuple[tuple[str, str], ...], bool], Counter[int]]] = field(default_factory=dict)
    _rejecting: AimedTerms[Term] = field(default_factory=AimedTerms)
    _attracting: AimedTerms[Weighted] = field(default_factory=AimedTerms)
    _kept: OrderedDict[Selection, _Kept] = field(default_factory=OrderedDict)

    def occupy(self, slot: int, neighbour: Neighbour, sign: int = 1) -> None:
        """Count a pod on a node (`sign=-1`: take it back)."""
        if not self.is_trial:
            self.version += 1
        group = self._sets.setdefault(neighbour.namespace, {})
        _count(group, (neighbour.key, neighbour.terminating), slot, sign)
        if not group:
            del self._sets[neighbour.namespace]
        if neighbour.rejects and not self.is_trial:
            self.rejecting_version = self.version
        for aimed in neighbour.rejects:
            self._rejecting.occupy(aimed, slot, sign)
        for wish in neighbour.attracts:
            self._attracting.occupy(wish, slot, sign)
        labels = dict(neighbour.key)
        for selection, kept in self._kept.items():
            if kept.namespaces is not None and neighbour.namespace not in kept.namespaces:
                continue  # one tenant's selections cost another's pods nothing
            if self._is_in(selection, neighbour.namespace, labels, neighbour.terminating):
                kept.counts = _wide(kept.counts, slot + 1)
                kept.counts[slot] += sign
                if not self.is_trial:
                    kept.version = self.version

    @property
    def tally(self) -> Mapping[str, Mapping[tuple[tuple[tuple[str, str], ...], bool], Mapping[int, int]]]:
        """By namespace, and by labels and whether they are on their way out: pods by slot."""
        return self._sets

    def put_namespace(self, name: str, labels: Labels | None) -> None:
        """Take the labels of a namespace, None where it is gone."""
        if self.namespaces.get(name) == labels:
            return
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels
        self.version += 1
        self.rejecting_version = self.version
        for selection in [selection for selection in self._kept if selection.reads_namespaces]:
            del self._kept[selection]

    def labels_of(self, namespace: str) -> Labels:
        """Labels of a namespace."""
        return self.namespaces.get(namespace, _NO_LABELS)

    def counts(self, selection: Selection, width: int) -> IntArray:
        """How many pods of a selection are on each of the first `width` slots."""
        kept = self._keep(selection)
        kept.counts = _wide(kept.counts, width)
        return kept.counts[:width]

    def mark(self, selections: tuple[Selection, ...]) -> tuple[int, ...]:
        """Something that changes when pods of these selections come or go."""
        return tuple(self._keep(selection).version for selection in selections)

    def rejecting(self, namespace: str, labels: Labels) -> list[tuple[str, Counter[int]]]:
        """Topology keys and slots of pods whose anti-affinity is against a pod with these labels."""
        terms = self._rejecting.about(namespace, self.labels_of(namespace), labels)
        return [(wish.topology_key, slots) for wish, slots in terms]

    def attracting(self, namespace: str, labels: Labels) -> list[tuple[str, int, Counter[int]]]:
        """Topology keys, weights and slots of pods whose affinity is for or against a pod with these labels."""
        wishes = self._attracting.about(namespace, self.labels_of(namespace), labels)
        return [(wish.term.topology_key, wish.weight, slots) for wish, slots in wishes]

    def _keep(self, selection: Selection) -> _Kept:
        kept = self._kept.get(selection)
        if kept is None:
            kept = self._kept[selection] = _Kept(np.zeros(0, np.int64), self.version, selection.namespaces())
            self._count_all(selection, kept)
            if len(self._kept) > KEPT_SELECTIONS:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(selection)
        return kept

    def _count_all(self, selection: Selection, kept: _Kept) -> None:
        for namespace, group in self._sets.items():
            if not self._covers(selection, namespace):
                continue
            for (key, terminating), slots in group.items():
                if self._is_in(selection, namespace, dict(key), terminating):
                    kept.counts = _wide(kept.counts, max(slots) + 1)
                    for slot, count in slots.items():
                        kept.counts[slot] += count

    def _covers(self, selection: Selection, namespace: str) -> bool:
        labels = self.labels_of(namespace)
        return all(scope.covers(namespace, labels) for scope in selection.scopes)

    def _is_in(self, selection: Selection, namespace: str, labels: Labels, terminating: bool) -> bool:
        if terminating and selection.without_terminating:
            return False
        return self._covers(selection, namespace) and all(scope.of_pods.matches(labels) for scope in selection.scopes)


def _count(table: dict[_Key, Counter[int]], key: _Key, slot: int, sign: int) -> None:
    slots = table.setdefault(key, Counter())
    slots[slot] += sign
    if slots[slot] <= 0:
        del slots[slot]
    if not slots:
        del table[key]


def _wide(counts: IntArray, width: int) -> IntArray:
    return counts if len(counts) >= width else np.pad(counts, (0, width - len(counts)))
