"""One scheduling cycle: class -> feasible nodes -> RTS or round-robin -> place, defer, or fail with reasons.

This module reads as the algorithm. It decides and changes nothing: the caller acts on what is returned.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cloudai_rts.arrays import BoolArray
from cloudai_rts.load_history import LoadHistory
from cloudai_rts.placement import Candidates, Deferred, Placed, Policy, place
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters import closed, node_affinity
from cloudai_scheduler.filters.base import Filter, View
from cloudai_scheduler.podclass import PodClass
from cloudai_scheduler.queue import QueuedPod

NOTHING_TO_FREE: Final = " not found"
"""What kube-scheduler 1.37 appends to a rejection that is about the pod itself: nobody could be evicted for it."""


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """No node can take the pod now; the message has upstream's form, because people and autoscalers grep for it."""

    message: str


Outcome = Placed | Deferred | Unschedulable


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a cycle looks at."""

    state: ClusterState
    rejections: Rejections
    loads: LoadHistory
    policy: Policy


@dataclass(frozen=True, slots=True)
class Looked:
    """What one filter said of one pod: the slots that it leaves."""

    filter: Filter[Any]
    ask: Any
    passing: BoolArray


@dataclass(frozen=True, slots=True)
class Walk:
    """What the filters said: slots that passed all of them, and those that passed all but free room.

    `looked` are the filters that had something to say, in upstream's order. `rejection`: why no node is possible,
    whatever the nodes are like.
    """

    feasible: BoolArray
    possible: BoolArray
    looked: tuple[Looked, ...]
    rejection: str | None = None

    def is_for_all(self) -> bool:
        """Whether all pods of the class hear the same."""
        return not any(one.filter.is_about_single_pods(one.ask) for one in self.looked)

    def blamed(self) -> tuple[tuple[Filter[Any], Any], ...]:
        """Filters that may have kept the pod out, with what they read of it."""
        return tuple((one.filter, one.ask) for one in self.looked)


def decide(around: Surroundings, entry: QueuedPod, now: float) -> Outcome:
    """Find the node for one pod, whose class is up to date. `now` in seconds since the epoch."""
    state, pod_class = around.state, entry.pod_class
    if entry.message and pod_class.has_failed(state):
        return Unschedulable(entry.message)  # nothing was freed since another pod of this class found no node
    view = view_of(around, entry, now)
    walked = walk(view, pod_class)
    feasible = closed.unavoided(state, around.rejections, entry.owner, entry.avoided, walked.feasible, now)
    if not feasible.any():
        pod_class.note_failure(state, walked.blamed(), walked.is_for_all())
        return Unschedulable(fit_error(view, pod_class, walked))
    candidates = Candidates(
        feasible=feasible,
        eligible=walked.possible & state.fleet.could_fit(pod_class.amounts),
        harm=state.harm.values(state.fleet, around.policy.document, now),
        typical_load=around.loads.typical(state.fleet),
        preference=pod_class.preference,
    )
    return place(around.policy, entry.task, pod_class.amounts, candidates, now, entry.deferred_until)


def view_of(around: Surroundings, entry: QueuedPod, now: float) -> View:
    """What the filters look at for this pod."""
    verdicts = entry.pod_class.verdicts
    return View(around.state, around.rejections, entry.pod, verdicts.affine, verdicts.tolerated, now)


def walk(view: View, pod_class: PodClass) -> Walk:
    """Pass the nodes through all filters."""
    possible = pod_class.allowed & view.state.fleet.present
    for one, ask in pod_class.asks:
        rejection = one.rejects(ask, view)
        if rejection is not None:
            nowhere: BoolArray = np.zeros(len(possible), np.bool_)
            everywhere = Looked(one, ask, nowhere)
            return Walk(nowhere, nowhere, (everywhere,), rejection)
    feasible = possible.copy()
    looked: list[Looked] = []
    for one, ask in pod_class.asks:
        passing = one.passing(ask, view)
        if passing is None:
            continue
        looked.append(Looked(one, ask, passing))
        feasible &= passing
        if not one.is_about_room:
            possible &= passing
    return Walk(feasible, possible, tuple(looked))


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
    return counts


def fit_error(view: View, pod_class: PodClass, walked: Walk, more: Mapping[str, int] | None = None) -> str:
    """Write upstream's FitError text; `more` are nodes that are out for reasons of others."""
    nodes = len(view.state.nodes)
    if not nodes:
        return "no nodes available to schedule pods"
    counts = count_reasons(view, pod_class, walked)
    conflict = node_affinity.CONFLICT_REASON if counts.get(node_affinity.CONFLICT_REASON) else None
    about_pod = conflict or walked.rejection
    if about_pod:  # upstream counts no nodes then
        return f"0/{nodes} nodes are available: {about_pod}.{NOTHING_TO_FREE}"
    counts.update(more or {})
    reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items() if count))
    return f"0/{nodes} nodes are available" + (f": {reasons}." if reasons else ".")


def could_take(state: ClusterState, pod_class: PodClass, slot: int) -> bool:
    """Whether a changed node may take a pod of this class now: the hint that wakes waiting pods.

    True also where the class has not been judged yet: that is done in slices, when its pods have their turn.
    """
    if not pod_class.is_fresh(state):
        return True
    if slot >= len(pod_class.allowed) or not pod_class.allowed[slot]:
        return False
    return all(
        state.fleet.available(resource)[slot] >= amount for resource, amount in pod_class.amounts.items() if amount > 0
    )
