"""Chooses pods to evict for one of higher priority: none if there is another way, and as few as possible.

Upstream: kube-scheduler 1.37 `plugins/defaultpreemption` and `framework/preemption`. On each node where evictions may
help, all pods of lower priority are thought away; then they are taken back one by one, those that a
PodDisruptionBudget protects first, the more important ones first, as long as the pod still fits. Of the nodes the one
is chosen where the least is lost. Pure: nothing is evicted here.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_kube import moment
from cloudai_kube.objects import PodDisruptionBudget
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.selector import matcher
from cloudai_scheduler.cluster.state import PlacedPod
from cloudai_scheduler.cluster.trial import Trial
from cloudai_scheduler.filters.base import View
from cloudai_scheduler.podclass import PodClass
from cloudai_scheduler.walk import Walk, blamed_at, potential_slots, summary

NO_VICTIMS: Final = "No preemption victims found for incoming pod"
NOT_HELPFUL: Final = "Preemption is not helpful for scheduling"
NEVER: Final = "not eligible due to preemptionPolicy=Never."
TERMINATING: Final = "not eligible due to a terminating pod on the nominated node."
NOT_EXAMINED: Final = "Preemption not examined yet"
"""No words of upstream: deciding may not hold up everybody, so on a large cluster the rest has its turn next time."""
AGAIN_SECONDS, PROTECTED_SECONDS = 2.0, 30.0
"""A pod is looked at again after so long if not all nodes were examined, or if pods are protected for a time."""
_STRIDE: Final = 7919
"""A prime: each look begins somewhere else."""
LEAST_CANDIDATES: Final = 100
SHARE_OF_NODES: Final = 0.1
_OFFSET: Final = 1 << 31
"""Makes all priorities positive, so that few pods of a negative one are not worse than many."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node and the pods that would have to leave it, the most important one first. `violations` of budgets."""

    slot: int
    victims: tuple[PlacedPod, ...]
    violations: int


@dataclass(frozen=True, slots=True)
class Preemption:
    """What to do for a pod that fits nowhere, and what kube-scheduler says then.

    `keeps_nomination`: it goes on waiting for the node that it is nominated for. `look_again_seconds`: not all nodes
    were examined, or pods are protected for a time.
    """

    text: str
    candidate: Candidate | None = None
    keeps_nomination: bool = False
    look_again_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class EvictionRules:
    """Pods of lower priority that have run so long (seconds) may be evicted."""

    min_runtime_seconds: float = 0.0


def preempt(
    view: View, pod_class: PodClass, walked: Walk, rules: EvictionRules, may_go_on: Callable[[], bool] = lambda: True
) -> Preemption:
    """Find the evictions that make room for a pod that no node can take. `may_go_on` tells when it has to end."""
    state, pod = view.state, view.pod
    if pod.spec.preemptionPolicy == "Never":
        return Preemption(NEVER)
    potential = potential_slots(view, pod_class, walked)
    if _is_waiting_for_room(view, potential):
        return Preemption(TERMINATING, keeps_nomination=True)
    slots = [int(slot) for slot in np.flatnonzero(potential)]
    statuses: Counter[str] = Counter()
    if min(state.priorities, default=pod.spec.priority) >= pod.spec.priority:
        candidates: list[Candidate] = []  # nowhere is anybody to evict
        statuses[NO_VICTIMS] = len(slots)
    else:
        candidates = _candidates(view, pod_class, slots, rules, may_go_on, statuses)
    if candidates:
        best = min(candidates, key=lambda candidate: _badness(candidate, view.now))
        node = state.by_slot[best.slot].name
        text = f"found a potential placement for pod on node {node}, preempting {len(best.victims)} victims"
        return Preemption(text, best)
    statuses[NOT_HELPFUL] = len(state.nodes) - len(slots)
    again = AGAIN_SECONDS if statuses[NOT_EXAMINED] else PROTECTED_SECONDS if rules.min_runtime_seconds else None
    return Preemption(summary(len(state.nodes), statuses), look_again_seconds=again)


def _candidates(
    view: View,
    pod_class: PodClass,
    slots: list[int],
    rules: EvictionRules,
    may_go_on: Callable[[], bool],
    statuses: Counter[str],
) -> list[Candidate]:
    """Nodes on which evictions help, as many as are enough; why they do not on others is counted in `statuses`."""
    candidates: list[Candidate] = []
    enough = min(len(slots), max(LEAST_CANDIDATES, int(len(slots) * SHARE_OF_NODES)))
    for examined, slot in enumerate(_rotated(slots, int(view.now) * _STRIDE)):
        if not may_go_on():
            statuses[NOT_EXAMINED] = len(slots) - examined
            break
        judged = _dry_run(view, pod_class, slot, rules)
        if isinstance(judged, Candidate):
            candidates.append(judged)
            if len(candidates) >= enough and any(not candidate.violations for candidate in candidates):
                break
        else:
            statuses.update(judged)
    return candidates


