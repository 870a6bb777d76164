"""One placement: RTS over the feasible nodes, a deferral where waiting is better, round-robin where RTS cannot decide.

This is EDD 3.9 with the rulings of the model page. The scheduler calls it with the live cluster, a replay with a
simulated one; nothing here knows which.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts import choice, deferral, hinge, lateness, prediction
from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.choice import Rotation
from cloudai_rts.contract import CPU, MEMORY
from cloudai_rts.errors import UndecidableError
from cloudai_rts.fleet import Resources
from cloudai_rts.fragmentation import Room
from cloudai_rts.harm import HarmTable
from cloudai_rts.parameters import HINGE
from cloudai_rts.policy import ROUND_ROBIN, RTS, Policy, request_of
from cloudai_rts.reservation import MOST_SECONDS, Claim, Reservation, Reservations, is_needed
from cloudai_rts.task import Task

DEFAULT_PROFILE: Final = "default-profile"
"""Of pods without a deadline and a type: the caller places them as kube-scheduler would."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Everything about the nodes that one placement needs besides the fleet.

    `feasible`: nodes that pass every filter now. `eligible`: nodes that pass every filter but free resources and whose
    whole capacity fits. `harm` is h_j, `typical_load` is by class, `preference` the soft wishes in 0..1 or None. `kept`
    is the room that is kept for others than the one with this `claim`.
    """

    feasible: BoolArray
    eligible: BoolArray
    harm: FloatArray
    typical_load: FloatArray
    preference: FloatArray | None = None
    kept: Reservations = field(default_factory=Reservations)
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A node was chosen, and why: what the decision annotation says."""

    slot: int
    policy: str
    model: str
    risk: float | None
    predicted_runtime: float | None
    late_probability: float | None
    load: float
    load_with: float
    fallback_reason: str | None = None
    runner_up: tuple[int, float] | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    """Waiting is better than the best node free now; the deferral ends at `until` at the latest (epoch seconds).

    `log_factor` is u + v + ln f of that node: only a faster one is worth another decision. Where all room is kept for
    others, `is_kept`, any other node is.
    """

    until: float
    late_probability: float
    promised: float
    best_slot: int
    log_factor: float = math.inf
    is_kept: bool = False


def place(
    policy: Policy,
    task: Task,
    amounts: Resources,
    candidates: Candidates,
    now: float,
    deferred_until: float | None = None,
) -> Placed | Deferred:
    """Choose a node for the task, or defer it. At least one node must be feasible.

    `amounts` are its requests; `now` in seconds since the epoch; `deferred_until` the end of a deferral already begun
    (it is never moved), None for a task that was not deferred yet.
    """
    slots = np.flatnonzero(candidates.feasible)
    if policy.mode == ROUND_ROBIN:
        return _round_robin(policy, task, amounts, slots, None)
    try:
        if policy.document.model == HINGE:
            return _place_hinge(policy, task, amounts, slots, now)
        return _place_lateness(policy, task, amounts, slots, candidates, now, deferred_until)
    except (UndecidableError, ArithmeticError, ValueError, LookupError) as error:
        # EDD 3.9: whatever keeps RTS from deciding must not keep the task from running.
        return _round_robin(policy, task, amounts, slots, f"RTS could not decide: {error}"[:200])


def _round_robin(policy: Policy, task: Task, amounts: Resources, slots: IntArray, reason: str | None) -> Placed:
    """Each kind of request goes round by itself: GPU tasks would else keep sending the others back to the GPU nodes."""
    slot = policy.rounds.setdefault(task.gpu_resource, Rotation()).pick(slots)
    load, load_with = float(policy.fleet.load()[slot]), float(policy.fleet.load(amounts)[slot])
    return Placed(slot, ROUND_ROBIN, policy.document.model, None, None, None, load, load_with, reason)


