"""One scheduling cycle: class -> feasible nodes -> RTS or round-robin -> place, defer, evict others, or say why not.

This module reads as the algorithm. It decides and changes nothing: the caller acts on what is returned.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cloudai_rts.arrays import BoolArray, FloatArray
from cloudai_rts.contract import CPU, MEMORY
from cloudai_rts.fragmentation import GpuRequest
from cloudai_rts.load_history import LoadHistory
from cloudai_rts.placement import DEFAULT_PROFILE, Candidates, Deferred, Placed, keep_room, place
from cloudai_rts.policy import RTS, Policy
from cloudai_rts.reservation import MIN_GPUS, Claim, Reservation, Reservations
from cloudai_scheduler import preferences
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters import closed
from cloudai_scheduler.filters.base import View
from cloudai_scheduler.podclass import PodClass
from cloudai_scheduler.preemption import Candidate, EvictionRules, preempt
from cloudai_scheduler.preferences.base import Choice
from cloudai_scheduler.queue import QueuedPod
from cloudai_scheduler.walk import Walk, fit_error, is_about_pod, walk


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """No node can take the pod now; the message has upstream's form, because people and autoscalers grep for it.

    `evictions`: pods that are to make room for it; `may_have_evicted`: that was considered. `keeps_nomination`: it goes
    on waiting for a node that is nominated.
    `look_again_seconds`: time alone may change that. `reservation`: the node that is to be kept for it meanwhile.
    """

    message: str
    evictions: Candidate | None = None
    keeps_nomination: bool = False
    look_again_seconds: float | None = None
    reservation: Reservation | None = None
    may_have_evicted: bool = False


Outcome = Placed | Deferred | Unschedulable


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a cycle looks at. `preemption` None: nobody is ever evicted. `packed`: patterns of resources.

    `lap` hears of each filter that has spoken, so that somebody may time them.
    """

    state: ClusterState
    rejections: Rejections
    loads: LoadHistory
    policy: Policy
    preemption: EvictionRules | None = None
    packed: tuple[str, ...] = ()
    may_go_on: Callable[[], bool] = lambda: True
    lap: Callable[[str], None] | None = None


def decide(around: Surroundings, entry: QueuedPod, now: float) -> Outcome:
    """Find the node for one pod, whose class is up to date. `now` in seconds since the epoch."""
    state, pod_class = around.state, entry.pod_class
    if entry.message and pod_class.has_failed(state):  # nothing was freed since another pod of this class found no node
        return Unschedulable(pod_class.failure, keeps_nomination=True)
    view = view_of(around, entry, now)
    walked = walk(view, pod_class, around.lap)
    feasible = closed.unavoided(state, around.rejections, entry.owner, entry.avoided, walked.feasible, now)
    if not feasible.any():
        outcome = _unschedulable(around, view, pod_class, walked)
        is_final = outcome.look_again_seconds is None and outcome.evictions is None and not outcome.keeps_nomination
        pod_class.note_failure(state, walked.blamed(), outcome.message if is_final and walked.is_for_all() else "")
        if outcome.evictions is None and entry.task.gpu >= MIN_GPUS:
            candidates = _candidates(around, entry, walked, feasible, now)
            kept = keep_room(around.policy, entry.task, pod_class.amounts, candidates, state.harm, now)
            return replace(outcome, reservation=kept)
        return outcome
    feasible = _nominated(view, feasible)
    choice = choice_of(view, pod_class, feasible)
    if entry.is_plain and around.policy.mode == RTS:
        return _as_by_default(around, entry, choice)
    candidates = _candidates(around, entry, walked, feasible, now, preferences.wished(entry.wishes, choice))
    return place(around.policy, entry.task, pod_class.amounts, candidates, now, entry.deferred_until)


def _candidates(
    around: Surroundings,
    entry: QueuedPod,
    walked: Walk,
    feasible: BoolArray,
    now: float,
    preference: FloatArray | None = None,
) -> Candidates:
    state, amounts = around.state, entry.pod_class.amounts
    is_nominated = bool(state.nominations.node_of(entry.uid))  # others were evicted: nothing keeps it away from there
    return Candidates(
        feasible=feasible,
        eligible=walked.possible & state.fleet.could_fit(amounts),
        harm=state.harm.values(state.fleet, around.policy.document, now),
        typical_load=around.loads.typical(state.fleet),
        preference=preference,
        kept=Reservations() if is_nominated else state.reservations,
        claim=claim_of(entry),
    )


