"""The run-time model: u by type and class, v by node, the load curve, sigma and tau by type (model 3.1, equation (1)).

ln(runtime) = base + u[c, n] + v[j] + ln f(L) + noise, as `backfit` finds it, against one reference class.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from cloudai_optimizer.fit import memory
from cloudai_optimizer.fit.backfit import MAX_U, Backfit, present
from cloudai_optimizer.fit.estimator import completed, group_mean, pulled_in, spread
from cloudai_optimizer.fit.memory import Memory
from cloudai_optimizer.fit.samples import Samples
from cloudai_optimizer.fit.tenancy import CHANCE, FOR_SPREAD, Habits
from cloudai_rts.arrays import FloatArray
from cloudai_rts.prediction import load_curve

LEAST_VARIANCE: Final = 1e-6
"""Of ln run time: runs that differ by a thousandth are alike."""
MIN_TAU: Final = 0.001
MAX_TAU: Final = 31_536_000.0


@dataclass(frozen=True, slots=True)
class RuntimeFit:
    """What the samples say. `u` is [types, classes], `v` by node, `log_tau` and `sigma` by type.

    `counts` are the ended runs that each u rests on, `present` is 1 where there are any samples, `residual` by sample.
    """

    reference: int
    u: FloatArray
    v: FloatArray
    kappa: float
    mu: float
    log_tau: FloatArray
    sigma: FloatArray
    counts: FloatArray
    present: FloatArray
    residual: FloatArray

    def log_node_factor(self, samples: Samples) -> FloatArray:
        """u + v + ln f(L) of each sample: how much slower than the idle reference machine its node was."""
        curve = np.log(load_curve(samples.load, self.kappa, self.mu))
        return self.u[samples.type, samples.node_class] + self.v[samples.node] + curve

    def tau(self) -> FloatArray:
        """Mean run time of each type on the reference class: exp(log-mean + sigma^2 / 2)."""
        return np.exp(self.log_tau + 0.5 * self.sigma**2)


def fit(
    samples: Samples,
    base: FloatArray | None = None,
    reference_class: str = "",
    log_tau: FloatArray | None = None,
    known_cells: Memory | None = None,
) -> RuntimeFit:
    """Fit (1). `base` is what is known of each very task (ln seconds, 3.1a), NaN where nothing but its type is.

    Without a `reference_class` the one with the most samples is the reference. `log_tau` of a first fit stands for
    types all of whose tasks have a base of their own. `known_cells` is what was learned of cells before.
    """
    past = memory.nothing(samples) if known_cells is None else known_cells
    known = np.full(len(samples), np.nan) if base is None else base
    log_tau = np.zeros(len(samples.types)) if log_tau is None else log_tau
    reference = reference_of(samples, reference_class)
    terms = Backfit(samples, past, reference, known, log_tau)
    terms.run()
    runtimes = RuntimeFit(
        reference,
        terms.u,
        terms.v,
        terms.kappa,
        terms.mu,
        terms.log_tau,
        terms.sigma,
        _counts(samples, past),
        present(samples),
        terms.residual,
    )
    return _shifted(runtimes, -runtimes.u[:, reference]) if len(samples) else runtimes


def anchored(
    runtimes: RuntimeFit, samples: Samples, reference_class: str, known: Mapping[str, Mapping[str, float]]
) -> RuntimeFit:
    """The fit with `reference_class` as its zero, also for types that did not run on it: their `known` u stay level.

    Else u and tau of such a type would silently count from another class, and what limits each of them tear them apart.
    """
    if not reference_class or not len(samples):
        return runtimes
    weight = np.zeros(runtimes.u.shape)
    old = np.zeros(runtimes.u.shape)
    for c, name in enumerate(samples.types):
        for n, node_class in enumerate(samples.classes):
            if node_class in known.get(name, {}) and runtimes.counts[c, n]:
                weight[c, n], old[c, n] = runtimes.counts[c, n], known[name][node_class]
    if not weight.any():
        return runtimes
    by_type = weight.sum(axis=1)
    own = (weight * (old - runtimes.u)).sum(axis=1)
    if reference_class in samples.classes:
        known_zero, otherwise = runtimes.present[:, samples.classes.index(reference_class)] > 0, 0.0
    else:  # types that are new moved as the others did
        known_zero, otherwise = np.zeros(len(by_type), np.bool_), float(own.sum() / by_type.sum())
    level = np.where(by_type > 0, own / np.maximum(by_type, 1e-9), otherwise)
    return _shifted(runtimes, np.where(known_zero, 0.0, level))


def _shifted(runtimes: RuntimeFit, shift: FloatArray) -> RuntimeFit:
    """The same predictions with `shift` (by type) more in u and less in tau."""
    u = np.clip(runtimes.u + shift[:, None], -MAX_U, MAX_U)
    return replace(runtimes, u=u, log_tau=runtimes.log_tau - shift)


def with_types(samples: Samples, runtimes: RuntimeFit) -> RuntimeFit:
    """The fit with tau and sigma of each type as they are if nothing is known of a task but its type.

    Where users' words or identities say more of each task, the residuals of the fit are theirs: far too narrow for (1a)
    to weigh the type by.
    """
    count = len(samples.types)
    seen = completed(
        samples, runtimes.log_tau[samples.type] + runtimes.log_node_factor(samples), runtimes.sigma[samples.type]
    ) - runtimes.log_node_factor(samples)
    robust, habits = pulled_in(seen, samples.type), Habits.of(samples)
    own, wide = (
        robust - habits.off_in_types(robust, samples.weight, runtimes.sigma[samples.type], most)
        for most in (CHANCE, FOR_SPREAD)
    )
    log_tau = group_mean(own, samples.type, samples.weight, count, 0.0, runtimes.log_tau)
    return replace(runtimes, log_tau=log_tau, sigma=spread(wide - log_tau[samples.type], samples, count))


def r_squared(samples: Samples, predicted: FloatArray) -> float:
    """Share of the variance of ln run time that a prediction explains, over the runs that ended.

    0 where they are all alike: there is nothing to explain, and rounding errors would be divided by each other.
    """
    ended = ~samples.censored
    actual = samples.log_runtime[ended]
    if len(actual) < 2:
        return 0.0
    total = float(((actual - actual.mean()) ** 2).sum())
    if total < LEAST_VARIANCE * len(actual):
        return 0.0
    return 1.0 - float(((actual - predicted[ended]) ** 2).sum()) / total


def model_terms(samples: Samples, runtimes: RuntimeFit) -> dict[str, dict[str, Any]]:
    """U, V, Sigma, Counts and Tau as the parameter document writes them: cells with samples only, 3 decimals."""
    seen = runtimes.present > 0
    return {
        "U": {
            name: {samples.classes[n]: round(float(runtimes.u[c, n]), 3) for n in np.flatnonzero(seen[c])}
            for c, name in enumerate(samples.types)
        },
        "V": {name: round(float(runtimes.v[j]), 3) for j, name in enumerate(samples.nodes)},
        "Sigma": {name: round(float(runtimes.sigma[c]), 3) for c, name in enumerate(samples.types)},
        "Counts": {
            name: {samples.classes[n]: math.floor(10.0 * runtimes.counts[c, n]) / 10.0 for n in np.flatnonzero(seen[c])}
            for c, name in enumerate(samples.types)
        },
        "Tau": {
            name: round(min(MAX_TAU, max(MIN_TAU, float(runtimes.tau()[c]))), 3) for c, name in enumerate(samples.types)
        },
    }


def _counts(samples: Samples, past: Memory) -> FloatArray:
    """Runs that have ended that each u rests on."""
    cell, size = samples.cell(), past.runs.size
    ended = np.isfinite(samples.finish)
    all_runs = np.bincount(cell[ended], weights=samples.voice[ended], minlength=size)
    new = np.bincount(cell[past.fresh], weights=samples.voice[past.fresh], minlength=size)
    remembered = past.runs.ravel()
    rests_on = np.where(remembered > 0, np.minimum(past.most, remembered + new), all_runs)
    return np.asarray(rests_on.reshape(past.runs.shape))


def reference_of(samples: Samples, wanted: str) -> int:
    """Index of the class that u counts from: the wanted one, or that with the most samples."""
    if wanted in samples.classes:
        return samples.classes.index(wanted)
    return int(np.bincount(samples.node_class, minlength=len(samples.classes)).argmax()) if len(samples) else 0
