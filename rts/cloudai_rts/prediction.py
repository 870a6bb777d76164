"""How long a task would run on each node: model equations (1) and (1a).

ln E_ij = ln tau_i + u[type, class(j)] + v[j] + ln f(L'_ij). Before anything is learned u and v are 0 (or a table from
the configuration): then all nodes differ by their load only.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from cloudai_rts import contract, products
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.parameters import EVERYBODY, Indication, RuntimeModel
from cloudai_rts.task import COLD_LOG_SD, MAX_LOG_SD, MIN_LOG_SD

COLD_DECLARED: Final = Indication(0.0, 0.6, 0.0)
"""A declaration is taken at its word, with this spread, until more is known."""
COLD_ALLOWED: Final = Indication(0.0, 0.6, 0.0, 0.0)
"""A deadline says nothing of its task until more is known."""
UNSEEN_ALLOWED: Final = Indication(-0.9, 0.8, 0.0, 0.4)
"""Unless nobody has seen a task of the type: then it is taken to allow two and a half times the run time, more or less,
and to know two fifths of what is not known. Before anything is learned 14.1 instead of 15.1 % are missed at load .90 of
the reference workload, and less in eight of nine others; P(late) is off by at most 34 instead of 39 points."""
BUILT_IN_LOG_SD: Final = 1.8
"""Of a built-in run time: tasks of one type differ that much in published traces, and nobody has seen one here."""
GUESS_LOG_SD: Final = 3.0
"""Of a built-in run time beside a declared one: nobody has seen a task of the type, so the declaration rules."""
HISTORY_MIN_SD: Final = 0.1
NODE_LOG_SD: Final = 0.1
FAR: Final = 3.0
"""Words that are further off than so many sd are believed less of an unknown user: habits differ."""
FAR_OF_KNOWN: Final = 6.0
"""So are those of a known user: a slip, or no real deadline. Of a wrong type good words may be four or five sd off."""


MIN_SECONDS: Final = 0.001
Value = TypeVar("Value", float, FloatArray)
"""One number, or one for each task."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A run time on the reference class: `seconds` is its mean, `log_sd` the spread of its logarithm."""

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


def class_factors(task_type: str, class_names: list[str], runtime: RuntimeModel, on_gpu: bool = False) -> FloatArray:
    """u[type, class] for each class name. A class never seen has 0, for tasks `on_gpu` what its product lets expect.

    What products let expect is moved by as much as the classes that were seen are off from it on average. Where none
    was, a run time is one on the reference class, or on a middling product of those there.
    """
    known = runtime.U.get(task_type, {})
    guessed = {name: products.log_factor(name) for name in class_names} if on_gpu else {}
    cold = {name: guess for name, guess in guessed.items() if guess is not None}
    off = [known[name] - guess for name, guess in cold.items() if name in known]
    if cold and not off:
        off = [-cold.get(runtime.ReferenceClass, statistics.fmean(cold.values()))]
    cold = {name: guess + statistics.fmean(off) for name, guess in cold.items()}
    return np.array([known.get(name, cold.get(name, 0.0)) for name in class_names], np.float64)


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


@dataclass(frozen=True, slots=True)
class Said:
    """What a user said of a task: who (empty: unknown), the own estimate and the time allowed (seconds, None if none).

    Allowed is from the arrival to a deadline of the user's own, not to one that follows from a run time. `identity` is
    shared by tasks that do the same.
    """

    user: str = ""
    declared: float | None = None
    allowed: float | None = None
    identity: str = ""


def estimate(task_type: str, tau: float, said: Said, runtime: RuntimeModel, has_learned: bool = True) -> Estimate:
    """All that is known of one task (1a): what its user said, tasks just like it, else its type's `tau` (seconds).

    `has_learned`: whether tau rests on runs of the type, not on a built-in value.
    """
    like = runtime.Identity.get(said.identity) if said.identity else None
    history = Estimate(tau, type_log_sd(task_type, runtime) if has_learned else BUILT_IN_LOG_SD)
    if like is not None and like.Sd < history.log_sd:
        history = Estimate(math.exp(like.LogTau + 0.5 * like.Sd**2), like.Sd)
    known = history = Estimate(history.seconds, max(HISTORY_MIN_SD, history.log_sd))
    if said.declared and said.declared > 0:
        if like is None and not has_learned:
            known = Estimate(history.seconds, GUESS_LOG_SD)
        bias = runtime.DeclaredOf.get(task_type, 0.0)
        known = heard(known, said.declared, *_worth(runtime.Declared, said.user, COLD_DECLARED), bias)
    if said.allowed and said.allowed > 0:
        bias = runtime.AllowedOf.get(task_type, 0.0)
        cold = COLD_ALLOWED if has_learned or like is not None else UNSEEN_ALLOWED
        known = heard(known, said.allowed, *_worth(runtime.Allowed, said.user, cold), bias)
    # The type's own spread holds that of nodes.
    log_sd = known.log_sd if known is history else math.hypot(known.log_sd, node_log_sd(runtime))
    return Estimate(min(contract.MAX_SECONDS, max(MIN_SECONDS, known.seconds)), clip_log_sd(log_sd))


def _worth(known: Mapping[str, Indication], user: str, cold: Indication) -> tuple[Indication, float]:
    """What a user's words are worth, and how odd they may be."""
    own = known.get(user) if user else None
    return (known.get(EVERYBODY, cold), FAR) if own is None else (own, FAR_OF_KNOWN)


def node_log_sd(runtime: RuntimeModel) -> float:
    """Spread that nodes add to an estimate of (1a); none before there is anything learned about nodes."""
    return 0.0 if not runtime.Sigma else NODE_LOG_SD


def heard(known: Estimate, said_seconds: float, indication: Indication, far: float, type_bias: float = 0.0) -> Estimate:
    """Equation (1a): two sources by their precision in log space, as far as the second knows what the first does not.

    With a Share of 1 that is ln tau = (ln a / s_a^2 + ln b / s_b^2) / (1 / s_a^2 + 1 / s_b^2). Words further off than
    `far` sd are heeded less, the odder the less.
    """
    if not indication.Share:
        return known
    variance = known.log_sd**2
    # A mean run time is known, and its logarithm lies half a variance above the mean of the logarithms.
    surprise = math.log(said_seconds / known.seconds) + indication.Bias + type_bias + 0.5 * variance
    trust, left = heed(variance, indication.Share, indication.Sd, surprise, far)
    return Estimate(known.seconds * math.exp(trust * surprise + 0.5 * (left - variance)), math.sqrt(left))


def heed(variance: Value, share: Value, sd: Value, surprise: Value, far: Value) -> tuple[Value, Value]:
    """How much of a surprise to believe, and what variance is left then; numbers or arrays."""
    told = share * variance
    whole = told + sd**2
    odd = surprise**2 / (far**2 * whole)
    near = 1.0 / (odd + (1.0 - odd) * (odd < 1.0))
    trust = near * told / whole
    return trust, variance - trust * told