def claim_of(entry: QueuedPod) -> Claim:
    """What a pod needs of one node."""
    task, amounts = entry.task, entry.pod_class.amounts
    asked = GpuRequest(round(task.gpu), amounts.get(CPU, 0), amounts.get(MEMORY, 0))
    deadline = math.inf if task.deadline is None else task.deadline
    return Claim(entry.uid, entry.pod.metadata.namespace, entry.pod.spec.priority, asked, task.gpu_resource, deadline)


def _as_by_default(around: Surroundings, entry: QueuedPod, choice: Choice) -> Placed:
    """Place a pod of which nothing is promised and nothing known as kube-scheduler's default profile does."""
    policy, amounts = around.policy, entry.pod_class.amounts
    totals = preferences.totals(entry.wishes, choice, around.packed)
    slot = policy.rotation.pick(choice.slots[totals == totals.max()])
    load, load_with = policy.fleet.load_at(slot, {}), policy.fleet.load_at(slot, amounts)
    return Placed(slot, DEFAULT_PROFILE, policy.document.model, None, None, None, load, load_with)


def choice_of(view: View, pod_class: PodClass, feasible: BoolArray) -> Choice:
    """What preferences look at for this pod."""
    verdicts = pod_class.verdicts
    slots = np.flatnonzero(feasible)
    return Choice(view, slots, pod_class.amounts, pod_class.usual, verdicts.liked, verdicts.disliked)


def view_of(around: Surroundings, entry: QueuedPod, now: float) -> View:
    """What the filters look at for this pod."""
    verdicts = entry.pod_class.verdicts
    return View(around.state, around.rejections, entry.pod, verdicts.affine, verdicts.tolerated, now)


def _nominated(view: View, feasible: BoolArray) -> BoolArray:
    """The node that others have left for the pod, if it is feasible; else all that are."""
    node = view.state.nominations.node_of(view.pod.metadata.uid)
    slot = view.state.fleet.slot(node) if node else None
    if slot is None or not feasible[slot]:
        return feasible
    alone: BoolArray = np.zeros(len(feasible), np.bool_)
    alone[slot] = True
    return alone


def _unschedulable(around: Surroundings, view: View, pod_class: PodClass, walked: Walk) -> Unschedulable:
    message = fit_error(view, pod_class, walked)
    if around.preemption is None or not around.state.nodes or is_about_pod(view, pod_class, walked):
        return Unschedulable(message)
    outcome = preempt(view, pod_class, walked, around.preemption, around.may_go_on)
    text = f"{message} preemption: {outcome.text}"
    return Unschedulable(
        text, outcome.candidate, outcome.keeps_nomination, outcome.look_again_seconds, may_have_evicted=True
    )


def could_take(state: ClusterState, pod_class: PodClass, slot: int, may_evict: bool = False) -> bool:
    """Whether a changed node may take a pod of this class now, perhaps in the place of others that it may evict.

    That is the hint that wakes waiting pods. True also where the class has not been judged yet: that is done in slices,
    when its pods have their turn.
    """
    if not pod_class.is_fresh(state):
        return True
    if slot >= len(pod_class.allowed) or not pod_class.allowed[slot]:
        return False
    if state.fleet.fits_at(slot, pod_class.amounts):
        return True
    return may_evict and pod_class.may_preempt and _fits_without_weaker(state, pod_class, slot)


def _fits_without_weaker(state: ClusterState, pod_class: PodClass, slot: int) -> bool:
    """Whether a node had enough room if pods of lower priority left it."""
    if min(state.priorities, default=pod_class.priority) >= pod_class.priority:
        return False  # nowhere is anybody to evict
    freed = Counter[str]()
    for placed in state.pods_on(slot):
        if placed.priority < pod_class.priority:
            freed.update(placed.amounts)
    needed = {name: amount - freed[name] for name, amount in pod_class.amounts.items()}
    return bool(freed) and state.fleet.fits_at(slot, needed)
