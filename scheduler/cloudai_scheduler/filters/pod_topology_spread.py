"""PodTopologySpread: pods of a selection may differ between domains by `maxSkew` at most (DoNotSchedule).

Upstream: kube-scheduler 1.37 `plugins/podtopologyspread`. Counted are the nodes that have all the keys and pass the
inclusion policies; a domain that none of them is in counts 0; with fewer domains than `minDomains` the least is 0.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.domains import NONE
from cloudai_scheduler.cluster.selector import NOTHING, Scope, Selection, matcher
from cloudai_scheduler.cluster.state import ClusterState

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


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Nodes that match the pod's own node affinity, and those whose taints it tolerates."""

    affine: BoolArray
    tolerated: BoolArray


def asks(pod: Pod) -> tuple[Constraint, ...]:
    """The hard constraints of a pod."""
    return tuple(
        _constraint(pod, place)
        for place, one in enumerate(pod.spec.topologySpreadConstraints)
        if one.whenUnsatisfiable == HARD
    )


def _constraint(pod: Pod, place: int) -> Constraint:
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


def verdicts(
    constraints: tuple[Constraint, ...], state: ClusterState, inclusion: Inclusion
) -> tuple[BoolArray, BoolArray]:
    """Which slots pass all constraints; and which of the others fail because they lack a label, and nothing before."""
    width = len(state.fleet)
    places = [state.domain_of(one.key) for one in constraints]
    has_all: BoolArray = state.fleet.present & np.logical_and.reduce([place != NONE for place in places])
    passing: BoolArray = np.ones(width, np.bool_)
    lacking: BoolArray = np.zeros(width, np.bool_)
    for one, place in zip(constraints, places, strict=True):
        lacking |= passing & (place == NONE)
        passing &= place != NONE
        included = has_all
        if one.honours_affinity:
            included = included & inclusion.affine
        if one.honours_taints:
            included = included & inclusion.tolerated
        if not included.any():
            continue  # nothing is counted, and upstream's least is then the greatest number
        domains = int(place.max()) + 1
        counted = np.zeros(domains, np.int64)
        if one.selection is not None:
            counts = state.neighbours.counts(one.selection, width)
            np.add.at(counted, place[included], counts[included])
        there = np.unique(place[included])
        least = 0 if len(there) < one.min_domains else int(counted[there].min())
        passing &= counted[place] + one.matches_itself - least <= one.max_skew
    return passing, lacking
