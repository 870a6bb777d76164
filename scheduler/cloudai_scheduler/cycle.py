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
from cloudai_scheduler.filters import closed, host_ports, node_affinity, resources
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


def decide(around: Surroundings, entry: QueuedPod, now: float) -> Outcome:
    """Find the node for one pod, whose class is up to date. `now` in seconds since the epoch."""
    state, pod_class = around.state, entry.pod_class
    if pod_class.failed_version == state.version and entry.message:
        return Unschedulable(entry.message)  # nothing was freed since another pod of this class found no node
    possible, closed_mask = _possible(around, entry, now)
    feasible = possible & state.fleet.fits(pod_class.amounts)
    feasible = closed.unavoided(state, around.rejections, entry.owner, entry.avoided, feasible, now)
    if not feasible.any():
        if closed_mask is None:  # else others of the class may still go where this pod must not
            pod_class.failed_version = state.version
        return Unschedulable(_why_not(around, entry, now))
    candidates = Candidates(
        feasible=feasible,
        eligible=possible & state.fleet.could_fit(pod_class.amounts),
        harm=state.harm.values(state.fleet, around.policy.document, now),
        typical_load=around.loads.typical(state.fleet),
        preference=pod_class.preference,
    )
    return place(around.policy, entry.task, pod_class.amounts, candidates, now, entry.deferred_until)


def _possible(around: Surroundings, entry: QueuedPod, now: float) -> tuple[BoolArray, BoolArray | None]:
    """Nodes that pass every filter but free resources, and the mask of open nodes where some are closed."""
    state, pod_class = around.state, entry.pod_class
    possible = pod_class.allowed & state.fleet.present
    ports = host_ports.free(state, pod_class.ports)
    if ports is not None:
        possible &= ports
    namespace = entry.pod.metadata.namespace
    open_mask = closed.open_nodes(state, around.rejections, set(pod_class.amounts), namespace, now)
    if open_mask is not None:
        possible &= open_mask
    return possible, open_mask


def _why_not(around: Surroundings, entry: QueuedPod, now: float) -> str:
    """`0/N nodes are available: <count> <reason>, ...` with the reasons sorted as text, as upstream writes it."""
    state, pod_class = around.state, entry.pod_class
    counts: Counter[str] = Counter()
    for node in state.nodes.values():
        reason = pod_class.reasons[node.slot]
        if reason:
            counts[reason] += 1
    possible = pod_class.allowed & state.fleet.present
    ports = host_ports.free(state, pod_class.ports)
    if ports is not None:
        counts[host_ports.REASON] += int(np.count_nonzero(possible & ~ports))
        possible &= ports
    counts.update(resources.shortages(state.fleet, pod_class.amounts, possible))
    possible &= state.fleet.fits(pod_class.amounts)
    namespace = entry.pod.metadata.namespace
    open_mask = closed.open_nodes(state, around.rejections, set(pod_class.amounts), namespace, now)
    if open_mask is not None:
        counts[closed.REASON] += int(np.count_nonzero(possible & ~open_mask))
    return fit_error(len(state.nodes), counts)


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
