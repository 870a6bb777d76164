"""PodTopologySpread: pods of a selection may differ between domains by `maxSkew` at most (DoNotSchedule).

Upstream: kube-scheduler 1.37 `plugins/podtopologyspread`. Counted are the nodes that have all the keys and pass the
inclusion policies; a domain that none of them is in counts 0; with fewer domains than `minDomains` the least is 0.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_kube.demand import Demand
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.domains import NONE
from cloudai_scheduler.cluster.selector import NOTHING, Scope, Selection, matcher
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters.base import Filter, View

REASON: Final = "node(s) didn't match pod topology spread constraints"
MISSING_REASON: Final = f"{REASON} (missing required label)"
HARD: Final = "DoNotSchedule"


@dataclass(frozen=True, slots=True)
class Constraint:
    """One hard constraint of a pod. `selection` None: an empty selector, which counts nothing (as upstream has it)."""

    key: str
    max_skew: int
    min_domains: int
    selection: Selection | None
    matches_itself: bool
    honours_affinity: bool
    honours_taints: bool


class PodTopologySpread(Filter[tuple[Constraint, ...]]):
    """Nodes on which no constraint is broken."""

    name = "PodTopologySpread"
    reason = REASON

    def asks(self, pod: Pod, demand: Demand) -> tuple[Constraint, ...] | None:  # noqa: ARG002  one signature for all
        """The hard constraints of a pod."""
        constraints = tuple(
            constraint_of(pod, place)
            for place, wish in enumerate(pod.spec.topologySpreadConstraints)
            if wish.whenUnsatisfiable == HARD
        )
        return constraints or None

    def passing(self, ask: tuple[Constraint, ...], view: View) -> BoolArray:
        """Slots that pass all constraints."""
        return verdicts(ask, view)[0]

    def reasons(self, ask: tuple[Constraint, ...], view: View, excluded: BoolArray) -> Counter[str]:
        """Nodes that lack a label are told apart."""
        lacking = int(np.count_nonzero(excluded & verdicts(ask, view)[1]))
        return Counter({MISSING_REASON: lacking, REASON: int(np.count_nonzero(excluded)) - lacking})

    def helped_by_eviction(self, ask: tuple[Constraint, ...], view: View) -> BoolArray:
        """No eviction gives a node a label."""
        return ~verdicts(ask, view)[1]

    def mark(self, ask: tuple[Constraint, ...], state: ClusterState) -> tuple[int, ...]:
        """Pods of its selections come and go, and domains with their nodes."""
        selections = tuple(constraint.selection for constraint in ask if constraint.selection is not None)
        return (*state.neighbours.mark(selections), len(state.node_changes))


def constraint_of(pod: Pod, place: int) -> Constraint:
    """One of the pod's constraints, hard or soft, by its place among them."""
    wish, meta = pod.spec.topologySpreadConstraints[place], pod.metadata
    own = {key: meta.labels[key] for key in wish.matchLabelKeys if key in meta.labels}
    of_pods = matcher(wish.labelSelector, own)
    scope = Scope(frozenset((meta.namespace,)), NOTHING, of_pods)
    return Constraint(
        key=wish.topologyKey,
        max_skew=wish.maxSkew,
        min_domains=wish.minDomains or 1,
        selection=None if of_pods.tests == () else Selection((scope,), without_terminating=True),
        matches_itself=of_pods.matches(meta.labels),
        honours_affinity=wish.nodeAffinityPolicy != "Ignore",
        honours_taints=wish.nodeTaintsPolicy == "Honor",
    )


def verdicts(constraints: tuple[Constraint, ...], view: View) -> tuple[BoolArray, BoolArray]:
    """Which slots pass all constraints; and which of the others fail because they lack a label, and nothing before."""
    state, width = view.state, len(view.state.fleet)
    places = [state.domain_of(constraint.key) for constraint in constraints]
    has_all: BoolArray = state.fleet.present & np.logical_and.reduce([place != NONE for place in places])
    passing: BoolArray = np.ones(width, np.bool_)
    lacking: BoolArray = np.zeros(width, np.bool_)
    for constraint, place in zip(constraints, places, strict=True):
        lacking |= passing & (place == NONE)
        passing &= place != NONE
        included = has_all
        if constraint.honours_affinity:
            included = included & view.affine
        if constraint.honours_taints:
            included = included & view.tolerated
        if not included.any():
            continue  # nothing is counted, and upstream's least is then the greatest number
        domains = int(place.max()) + 1
        counted = np.zeros(domains, np.int64)
        if constraint.selection is not None:
            counts = state.neighbours.counts(constraint.selection, width)
            np.add.at(counted, place[included], counts[included])
        exists = np.bincount(place[included], minlength=domains) > 0
        least = 0 if np.count_nonzero(exists) < constraint.min_domains else int(counted[exists].min())
        passing &= counted[place] + constraint.matches_itself - least <= constraint.max_skew
    return passing, lacking
