"""The scoring rule of the source document, `hinge`: EDD 3.5 to 3.8, over all candidate nodes at once."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray
from cloudai_rts.parameters import Document, ThetaTerms
from cloudai_rts.task import Task

NOTHING_AVAILABLE: Final = 1e9
MAX_AFFINITY: Final = 5.0


@dataclass(frozen=True, slots=True)
class HingeNodes:
    """The candidate nodes, one entry each: what is available before this task, load, affinity and penalty."""

    cpu: FloatArray
    memory: FloatArray
    gpu: FloatArray
    load: FloatArray
    affinity: FloatArray
    penalty: FloatArray


@dataclass(frozen=True, slots=True)
class HingeScores:
    """Predicted run time (seconds) and final risk of each candidate."""

    predicted_runtime: FloatArray
    risk: FloatArray


def learned_scores(
    task_type: str, names: list[str], log_factor: FloatArray, document: Document
) -> tuple[FloatArray, FloatArray]:
    """Affinity[type][j] and Penalty[j] for the named nodes; `log_factor` is u + v of the type on each of them.

    A cell without samples is as good as the type's known ones are on average, at the speed exp(-u - v) that is expected
    there; 0 would rank it behind every node that was tried (or, for the penalty, before).
    """
    row, weight = document.AffinityMatrix.get(task_type, {}), document.AffinityW.A1
    speed = np.exp(-log_factor)
    affinity = np.array([row.get(name, np.nan) for name in names], np.float64)
    penalty = np.array([document.PenaltyVector.get(name, np.nan) for name in names], np.float64)
    seen = ~np.isnan(affinity)
    usual = float((affinity - weight * speed)[seen].mean()) if seen.any() else 0.0
    unseen = np.clip(usual + weight * speed, -MAX_AFFINITY, MAX_AFFINITY)
    tried = ~np.isnan(penalty)
    return np.where(seen, affinity, unseen), np.where(tried, penalty, penalty[tried].mean() if tried.any() else 0.0)


def predict_runtime(task: Task, nodes: HingeNodes, theta: ThetaTerms) -> FloatArray:
    """E_ij = tau_i (1 + th1 C_i/C_j + th2 M_i/M_j + th3 G_i/G_j + th4 L_j)   (EDD 3.5)."""
    return task.reference_runtime * (
        1.0
        + theta.Theta1 * _ratio(task.cpu, nodes.cpu)
        + theta.Theta2 * _ratio(task.memory, nodes.memory)
        + theta.Theta3 * _ratio(task.gpu, nodes.gpu)
        + theta.Theta4 * nodes.load
    )


def score(task: Task, nodes: HingeNodes, document: Document, now: float) -> HingeScores:
    """Return R^final_ij for all candidates (EDD 3.6-3.8). `now` in seconds since the epoch."""
    predicted = predict_runtime(task, nodes, document.Theta)
    if task.deadline is None:
        delay = np.zeros_like(predicted)
    else:
        # (EDD 3.6) F = A + E; a task that has waited cannot finish before now + E. Differences of epoch seconds
        # are taken before anything is added, so that no precision is lost.
        delay = np.maximum(0.0, predicted - (task.deadline - max(now, task.arrival)))
    base = document.Risk.Alpha * delay + document.Risk.Beta * nodes.load  # (EDD 3.7)
    return HingeScores(predicted, base - nodes.affinity + nodes.penalty)  # (EDD 3.8)


def _ratio(requested: float, available: FloatArray) -> FloatArray:
    """Request over what is available; a request of 0 weighs nothing, whatever is available.

    Nothing available where something is asked for counts as a billion times too little rather than as infinity, so that
    a weight of 0 times it stays 0 and not NaN.
    """
    if requested <= 0:
        return np.zeros_like(available)
    limit = np.full_like(available, NOTHING_AVAILABLE)
    return np.divide(requested, available, out=limit, where=available * NOTHING_AVAILABLE > requested)
