"""How long a task would run on each node: model equations (1) and (1a).

ln E_ij = ln tau_i + u[type, class(j)] + v[j] + ln f(L'_ij). Before anything is learned u and v are 0 (or a table from
the configuration): then all nodes differ by their load only.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.parameters import RuntimeModel
from cloudai_rts.task import COLD_LOG_SD, MAX_LOG_SD, MIN_LOG_SD

COLD_DECLARED_SD: Final = 0.6
HISTORY_MIN_SD: Final = 0.1
NODE_LOG_SD: Final = 0.1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A run time on the reference class: `seconds` is exp of its logarithm's estimate, `log_sd` the spread of that."""

    seconds: float
    log_sd: float


def load_curve(load: FloatArray, kappa: float, mu: float, scale: float = 1.0) -> FloatArray:
    """f(L) = 1 + scale (kappa L^2 + mu max(0, L - 1)): how much slower a run is at node load L."""
    return 1.0 + scale * (kappa * load * load + mu * np.maximum(0.0, load - 1.0))


def load_curve_at(load: float, kappa: float, mu: float) -> float:
    """f(L) of one node."""
    return 1.0 + kappa * load * load + mu * max(0.0, load - 1.0)


def load_curve_slope(load: FloatArray, kappa: float, mu: float, scale: float = 1.0) -> FloatArray:
    """Return f'(L), what one more unit of load adds."""
    return scale * (2.0 * kappa * load + mu * (load > 1.0))


def class_factors(task_type: str, class_names: list[str], runtime: RuntimeModel) -> FloatArray:
    """u[type, class] for each class name; 0 where nothing is known (a type or class never seen)."""
    known = runtime.U.get(task_type, {})
    return np.array([known.get(name, 0.0) for name in class_names], np.float64)


def node_factors(names: list[str], runtime: RuntimeModel) -> FloatArray:
    """v[j] for each node; 0 where nothing is known."""
    if not runtime.V:
        return np.zeros(len(names), np.float64)
    return np.array([runtime.V.get(name, 0.0) for name in names], np.float64)


def log_runtime(
    reference_runtime: float, u: FloatArray, class_index: IntArray, v: FloatArray, curve: FloatArray
) -> FloatArray:
    """Equation (1): ln E_ij for all nodes. `u` is by class, the other arrays by node."""
    return math.log(reference_runtime) + u[class_index] + v + np.log(curve)


def type_log_sd(task_type: str, runtime: RuntimeModel) -> float:
    """Sigma of a type; cold .5."""
    return runtime.Sigma.get(task_type, COLD_LOG_SD)


def clip_log_sd(log_sd: float) -> float:
    """Keep a spread within what (2) can work with."""
    return min(MAX_LOG_SD, max(MIN_LOG_SD, log_sd))


def declared_estimate(declared_seconds: float, user: str, runtime: RuntimeModel) -> Estimate:
    """A user's own estimate, corrected by how this user's estimates erred (3.1a); cold: taken at its word, sd .6."""
    record = runtime.Declared.get(user) or runtime.Declared.get("")
    if record is None:
        return Estimate(declared_seconds, COLD_DECLARED_SD)
    return Estimate(declared_seconds * math.exp(record.Bias), record.Sd)


def estimate(
    task_type: str, tau: float, declared_seconds: float | None, user: str, identity: str, runtime: RuntimeModel
) -> Estimate:
    """All that is known of one task (1a): its declaration, tasks just like it, else its type's `tau` (seconds)."""
    known = runtime.Identity.get(identity) if identity else None
    history = Estimate(tau, type_log_sd(task_type, runtime))
    if known is not None and known.Sd < history.log_sd:
        history = Estimate(math.exp(known.LogTau), known.Sd)
    declared = declared_estimate(declared_seconds, user, runtime) if declared_seconds else None
    return combine(declared, history, node_log_sd(runtime))


def node_log_sd(runtime: RuntimeModel) -> float:
    """Spread that nodes add to an estimate of (1a); none before there is anything learned about nodes."""
    return 0.0 if not runtime.Sigma else NODE_LOG_SD


def combine(declared: Estimate | None, history: Estimate, node_log_sd: float) -> Estimate:
    """Equation (1a): both sources by their precision in log space, plus the spread that nodes add.

    Without a declaration the history stands alone: what is known of the type, or of tasks just like this one.
    """
    known = Estimate(history.seconds, max(HISTORY_MIN_SD, history.log_sd))
    if declared is None:
        return Estimate(known.seconds, clip_log_sd(known.log_sd))
    weight_declared = declared.log_sd**-2
    weight_known = known.log_sd**-2
    total = weight_declared + weight_known
    log_tau = (math.log(declared.seconds) * weight_declared + math.log(known.seconds) * weight_known) / total
    return Estimate(math.exp(log_tau), clip_log_sd(math.sqrt(1.0 / total + node_log_sd**2)))
