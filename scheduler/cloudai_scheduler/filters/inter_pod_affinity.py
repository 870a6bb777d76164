"""InterPodAffinity: pods that must be near others, pods that must not, and those that do not want this one near.

Upstream: kube-scheduler 1.37 `plugins/interpodaffinity`. Affinity needs, for each term, a pod in the node's domain that
matches *all* terms; where there is none in the cluster and the pod matches its own terms, it may be the first.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_kube.demand import Demand
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray, IntArray
from cloudai_scheduler.cluster import domains
from cloudai_scheduler.cluster.selector import Labels, Selection, Term, term
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters.base import Filter, View

AFFINITY_REASON: Final = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY_REASON: Final = "node(s) didn't match pod anti-affinity rules"
EXISTING_REASON: Final = "node(s) didn't satisfy existing pods anti-affinity rules"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a pod requires of its neighbours, and who it is itself: it may be the first of a series."""

    namespace: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    near: tuple[Term, ...] = ()
    apart: tuple[Term, ...] = ()

    def selections(self) -> tuple[Selection, ...]:
        """Pods whose coming and going may change the verdict."""
        near = (Selection(tuple(wish.scope for wish in self.near)),) if self.near else ()
        return (*near, *(Selection((wish.scope,)) for wish in self.apart))

    def are_met_by_itself(self, namespace_labels: Labels) -> bool:
        """Whether the pod matches its own affinity terms."""
        labels = dict(self.labels)
        return all(
            wish.scope.covers(self.namespace, namespace_labels) and wish.scope.of_pods.matches(labels)
            for wish in self.near
        )


NONE: Final = Wishes()
"""A pod that requires nothing of others."""


class InterPodAffinity(Filter[Wishes]):
    """Nodes near the pods that must be near, and away from those that must not."""

    name = "InterPodAffinity"

    def asks(self, pod: Pod, demand: Demand) -> Wishes:  # noqa: ARG002  one signature for all
        """Even a pod without wishes may not be welcome."""
        return wishes_of(pod)

    def is_about_single_pods(self, ask: Wishes) -> bool:
        """Others look at the pod's labels, which are part of what it asks only where it has wishes itself."""
        return ask is NONE

    def passing(self, ask: Wishes, view: View) -> BoolArray | None:
        """Slots that satisfy the pod, and the others."""
        masks = [mask for mask in _parts(ask, view).values() if mask is not None]
        return np.logical_and.reduce(masks) if masks else None

    def reasons(self, ask: Wishes, view: View, excluded: BoolArray) -> Counter[str]:
        """The first of the three parts that is against a node is its reason."""
        counts: Counter[str] = Counter()
        for reason, mask in _parts(ask, view).items():
            if mask is not None:
                counts[reason] += int(np.count_nonzero(excluded & ~mask))
                excluded = excluded & mask
        return counts

    def helped_by_eviction(self, ask: Wishes, view: View) -> BoolArray:
        """A pod that is missed does not come because another one goes."""
        mask = near(ask, view.state)
        return ~_none(view.state) if mask is None else mask

    def mark(self, ask: Wishes, state: ClusterState) -> tuple[int, ...]:
        """Pods that it looks for, pods that reject others, and domains with their nodes come and go."""
        seen = (state.neighbours.rejecting_version, len(state.node_changes))
        return (*state.neighbours.mark(ask.selections()), *seen)


def _parts(wishes: Wishes, view: View) -> dict[str, BoolArray | None]:
    return {
        AFFINITY_REASON: near(wishes, view.state),
        ANTI_AFFINITY_REASON: apart(wishes, view.state),
        EXISTING_REASON: welcome(view.pod, view.state),
    }


def wishes_of(pod: Pod) -> Wishes:
    """The required terms of a pod."""
    meta, affinity = pod.metadata, pod.spec.affinity
    if affinity is None:
        return NONE
    near, apart = (
        tuple(term(wish, meta.namespace) for wish in side.requiredDuringSchedulingIgnoredDuringExecution)
        if side
        else ()
        for side in (affinity.podAffinity, affinity.podAntiAffinity)
    )
    if not near and not apart:
        return NONE
    return Wishes(meta.namespace, tuple(sorted(meta.labels.items())), near, apart)


def near(wishes: Wishes, state: ClusterState) -> BoolArray | None:
    """Slots that satisfy the affinity terms; None without any."""
    if not wishes.near:
        return None
    counts = state.neighbours.counts(wishes.selections()[0], len(state.fleet))
    mask = _none(state)
    mask[:] = True
    occupied = False
    places = [state.domain_of(wish.topology_key) for wish in wishes.near]
    for place in places:
        mask &= place != domains.NONE
    has_label = mask.copy()
    for place in places:
        in_domain = by_domain(place, counts)
        occupied = occupied or bool((in_domain > 0).any())
        mask &= in_domain > 0
    may_be_first = not occupied and wishes.are_met_by_itself(state.neighbours.labels_of(wishes.namespace))
    return has_label if may_be_first else mask


def apart(wishes: Wishes, state: ClusterState) -> BoolArray | None:
    """Slots that satisfy the pod's own anti-affinity terms; None without any."""
    if not wishes.apart:
        return None
    mask = ~_none(state)
    for wish in wishes.apart:
        counts = state.neighbours.counts(Selection((wish.scope,)), len(state.fleet))
        mask &= by_domain(state.domain_of(wish.topology_key), counts) == 0
    return mask


def welcome(pod: Pod, state: ClusterState) -> BoolArray | None:
    """Slots where no pod's anti-affinity is against this one; None where no pod's is anywhere."""
    rejecting = state.neighbours.rejecting(pod.metadata.namespace, pod.metadata.labels)
    if not rejecting:
        return None
    mask = ~_none(state)
    by_key: dict[str, IntArray] = {}
    for key, slots in rejecting:
        counts = by_key.setdefault(key, np.zeros(len(state.fleet), np.int64))
        counts[[slot for slot in slots if slot < len(counts)]] = 1
    for key, counts in by_key.items():
        mask &= by_domain(state.domain_of(key), counts) == 0
    return mask


def by_domain(place: IntArray, counts: IntArray) -> IntArray:
    """For each slot the sum over its domain; 0 where it is in none."""
    sums = np.zeros(int(place.max(initial=domains.NONE)) + 2, np.int64)  # the last one is of those in no domain
    np.add.at(sums, place, counts)
    sums[-1] = 0
    return sums[place]


def _none(state: ClusterState) -> BoolArray:
    return np.zeros(len(state.fleet), np.bool_)