def _is_waiting_for_room(view: View, potential: BoolArray) -> bool:
    """Whether pods are on their way out for it already, on a node where that helps."""
    node = view.state.nominations.node_of(view.pod.metadata.uid)
    slot = view.state.fleet.slot(node) if node else None
    if slot is None or not potential[slot]:
        return False
    priority = view.pod.spec.priority
    return any(placed.is_preempted and placed.priority < priority for placed in view.state.pods_on(slot))


def _rotated(slots: list[int], turn: int) -> Iterator[int]:
    """All of them, begun elsewhere each time: not always the same nodes lose their pods."""
    begin = turn % len(slots) if slots else 0
    yield from slots[begin:]
    yield from slots[:begin]


def _dry_run(view: View, pod_class: PodClass, slot: int, rules: EvictionRules) -> Candidate | Mapping[str, int]:
    """The least evictions on one node; else why they do not help, as a count of one for each reason."""
    state, priority = view.state, view.pod.spec.priority
    lower = [placed for placed in state.pods_on(slot) if _may_evict(placed, priority, rules, view.now)]
    if not lower:
        return {NO_VICTIMS: 1}
    rivals = state.nominations.before(view.pod.metadata.uid, priority).get(state.by_slot[slot].name, [])
    with Trial(state) as trial:
        for placed in lower:
            trial.evict(slot, placed)
        against = _against(view, pod_class, slot, rivals)
        if against is not None:
            return against
        lower.sort(key=lambda placed: _importance(placed, view.now))
        namespaces = {placed.namespace for placed in lower}
        budgets = [budget for budget in state.budgets.items.values() if budget.metadata.namespace in namespaces]
        violating, others = split_by_budgets(lower, budgets)
        victims, violations = [], 0
        for placed, count in (*violating, *((placed, 0) for placed in others)):
            trial.place(slot, placed)
            if _against(view, pod_class, slot, rivals) is not None:
                trial.evict(slot, placed)
                victims.append(placed)
                violations += count
    victims.sort(key=lambda placed: _importance(placed, view.now))
    return Candidate(slot, tuple(victims), violations)


def _may_evict(placed: PlacedPod, priority: int, rules: EvictionRules, now: float) -> bool:
    if placed.priority >= priority:
        return False
    return rules.min_runtime_seconds <= 0.0 or now - _started(placed, now) >= rules.min_runtime_seconds


def _against(view: View, pod_class: PodClass, slot: int, rivals: list[PlacedPod]) -> Mapping[str, int] | None:
    """Reasons against the pod on a node, if any; both with the pods that it has to yield to there, and without them."""
    if rivals:
        with Trial(view.state) as trial:
            for rival in rivals:
                trial.place(slot, rival)
            against = blamed_at(view, pod_class, slot)
            if against is not None:
                return against.reasons
    against = blamed_at(view, pod_class, slot)
    return None if against is None else against.reasons


def split_by_budgets(
    pods: list[PlacedPod], budgets: Iterable[PodDisruptionBudget]
) -> tuple[list[tuple[PlacedPod, int]], list[PlacedPod]]:
    """Pods whose eviction would exceed a budget, each with what it counts for; and the others. The order is kept."""
    known = [(budget, matcher(budget.spec.selector)) for budget in budgets]
    left = [budget.status.disruptionsAllowed for budget, _ in known]
    violating: list[tuple[PlacedPod, int]] = []
    others: list[PlacedPod] = []
    for placed in pods:
        labels, exceeds = dict(placed.neighbour.key), False
        for index, (budget, selector) in enumerate(known):
            if not labels or budget.metadata.namespace != placed.namespace or not selector.tests:
                continue  # an empty selector selects nothing here, as upstream has it
            if not selector.matches(labels) or placed.name in budget.status.disruptedPods:
                continue
            left[index] -= 1
            if left[index] < 0:
                exceeds = True
                break
        if exceeds:
            violating.append((placed, 1))
        else:
            others.append(placed)
    return violating, others


def _started(placed: PlacedPod, now: float) -> float:
    """When a pod began to run; one that has not begins now."""
    started = moment.read(placed.start_time)
    return now if started is None else started


def _importance(placed: PlacedPod, now: float) -> tuple[int, float]:
    """Sorts the more important pod first: higher priority, then the longer run."""
    return -placed.priority, _started(placed, now)


def _badness(candidate: Candidate, now: float) -> tuple[float, ...]:
    """What speaks against a candidate, in upstream's order; at last what our promises and the work done would lose."""
    priorities = [placed.priority for placed in candidate.victims]
    top = max(priorities)
    earliest = min(_started(placed, now) for placed in candidate.victims if placed.priority == top)
    return (
        candidate.violations,
        top,
        sum(priority + _OFFSET for priority in priorities),
        len(priorities),
        -earliest,
        sum(loss_seconds(placed, now) for placed in candidate.victims),
    )


def loss_seconds(placed: PlacedPod, now: float) -> float:
    """What an eviction costs: work since the start or the last checkpoint, and the lateness of a promised deadline."""
    begun = max(_started(placed, now), min(placed.checkpointed_at or 0.0, now))
    running = placed.running
    late = 0.0 if running is None else max(0.0, now + running.predicted - running.deadline)
    return now - begun + late