def _place_hinge(policy: Policy, task: Task, amounts: Resources, slots: IntArray, now: float) -> Placed:
    fleet = policy.fleet
    affinity, penalty = policy.learned_scores(task)
    load = fleet.load()[slots]
    gpu = fleet.available(task.gpu_resource)[slots] if task.gpu_resource else np.zeros(len(slots))
    nodes = hinge.HingeNodes(
        cpu=fleet.available(CPU)[slots] / 1000.0,
        memory=fleet.available(MEMORY)[slots].astype(np.float64),
        gpu=gpu.astype(np.float64),
        load=load,
        affinity=affinity[slots],
        penalty=penalty[slots],
    )
    scores = hinge.score(task, nodes, policy.document, now)
    slot = choice.lowest(scores.risk, slots, policy.rotation)
    at = int(np.searchsorted(slots, slot))
    late = None if task.deadline is None else float(now + scores.predicted_runtime[at] > task.deadline)
    return Placed(
        slot=slot,
        policy=RTS,
        model=policy.document.model,
        risk=float(scores.risk[at]),
        predicted_runtime=float(scores.predicted_runtime[at]),
        late_probability=late,
        load=float(load[at]),
        load_with=float(fleet.load(amounts)[slot]),
        runner_up=choice.runner_up(scores.risk, slots, slot),
    )


def _place_lateness(
    policy: Policy,
    task: Task,
    amounts: Resources,
    slots: IntArray,
    candidates: Candidates,
    now: float,
    deferred_until: float | None,
) -> Placed | Deferred:
    fleet, document = policy.fleet, policy.document
    runtime, weights = document.Runtime, document.Lateness
    closed = _closed(policy, task, amounts, slots, candidates, now)
    if not closed.all():
        slots = slots[~closed]
    elif (until := _until(task, policy.fastest(task, candidates.eligible), now, deferred_until)) is not None:
        return Deferred(until, 0.0, 0.0, int(slots[0]), is_kept=True)
    load = fleet.load()[slots]
    load_after = fleet.load(amounts)[slots]
    curve = prediction.load_curve(load_after, runtime.Kappa, runtime.Mu, weights.LoadScale)
    u = policy.class_factors(task)
    nodes = lateness.LatenessNodes(
        log_runtime=prediction.log_runtime(
            task.reference_runtime, u, fleet.class_index[slots], policy.node_factors()[slots], curve
        ),
        load=load,
        load_after=load_after,
        harm=candidates.harm[slots],
        has_gpu=fleet.has_gpu[slots],
        preference=None if candidates.preference is None else candidates.preference[slots],
        fragmentation=_fragmentation(policy, task, slots),
    )
    scores = lateness.score(task, nodes, weights, now)
    slot = choice.lowest(scores.risk, slots, policy.rotation)
    at = int(np.searchsorted(slots, slot))
    waiting = _deferral(policy, task, amounts, u, candidates, now, deferred_until, scores, at)
    # LoadScale is caution in the choice, as is P of a mean, not knowledge: users read what was learned.
    told = float(nodes.log_runtime[at]) - math.log(curve[at])
    told += math.log(prediction.load_curve_at(float(load_after[at]), runtime.Kappa, runtime.Mu))
    late = None
    if task.deadline is not None:
        late = lateness.told_probability(told, task.slack(now), task.log_sd, runtime.Shape)
    if waiting is not None:
        return Deferred(waiting[0], late or 0.0, waiting[1], slot, policy.log_factor_at(task, amounts, slot))
    return Placed(
        slot=slot,
        policy=RTS,
        model=document.model,
        risk=float(scores.risk[at]),
        predicted_runtime=math.exp(told),
        late_probability=late,
        load=float(load[at]),
        load_with=float(load_after[at]),
        runner_up=choice.runner_up(scores.risk, slots, slot),
    )


