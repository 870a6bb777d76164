"""Whether a task should wait for a better node than the best one free now: model equation (4).

A deferral has one end, fixed when it begins. Waiting is only ever worth it while some node that could serve the task is
occupied: on an idle cluster nothing can get better, and a task that waited there would wait for ever.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.lateness import late_probability_of
from cloudai_rts.parameters import LatenessTerms, RuntimeModel
from cloudai_rts.prediction import load_curve
from cloudai_rts.task import Task

COLD_TYPICAL_LOAD: Final = 0.5
RECHECK_SECONDS: Final = 300.0
"""Room that becomes free wakes a deferred task at once. Looking every 30 s costs four times the decisions and gains
nothing: 5.9 and 8.8 % missed at load .90 and 1.05 of the reference workload against 5.9 and 8.2 % (8 seeds)."""


@dataclass(frozen=True, slots=True)
class Promise:
    """The best that waiting could bring: P*_i and E*_i (seconds) on the best class at its typical load."""

    late_probability: float
    predicted_runtime: float


def promise(
    task: Task,
    u: FloatArray,
    class_index: IntArray,
    eligible: BoolArray,
    typical_load: FloatArray,
    added: FloatArray,
    runtime: RuntimeModel,
    load_scale: float,
    now: float,
) -> Promise | None:
    """P*_i over the classes that hold an eligible node: one that passes every filter but free resources.

    `u` and `typical_load` are by class, `class_index`, `eligible` and `added`, the load that the task itself brings, by
    node. Others can use what it leaves of a node: its load will be `added` + (1 - `added`) times the typical one. None
    where no node is eligible.
    """
    reachable = np.bincount(class_index[eligible], minlength=len(u)) > 0
    if not reachable.any():
        return None
    own = np.full(len(u), np.inf)
    np.minimum.at(own, class_index[eligible], added[eligible])
    load = np.where(reachable, own + np.maximum(0.0, 1.0 - own) * typical_load, 0.0)
    curve = load_curve(load, runtime.Kappa, runtime.Mu, load_scale)
    log_runtime = math.log(task.reference_runtime) + float(np.where(reachable, u + np.log(curve), np.inf).min())
    return Promise(late_probability_of(log_runtime, task.slack(now), task.log_sd), math.exp(log_runtime))


def may_defer(late: float, harm: float, weights: LatenessTerms) -> bool:
    """Whether (4) could hold if waiting promised certainty; P* need not be known where it could not."""
    return late + weights.Psi * harm > weights.Delta


def should_defer(late: float, harm: float, best: Promise, least_harm: float, weights: LatenessTerms) -> bool:
    """P_ij - P*_i + psi (H_ij - H*_i) > delta   (4).

    `least_harm` is H*, the least that this task would cause on any eligible node: where all nodes are alike, waiting
    spares nobody anything.
    """
    return late - best.late_probability + weights.Psi * (harm - min(harm, least_harm)) > weights.Delta


def wait_until(begun: float, deadline: float, best_runtime: float) -> float:
    """When a deferral that began at `begun` ends: max(t0, D - E*), seconds since the epoch.

    That is the last moment at which the best class would still make it. Half of that wait misses more deadlines:
    6.4 instead of 6.1 % at load .90 of the reference workload, 9.2 instead of 8.4 % at 1.05 (12 seeds, paired).

    One deferral in eleven lasts until then, and nine of ten of those end late. Two remedies gained nothing (8 seeds,
    load .90, points missed more). Half a spread to spare at the end, E* e^(sd/2): -.6 +-.6 on the reference workload,
    -.1 +-.8 there at 1.05, -.2 +-.4 with heavy tails, +.3 +-.4 with two sizes, +.2 +-1.3 under interference, .0 +-.7
    with drift, +.9 +-.9 with hidden load. P* counted only as often as the promises of a type came true, otherwise .85,
    in the same order: +.2 +-.8, -.4 +-.6, -.1 +-.6, +.3 +-.5, -.3 +-1.0, .0 +-.6, +.2 +-.7.
    """
    return max(begun, deadline - best_runtime)
