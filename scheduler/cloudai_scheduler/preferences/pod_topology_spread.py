"""PodTopologySpread: domains with fewer pods of the same kind (ScheduleAnyway, or what every pod gets by default).

Upstream: kube-scheduler 1.37 `plugins/podtopologyspread/scoring.go`. By default pods of the same Services and the same
controller are spread over hosts and zones.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_scheduler.cluster.domains import NONE
from cloudai_scheduler.cluster.resource_scores import BEST
from cloudai_scheduler.cluster.selector import NOTHING, Scope, Selection
from cloudai_scheduler.filters.pod_topology_spread import HARD, Constraint, constraint_of
from cloudai_scheduler.preferences.base import Choice, Preference

HOST: Final = "kubernetes.io/hostname"
ZONE: Final = "topology.kubernetes.io/zone"
BY_DEFAULT: Final = ((HOST, 3), (ZONE, 5))
"""Keys and skews of the system's default constraints."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Soft constraints of a pod. `needs_all`: nodes without one of the labels are not scored."""

    constraints: tuple[Constraint, ...]
    needs_all: bool = True


NO_SPREAD: Final = Spread(())
SYSTEM: Final = Spread((), needs_all=False)
"""The pod says nothing: what belongs together is looked up when it is placed."""


class PodTopologySpread(Preference[Spread]):
    """The fewer pods of the selection in a node's domains, the better; large domains are not watered down."""

    name = "PodTopologySpread"
    weight = 2

    def asks(self, pod: Pod) -> Spread | None:
        """The pod's own soft constraints; the default ones only if it has none of either kind."""
        wishes = pod.spec.topologySpreadConstraints
        if wishes:
            soft = tuple(
                constraint_of(pod, place) for place, wish in enumerate(wishes) if wish.whenUnsatisfiable != HARD
            )
            return Spread(soft) if soft else None
        return SYSTEM

    def scores(self, ask: Spread, choice: Choice) -> IntArray | None:
        """From the pods counted in each domain."""
        if ask is SYSTEM:
            ask = _by_default(choice)
        if not ask.constraints:
            return None
        state, slots = choice.view.state, choice.slots
        places = [state.domain_of(constraint.key) for constraint in ask.constraints]
        has_all: BoolArray = np.logical_and.reduce([place != NONE for place in places])
        ignored = ~has_all[slots] if ask.needs_all else np.zeros(len(slots), np.bool_)
        sums: FloatArray = np.zeros(len(slots), np.float64)
        scored = slots[~ignored]
        for constraint, place in zip(ask.constraints, places, strict=True):
            counts = _counted(constraint, choice, has_all if ask.needs_all else None, place)
            domains = len(scored) if constraint.key == HOST else np.count_nonzero(np.bincount(place[scored] - NONE))
            weight = math.log(domains + 2)
            sums += np.where(place[slots] != NONE, counts * weight + (constraint.max_skew - 1), 0.0)
        raw = np.asarray(_rounded(sums), np.int64)
        kept = raw[~ignored]
        most, least = int(kept.max(initial=0)), int(kept.min(initial=np.iinfo(np.int64).max))
        scores = np.full(len(slots), BEST, np.int64) if most == 0 else BEST * (most + least - raw) // most
        return np.where(ignored, 0, scores)


def _counted(constraint: Constraint, choice: Choice, has_all: BoolArray | None, place: IntArray) -> IntArray:
    """Pods of the selection in the domain of each slot."""
    view, slots = choice.view, choice.slots
    width = len(view.state.fleet)
    if constraint.selection is None:
        return np.zeros(len(slots), np.int64)
    counts = view.state.neighbours.counts(constraint.selection, width)
    if constraint.key == HOST:  # each by itself, whatever the policies say
        return counts[slots]
    included = view.state.fleet.present.copy()
    if has_all is not None:
        included &= has_all
    if constraint.honours_affinity:
        included &= view.affine
    if constraint.honours_taints:
        included &= view.tolerated
    sums = np.zeros(int(place.max(initial=NONE)) + 2, np.int64)
    np.add.at(sums, place[included], counts[included])
    return sums[place[slots]]


def _rounded(values: FloatArray) -> FloatArray:
    """Half away from zero, as Go rounds."""
    return np.floor(values + 0.5)


def _by_default(choice: Choice) -> Spread:
    """The system's constraints over the pods that belong together with this one; without such pods there are none."""
    view = choice.view
    companions = view.state.workloads.companions(view.pod)
    if companions is None:
        return NO_SPREAD
    scope = Scope(frozenset((view.pod.metadata.namespace,)), NOTHING, companions)
    selection = Selection((scope,), without_terminating=True)
    constraints = tuple(
        Constraint(key, skew, 1, selection, matches_itself=True, honours_affinity=True, honours_taints=False)
        for key, skew in BY_DEFAULT
    )
    return Spread(constraints, needs_all=False)