def keep_room(
    policy: Policy, task: Task, amounts: Resources, candidates: Candidates, running: HarmTable, now: float
) -> Reservation | None:
    """Choose a node to be kept for a task that finds none now, if it is one of those that need much of one."""
    claim, fleet = candidates.claim, policy.fleet
    if policy.mode != RTS or policy.document.model == HINGE:
        return None
    if claim is None or task.deadline is None or now >= task.deadline:
        return None
    slots = np.flatnonzero(candidates.eligible)
    machines = int(np.count_nonzero(fleet.allocatable(task.gpu_resource)[fleet.present] > 0))
    if not candidates.kept.has_place_for(claim, slots, machines):
        return None
    room = Room(*(fleet.available(name)[slots] for name in (task.gpu_resource, CPU, MEMORY)))
    rows, upper = running.rows(task.gpu_resource), policy.upper_runtime(task, amounts, slots)
    shape = policy.document.Runtime.Shape
    chosen = candidates.kept.choose(claim, slots, room, rows, upper, now, shape, machines)
    if chosen is None:
        return None
    if round(task.gpu) >= int(fleet.allocatable(task.gpu_resource)[slots].max()):
        return chosen  # it needs a whole node, whichever it gets: none comes free by chance
    run_seconds = float(upper[np.searchsorted(slots, chosen.slot)])
    return chosen if is_needed(chosen, run_seconds, now, claim.name in candidates.kept.kept) else None


def _closed(
    policy: Policy, task: Task, amounts: Resources, slots: IntArray, candidates: Candidates, now: float
) -> BoolArray:
    """Which of the nodes are kept for others; none for a pod without a deadline, which kube-scheduler would place."""
    if task.deadline is None or candidates.claim is None or not candidates.kept.kept:
        return np.zeros(len(slots), np.bool_)
    return candidates.kept.closed(candidates.claim, slots, policy.upper_runtime(task, amounts, slots), now)


def _until(task: Task, best_runtime: float, now: float, begun: float | None) -> float | None:
    """The end of a deferral that goes on now; None where there is none, or no more."""
    if task.deadline is None:
        return None
    latest = min(task.deadline, now + MOST_SECONDS + best_runtime)
    until = deferral.wait_until(now, latest, best_runtime) if begun is None else begun
    return until if until > now else None


def _fragmentation(policy: Policy, task: Task, slots: IntArray) -> FloatArray | None:
    """GPUs that the task would make useless on each candidate; None where no GPU is concerned."""
    fleet = policy.fleet
    if not policy.mixes or not fleet.has_gpu[slots].any():
        return None
    useless = np.zeros(len(slots))
    cpu, memory = fleet.available(CPU)[slots], fleet.available(MEMORY)[slots]
    for resource, mix in policy.mixes.items():
        gpus = fleet.available(resource)[slots]
        with_gpus = np.flatnonzero(gpus > 0)
        room = Room(gpus[with_gpus], cpu[with_gpus], memory[with_gpus])
        useless[with_gpus] += mix.added(room, request_of(task, resource))
    return useless


def _deferral(
    policy: Policy,
    task: Task,
    amounts: Resources,
    u: FloatArray,
    candidates: Candidates,
    now: float,
    deferred_until: float | None,
    scores: lateness.LatenessScores,
    at: int,
) -> tuple[float, float] | None:
    """End of the deferral and P* of the awaited node as users read it; None to place the task now."""
    if task.deadline is None or now >= task.deadline or (deferred_until is not None and now >= deferred_until):
        return None
    late, harm = float(scores.late_probability[at]), float(scores.harm[at])
    if not deferral.may_defer(late, harm, policy.document.Lateness):
        return None
    if not (policy.fleet.busy() & candidates.eligible).any():
        return None
    runtime, scale = policy.document.Runtime, policy.document.Lateness.LoadScale
    added = policy.fleet.load(amounts) - policy.fleet.load()
    where = (task, u, policy.fleet.class_index, candidates.eligible, candidates.typical_load, added, runtime)
    best = deferral.promise(*where, scale, now)
    if best is None:
        return None
    least_harm = float((candidates.harm * added)[candidates.eligible].min())
    if not deferral.should_defer(late, harm, best, least_harm, policy.document.Lateness):
        return None
    until = (
        deferral.wait_until(now, task.deadline, best.predicted_runtime) if deferred_until is None else deferred_until
    )
    if until <= now or (learned := deferral.promise(*where, 1.0, now)) is None:
        return None
    log_runtime = math.log(learned.predicted_runtime)
    return until, lateness.told_probability(log_runtime, task.slack(now), task.log_sd, runtime.Shape)
