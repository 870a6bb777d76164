"""One scheduling cycle: class -> feasible nodes -> RTS or round-robin -> place, defer, or fail with reasons.

This module reads as the algorithm. It decides and changes nothing: the caller acts on what is returned.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from cloudai_rts.arrays import BoolArray
from cloudai_rts.load_history import LoadHistory
from cloudai_rts.placement import Candidates, Deferred, Placed, Policy, place
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters import (
    closed,
    host_ports,
    inter_pod_affinity,
    node_affinity,
    node_declared_features,
    pod_topology_spread,
    resources,
)
from cloudai_scheduler.podclass import PodClass
from cloudai_scheduler.queue import QueuedPod


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


Masks = dict[str, BoolArray]
"""Nodes that pass a filter, by its reason against the others; in upstream's order."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What the filters said: nodes that passed all of them, and those that passed all but free resources.

    `before` and `after` are the filters on either side of free resources that have something to say.
    """

    feasible: BoolArray
    possible: BoolArray
    before: Masks
    after: Masks

    def is_for_all(self) -> bool:
        """Whether all pods of the class hear the same: refusals and others' anti-affinity are about single ones."""
        return not {closed.REASON, inter_pod_affinity.EXISTING_REASON} & self.after.keys()

    def heeds_neighbours(self) -> bool:
        """Whether other pods have a say in it."""
        return bool(self.after.keys() - {closed.REASON})


def decide(around: Surroundings, entry: QueuedPod, now: float) -> Outcome:
    """Find the node for one pod, whose class is up to date. `now` in seconds since the epoch."""
    state, pod_class = around.state, entry.pod_class
    if entry.message and pod_class.has_failed(state):
        return Unschedulable(entry.message)  # nothing was freed since another pod of this class found no node
    walked = walk(around, entry, now)
    feasible = closed.unavoided(state, around.rejections, entry.owner, entry.avoided, walked.feasible, now)
    if not feasible.any():
        pod_class.note_failure(state, walked.is_for_all(), walked.heeds_neighbours())
        return Unschedulable(fit_error(len(state.nodes), count_reasons(state, entry, walked)))
    candidates = Candidates(
        feasible=feasible,
        eligible=walked.possible & state.fleet.could_fit(pod_class.amounts),
        harm=state.harm.values(state.fleet, around.policy.document, now),
        typical_load=around.loads.typical(state.fleet),
        preference=pod_class.preference,
    )
    return place(around.policy, entry.task, pod_class.amounts, candidates, now, entry.deferred_until)


def walk(around: Surroundings, entry: QueuedPod, now: float) -> Walk:
    """Pass the nodes through all filters."""
    state, pod_class = around.state, entry.pod_class
    before, after = _before_resources(state, entry), _after_resources(around, entry, now)
    possible = pod_class.allowed & state.fleet.present
    for mask in (*before.values(), *after.values()):
        possible &= mask
    return Walk(possible & state.fleet.fits(pod_class.amounts), possible, before, after)


def _before_resources(state: ClusterState, entry: QueuedPod) -> Masks:
    ports = host_ports.free(state, entry.pod_class.ports)
    return {} if ports is None else {host_ports.REASON: ports}


def _after_resources(around: Surroundings, entry: QueuedPod, now: float) -> Masks:
    """What other pods, and refusals of kubelets, say of each node."""
    state, pod_class = around.state, entry.pod_class
    masks: dict[str, BoolArray | None] = {}
    if pod_class.spread:
        passing, lacking = pod_topology_spread.verdicts(pod_class.spread, state, pod_class.inclusion)
        masks[pod_topology_spread.MISSING_REASON] = ~lacking
        masks[pod_topology_spread.REASON] = passing
    masks[inter_pod_affinity.AFFINITY_REASON] = inter_pod_affinity.near(pod_class.wishes, state)
    masks[inter_pod_affinity.ANTI_AFFINITY_REASON] = inter_pod_affinity.apart(pod_class.wishes, state)
    masks[inter_pod_affinity.EXISTING_REASON] = inter_pod_affinity.welcome(entry.pod, state)
    masks[node_declared_features.REASON] = node_declared_features.declaring(pod_class.features, state)
    namespace = entry.pod.metadata.namespace
    masks[closed.REASON] = closed.open_nodes(state, around.rejections, set(pod_class.amounts), namespace, now)
    return {reason: mask for reason, mask in masks.items() if mask is not None}


def count_reasons(state: ClusterState, entry: QueuedPod, walked: Walk) -> Counter[str]:
    """Count the nodes that did not pass by the first filter against them; one may lack several resources."""
    pod_class = entry.pod_class
    counts: Counter[str] = Counter()
    for node in state.nodes.values():
        reason = pod_class.reasons[node.slot]
        if reason:
            counts[reason] += 1
    possible = pod_class.allowed & state.fleet.present
    for reason, mask in walked.before.items():
        counts[reason] += int(np.count_nonzero(possible & ~mask))
        possible &= mask
    counts.update(resources.shortages(state.fleet, pod_class.amounts, possible))
    possible &= state.fleet.fits(pod_class.amounts)
    for reason, mask in walked.after.items():
        counts[reason] += int(np.count_nonzero(possible & ~mask))
        possible &= mask
    return counts


def fit_error(nodes: int, counts: Counter[str]) -> str:
    """Write upstream's FitError text."""
    if not nodes:
        return "no nodes available to schedule pods"
    if counts.get(node_affinity.CONFLICT_REASON):  # about the pod itself, so upstream counts no nodes
        return f"0/{nodes} nodes are available: {node_affinity.CONFLICT_REASON}."
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
