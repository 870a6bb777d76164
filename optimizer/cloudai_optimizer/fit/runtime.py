"""The run-time model: u by type and class, v by node, the load curve, sigma and tau by type (model 3.1, equation (1)).

ln(runtime) = base + u[c, n] + v[j] + ln f(L) + noise, by backfitting with shrinkage towards 0: a cell with few samples
claims little. Runs that did not end (disrupted, still running) enter as censored: their expectation given that they
lasted at least so long replaces them in every round (Tobit by EM). What tenants' runs have in common beyond the others'
is taken out before machines are compared (`tenancy`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from cloudai_optimizer.fit import memory
from cloudai_optimizer.fit.memory import Memory
from cloudai_optimizer.fit.samples import Samples
from cloudai_optimizer.fit.tenancy import Habits
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.normal import phi_cdf, phi_pdf
from cloudai_rts.prediction import load_curve
from cloudai_rts.task import COLD_LOG_SD, MAX_LOG_SD, MIN_LOG_SD

SHRINK_CLASS: Final = 2.0
SHRINK_NODE: Final = 3.0
SHRINK_SIGMA: Final = 8.0
SHRINK_OFFSET: Final = 2.0
SHRINK_CURVE: Final = 20.0
COLD_KAPPA: Final = 0.3
COLD_MU: Final = 2.0
MAX_KAPPA: Final = 5.0
MAX_MU: Final = 20.0
MAX_U: Final = 5.0
MAX_V: Final = 3.0
MIN_TAU: Final = 0.001
MAX_TAU: Final = 31_536_000.0
ROUNDS: Final = 30
HUBER: Final = 2.0
MIN_SCALE: Final = 0.1
MEDIAN_TO_SD: Final = 1.4826
"""Residuals beyond two robust sd are pulled in: a hostile or broken record moves a mean no further than an odd one."""


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
    shape = (len(samples.types), len(samples.classes))
    reference = reference_of(samples, reference_class)
    known = np.full(len(samples), np.nan) if base is None else base
    own = np.isnan(known)
    u, v = np.zeros(shape), np.zeros(len(samples.nodes))
    log_tau = np.zeros(shape[0]) if log_tau is None else log_tau
    offset = np.zeros(shape[0])  # what the base of a type's tasks is wrong by: else u or kappa would have to take it
    sigma = np.full(shape[0], COLD_LOG_SD)
    kappa, mu = COLD_KAPPA, COLD_MU
    residual = np.zeros(len(samples))
    habits = Habits.of(samples)
    for _ in range(ROUNDS):
        curve = np.log(load_curve(samples.load, kappa, mu))
        expected = np.where(own, log_tau[samples.type], known + offset[samples.type])
        node = u[samples.type, samples.node_class] + v[samples.node]
        seen = _completed(samples, expected + node + curve, sigma[samples.type])
        robust = _huber(seen - expected - node - curve, samples.type) + expected + node + curve
        log_tau = _group_mean(robust - node - curve, samples.type, samples.weight * own, shape[0], 0.0, log_tau)
        offset = _group_mean(
            robust - node - curve - known, samples.type, samples.weight * ~own, shape[0], SHRINK_OFFSET
        )
        expected = np.where(own, log_tau[samples.type], known + offset[samples.type])
        left = seen - expected - node - curve
        left -= habits.of_types(left)
        within = _huber(left, samples.type) + node + curve
        on_class = _huber(left - habits.of_classes(left), samples.type) + node + curve
        u = np.clip(_cells(within - v[samples.node] - curve, samples, past, reference), -MAX_U, MAX_U)
        u -= np.where(_has(samples, shape)[:, reference], u[:, reference], 0.0)[:, None] * _has(samples, shape)
        v = np.clip(
            _group_mean(
                on_class - u[samples.type, samples.node_class] - curve,
                samples.node,
                samples.node_weight,
                len(v),
                SHRINK_NODE,
            ),
            -MAX_V,
            MAX_V,
        )
        u, v = _centred(u, v, samples, past, reference)
        u, v = np.clip(u, -MAX_U, MAX_U), np.clip(v, -MAX_V, MAX_V)
        node = u[samples.type, samples.node_class] + v[samples.node]
        kappa, mu = _curve(within - node, samples, kappa, mu)
        residual = robust - expected - node - np.log(load_curve(samples.load, kappa, mu))
        sigma = _sigma(residual, samples, shape[0])
    counts = _counts(samples, past)
    found = RuntimeFit(reference, u, v, kappa, mu, log_tau, sigma, counts, _has(samples, shape), residual)
    return _shifted(found, -u[:, reference]) if len(samples) else found


def anchored(
    found: RuntimeFit, samples: Samples, reference_class: str, known: Mapping[str, Mapping[str, float]]
) -> RuntimeFit:
    """The fit with `reference_class` as its zero, also where nothing ran on it: u of the `known` cells stays level.

    Else tau and u of types that came later would silently count from another class.
    """
    if not reference_class or reference_class in samples.classes or not len(samples):
        return found
    weight = np.zeros(found.u.shape)
    old = np.zeros(found.u.shape)
    for c, name in enumerate(samples.types):
        for n, node_class in enumerate(samples.classes):
            if node_class in known.get(name, {}) and found.counts[c, n]:
                weight[c, n], old[c, n] = found.counts[c, n], known[name][node_class]
    if not weight.any():
        return found
    whole = float((weight * (old - found.u)).sum() / weight.sum())
    by_type = weight.sum(axis=1)
    own = (weight * (old - found.u)).sum(axis=1)
    return _shifted(found, np.where(by_type > 0, own / np.maximum(by_type, 1.0), whole))


def _shifted(found: RuntimeFit, shift: FloatArray) -> RuntimeFit:
    """The same predictions with `shift` (by type) more in u and less in tau."""
    u = np.clip(found.u + shift[:, None], -MAX_U, MAX_U)
    return replace(found, u=u, log_tau=found.log_tau - shift)


def with_types(samples: Samples, found: RuntimeFit) -> RuntimeFit:
    """The fit with tau and sigma of each type as they are if nothing is known of a task but its type.

    Where declarations or identities say more of each task, the residuals of the fit are theirs: far too narrow for (1a)
    to weigh the type by.
    """
    count = len(samples.types)
    seen = _completed(
        samples, found.log_tau[samples.type] + found.log_node_factor(samples), found.sigma[samples.type]
    ) - found.log_node_factor(samples)
    robust = _huber(seen, samples.type)
    log_tau = _group_mean(robust, samples.type, samples.weight, count, 0.0, found.log_tau)
    return replace(found, log_tau=log_tau, sigma=_sigma(robust - log_tau[samples.type], samples, count))


def r_squared(samples: Samples, predicted: FloatArray) -> float:
    """Share of the variance of ln run time that a prediction explains, over the runs that ended."""
    ended = ~samples.censored
    actual = samples.log_runtime[ended]
    if len(actual) < 2:
        return 0.0
    total = float(((actual - actual.mean()) ** 2).sum())
    return 1.0 - float(((actual - predicted[ended]) ** 2).sum()) / total if total > 0 else 0.0


def model_terms(samples: Samples, found: RuntimeFit) -> dict[str, dict[str, Any]]:
    """U, V, Sigma, Counts and Tau as the parameter document writes them: cells with samples only, 3 decimals."""
    seen = found.present > 0
    return {
        "U": {
            name: {samples.classes[n]: round(float(found.u[c, n]), 3) for n in np.flatnonzero(seen[c])}
            for c, name in enumerate(samples.types)
        },
        "V": {name: round(float(found.v[j]), 3) for j, name in enumerate(samples.nodes)},
        "Sigma": {name: round(float(found.sigma[c]), 3) for c, name in enumerate(samples.types)},
        "Counts": {
            name: {samples.classes[n]: math.floor(10.0 * found.counts[c, n]) / 10.0 for n in np.flatnonzero(seen[c])}
            for c, name in enumerate(samples.types)
        },
        "Tau": {
            name: round(min(MAX_TAU, max(MIN_TAU, float(found.tau()[c]))), 3) for c, name in enumerate(samples.types)
        },
    }


def _cells(target: FloatArray, samples: Samples, past: Memory, reference: int) -> FloatArray:
    """u: means by type and class, shrunk to 0; where something is remembered, only what is new is added to it.

    What is remembered counts from the reference class, so it comes on top of what that has in this round.
    """
    cell, remembered = samples.cell(), past.runs.ravel()
    shape = past.u.shape
    plain = _group_mean(target, cell, samples.weight, len(remembered), SHRINK_CLASS).reshape(shape)
    known = (past.u + plain[:, reference][:, None]).ravel()
    weight = samples.weight * past.fresh
    strength = remembered + SHRINK_CLASS
    total = np.bincount(cell, weights=weight * target, minlength=len(known)) + strength * known
    mass = np.bincount(cell, weights=weight, minlength=len(known)) + strength
    return np.where(past.runs > 0, (total / mass).reshape(shape), plain)


def _counts(samples: Samples, past: Memory) -> FloatArray:
    """Runs that have ended that each u rests on."""
    cell, size = samples.cell(), past.runs.size
    ended = np.isfinite(samples.finish)
    all_runs = np.bincount(cell[ended], weights=samples.voice[ended], minlength=size)
    new = np.bincount(cell[past.fresh], weights=samples.voice[past.fresh], minlength=size)
    remembered = past.runs.ravel()
    rests_on = np.where(remembered > 0, np.minimum(past.most, remembered + new), all_runs)
    return np.asarray(rests_on.reshape(past.runs.shape))


def _centred(
    u: FloatArray, v: FloatArray, samples: Samples, past: Memory, reference: int
) -> tuple[FloatArray, FloatArray]:
    """Give what all nodes of a class have in common to the class: v is one machine's deviation from its like.

    Remembered cells do not take it: there it is what few new runs say against many old ones.
    """
    u, v = u.copy(), v.copy()
    fitted = (past.runs == 0).astype(np.float64)
    for index in range(len(samples.classes)):
        members = samples.node_class == index
        mean = float(np.average(v[samples.node[members]], weights=samples.node_weight[members]))
        v[np.unique(samples.node[members])] -= mean
        u[:, index] += mean * fitted[:, index]
    if (past.runs > 0).any():  # else the zero would move away from what is remembered, round by round
        u -= u[:, reference][:, None] * fitted
    return u, v


def reference_of(samples: Samples, wanted: str) -> int:
    """Index of the class that u counts from: the wanted one, or that with the most samples."""
    if wanted in samples.classes:
        return samples.classes.index(wanted)
    return int(np.bincount(samples.node_class, minlength=len(samples.classes)).argmax()) if len(samples) else 0


def _has(samples: Samples, shape: tuple[int, int]) -> FloatArray:
    """1 for each (type, class) with samples."""
    return (np.bincount(samples.cell(), minlength=shape[0] * shape[1]).reshape(shape) > 0).astype(np.float64)


def _completed(samples: Samples, mean: FloatArray, sigma: FloatArray) -> FloatArray:
    """ln run times; a censored one is replaced by its expectation given that it lasted at least so long."""
    z = (samples.log_runtime - mean) / sigma
    tail = np.maximum(1.0 - phi_cdf(z), 1e-6)
    return np.where(
        samples.censored, np.maximum(mean + sigma * phi_pdf(z) / tail, samples.log_runtime), samples.log_runtime
    )


def _huber(residual: FloatArray, group: IntArray) -> FloatArray:
    """Residuals pulled in to two sd of their group around its median; the sd from the median deviation."""
    found = residual.copy()
    for index in np.unique(group):
        members = group == index
        centre = float(np.median(residual[members]))
        scale = max(MIN_SCALE, MEDIAN_TO_SD * float(np.median(np.abs(residual[members] - centre))))
        found[members] = np.clip(residual[members], centre - HUBER * scale, centre + HUBER * scale)
    return found


def _group_mean(
    values: FloatArray,
    group: IntArray,
    weight: FloatArray,
    count: int,
    shrink: float,
    otherwise: FloatArray | None = None,
) -> FloatArray:
    """Weighted mean by group, shrunk to 0 by `shrink` pseudo-samples; `otherwise` where a group has no weight."""
    total = np.bincount(group, weights=weight * np.nan_to_num(values), minlength=count)
    mass = np.bincount(group, weights=weight, minlength=count) + shrink
    rest = np.zeros(count) if otherwise is None else otherwise
    found = rest.copy()
    np.divide(total, mass, out=found, where=mass > 0)
    return found


def _curve(target: FloatArray, samples: Samples, kappa: float, mu: float) -> tuple[float, float]:
    """One Gauss-Newton step for f(L) = 1 + kappa L^2 + mu max(0, L - 1), both at least 0, drawn to the cold values."""
    square, over = samples.load**2, np.maximum(0.0, samples.load - 1.0)
    value = load_curve(samples.load, kappa, mu)
    error = target - np.log(value)
    a, b = square / value, over / value
    weight = samples.weight
    matrix = np.array(
        [
            [float((weight * a * a).sum()) + SHRINK_CURVE * 0.02, float((weight * a * b).sum())],
            [float((weight * a * b).sum()), float((weight * b * b).sum()) + SHRINK_CURVE * 0.02],
        ]
    )
    right = np.array(
        [
            float((weight * a * error).sum()) + SHRINK_CURVE * 0.02 * (COLD_KAPPA - kappa),
            float((weight * b * error).sum()) + SHRINK_CURVE * 0.02 * (COLD_MU - mu),
        ]
    )
    step = np.linalg.solve(matrix, right)
    return (
        float(np.clip(kappa + 0.7 * step[0], 0.0, MAX_KAPPA)),
        float(np.clip(mu + 0.7 * step[1], 0.0, MAX_MU)),
    )


def _sigma(residual: FloatArray, samples: Samples, count: int) -> FloatArray:
    """Spread by type, shrunk to the pooled one."""
    square = residual**2
    weight = samples.weight * ~samples.censored
    pooled = float((weight * square).sum()) / max(float(weight.sum()), 1e-9) if weight.any() else COLD_LOG_SD**2
    total = np.bincount(samples.type, weights=weight * square, minlength=count) + SHRINK_SIGMA * pooled
    mass = np.bincount(samples.type, weights=weight, minlength=count) + SHRINK_SIGMA
    spread: list[float] = np.sqrt(total / mass).tolist()
    return np.array([min(MAX_LOG_SD, max(MIN_LOG_SD, one)) for one in spread])
