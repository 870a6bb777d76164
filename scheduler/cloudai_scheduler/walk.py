"""All filters over all nodes: who may take a pod, who is out for which reason, and where evictions may help."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.trial import Trial
from cloudai_scheduler.filters import node_affinity
from cloudai_scheduler.filters.base import Filter, View
from cloudai_scheduler.podclass import PodClass

NOTHING_TO_FREE: Final = " not found"
"""What kube-scheduler 1.37 appends to a rejection that is about the pod itself: nobody could be evicted for it."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What one filter said of one pod: the slots that it leaves."""

    filter: Filter[Any]
    ask: Any
    passing: BoolArray


@dataclass(frozen=True, slots=True)
class Against:
    """The first filter that is against one node, and its reasons, each with a count of one."""

    filter: Filter[Any]
    ask: Any
    reasons: Mapping[str, int]
    may_help: bool
    """Whether evictions may help."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What the filters said: slots that passed all of them, and those that passed all but free room.

    `open` are slots that no static filter is against. `looked` are the filters that had something to say, in upstream's
    order. `yielding` are slots that passed, but whose room is kept for pods that are nominated for it. `rejection`: why
    no node is possible, whatever the nodes are like.
    """

    open: BoolArray
    feasible: BoolArray
    possible: BoolArray
    looked: tuple[Looked, ...]
    yielding: Mapping[int, Against]
    rejection: str | None = None

    def is_for_all(self) -> bool:
        """Whether all pods of the class hear the same."""
        return not self.yielding and not any(
            verdict.filter.is_about_single_pods(verdict.ask) for verdict in self.looked
        )

    def blamed(self) -> tuple[tuple[Filter[Any], Any], ...]:
        """Filters that were against a node which no static filter is against, with what they read of the pod."""
        return tuple(
            (verdict.filter, verdict.ask) for verdict in self.looked if bool((self.open & ~verdict.passing).any())
        )


def walk(view: View, pod_class: PodClass, lap: Callable[[str], None] | None = None) -> Walk:
    """Pass the nodes through all filters; `lap` hears of each that has spoken."""
    possible = pod_class.allowed & view.state.fleet.present
    for filter_, ask in pod_class.asks:
        rejection = filter_.rejects(ask, view)
        if rejection is not None:
            nowhere: BoolArray = np.zeros(len(possible), np.bool_)
            everywhere = ~nowhere
            return Walk(everywhere, nowhere, nowhere, (Looked(filter_, ask, nowhere),), {}, rejection)
    is_open, feasible = possible.copy(), possible.copy()
    looked: list[Looked] = []
    for filter_, ask in pod_class.asks:
        passing = filter_.passing(ask, view)
        if passing is None:
            continue
        looked.append(Looked(filter_, ask, passing))
        if lap is not None:
            lap(filter_.name)
        feasible &= passing
        if not filter_.is_about_room:
            possible &= passing
    yielding = _yielding(view, pod_class, feasible)
    if yielding:
        feasible[list(yielding)] = False
    return Walk(is_open, feasible, possible, tuple(looked), yielding)


def _yielding(view: View, pod_class: PodClass, feasible: BoolArray) -> dict[int, Against]:
    """Slots that would pass but for pods of equal or higher priority that are nominated for them."""
    against_by_slot: dict[int, Against] = {}
    state, pod = view.state, view.pod
    for node, rivals in state.nominations.before(pod.metadata.uid, pod.spec.priority).items():
        slot = state.fleet.slot(node)
        if slot is None or not feasible[slot]:
            continue
        with Trial(state) as trial:
            for rival in rivals:
                trial.place(slot, rival)
            against = blamed_at(view, pod_class, slot)
        if against is not None:
            against_by_slot[slot] = against
    return against_by_slot


def blamed_at(view: View, pod_class: PodClass, slot: int) -> Against | None:
    """The first filter that is against one node as it is now, or as it is in a trial."""
    for filter_, ask in pod_class.asks:
        if not filter_.passes_at(ask, view, slot):
            alone: BoolArray = np.zeros(len(view.state.fleet), np.bool_)
            alone[slot] = True
            reasons = {reason: 1 for reason, count in filter_.reasons(ask, view, alone).items() if count}
            return Against(filter_, ask, reasons, bool(filter_.helped_by_eviction(ask, view)[slot]))
    return None


def potential_slots(view: View, pod_class: PodClass, walked: Walk) -> BoolArray:
    """Slots whose first filter against the pod may pass once pods are gone."""
    potential: BoolArray = np.zeros(len(walked.feasible), np.bool_)
    if walked.rejection is not None:
        return potential
    left = pod_class.allowed & view.state.fleet.present
    for looked in walked.looked:
        excluded = left & ~looked.passing
        if excluded.any():
            potential |= excluded & looked.filter.helped_by_eviction(looked.ask, view)
            left &= looked.passing
    potential[[slot for slot, against in walked.yielding.items() if against.may_help]] = True
    return potential


def count_reasons(view: View, pod_class: PodClass, walked: Walk) -> Counter[str]:
    """Count the nodes that did not pass by the first filter against them; one may lack several resources."""
    counts: Counter[str] = Counter()
    for node in view.state.nodes.values():
        reason = pod_class.reasons[node.slot]
        if reason:
            counts[reason] += 1
    left = pod_class.allowed & view.state.fleet.present
    for looked in walked.looked:
        excluded = left & ~looked.passing
        if excluded.any():
            counts.update(looked.filter.reasons(looked.ask, view, excluded))
            left &= looked.passing
    for against in walked.yielding.values():
        counts.update(against.reasons)
    return counts


def fit_error(view: View, pod_class: PodClass, walked: Walk, more: Mapping[str, int] | None = None) -> str:
    """Write upstream's FitError text; `more` are nodes that are out for reasons of others."""
    nodes = len(view.state.nodes)
    if not nodes:
        return "no nodes available to schedule pods"
    about_pod = is_about_pod(view, pod_class, walked)
    if about_pod:  # upstream counts no nodes then
        return f"0/{nodes} nodes are available: {about_pod}.{NOTHING_TO_FREE}"
    counts = count_reasons(view, pod_class, walked)
    counts.update(more or {})
    return summary(nodes, counts)


def is_about_pod(view: View, pod_class: PodClass, walked: Walk) -> str | None:
    """Why no node is possible whatever the nodes are like; None if it is about nodes."""
    if any(pod_class.reasons[node.slot] == node_affinity.CONFLICT_REASON for node in view.state.nodes.values()):
        return node_affinity.CONFLICT_REASON
    return walked.rejection


def summary(nodes: int, counts: Mapping[str, int]) -> str:
    """Say for how many nodes which reason holds."""
    reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items() if count))
    return f"0/{nodes} nodes are available" + (f": {reasons}." if reasons else ".")
