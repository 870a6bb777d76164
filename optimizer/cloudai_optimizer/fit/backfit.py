"""Backfitting of the run-time model, equation (1): each of its terms in turn, from what the others leave.

ln(runtime) = expected + u[c, n] + v[j] + ln f(L) + noise, with shrinkage towards 0: a cell with few samples claims
little. Runs that did not end (disrupted, still running) enter as censored: their expectation given that they lasted at
least so long replaces them in every round (Tobit by EM). What tenants' runs have in common beyond the others' is taken
out before machines are compared (`tenancy`).
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_optimizer.fit import tenancy
from cloudai_optimizer.fit.estimator import completed, group_mean, pulled_in, spread
from cloudai_optimizer.fit.memory import Memory
from cloudai_optimizer.fit.samples import Samples
from cloudai_optimizer.fit.tenancy import Habits
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.prediction import load_curve
from cloudai_rts.task import COLD_LOG_SD

SHRINK_CLASS: Final = 2.0
SHRINK_NODE: Final = 3.0
SHRINK_OFFSET: Final = 2.0
SHRINK_CURVE: Final = 20.0
CURVE_UNIT: Final = 0.02
"""What one run says of the curve, in its derivatives squared: so many of them pull kappa and mu to the cold values."""
CURVE_STEP: Final = 0.7
COLD_KAPPA: Final = 0.3
COLD_MU: Final = 2.0
MAX_KAPPA: Final = 5.0
MAX_MU: Final = 20.0
MAX_U: Final = 5.0
MAX_V: Final = 3.0
ROUNDS: Final = 30
TRUST_ROUNDS: Final = 10
"""Then it stays: weights that follow the residuals for ever need not come to rest."""


@dataclass(slots=True)
class Backfit:
    """The terms of (1) as they stand after some rounds.

    `known` is what is known of each very task (ln seconds), NaN where nothing but its type is. `offset` is what that
    is wrong by for one tenant's tasks of a type: else u or kappa, or other tenants, would have to take it. `u` is
    [types, classes], `v` by node; `log_tau` and `sigma` by type, `residual` by sample.
    """

    samples: Samples
    past: Memory
    reference: int
    known: FloatArray
    log_tau: FloatArray
    u: FloatArray = field(init=False)
    v: FloatArray = field(init=False)
    offset: FloatArray = field(init=False)
    sigma: FloatArray = field(init=False)
    residual: FloatArray = field(init=False)
    kappa: float = COLD_KAPPA
    mu: float = COLD_MU
    own: FloatArray = field(init=False)
    trust: FloatArray = field(init=False)
    habits: Habits = field(init=False)

    def __post_init__(self) -> None:
        types = len(self.samples.types)
        self.u = np.zeros((types, len(self.samples.classes)))
        self.v = np.zeros(len(self.samples.nodes))
        self.offset = np.zeros(types * len(self.samples.tenants))
        self.sigma = np.full(types, COLD_LOG_SD)
        self.residual = np.zeros(len(self.samples))
        self.trust = np.ones(len(self.samples))
        self.own = np.isnan(self.known).astype(np.float64)
        self.habits = Habits.of(self.samples)

    def run(self) -> None:
        """As many rounds as it takes for the terms to settle."""
        for number in range(ROUNDS):
            self._round(number)

    def _round(self, number: int) -> None:
        samples, node, curve = self.samples, self._node(), self._log_curve()
        mean = self._expected() + node + curve
        seen = completed(samples, mean, self.sigma[samples.type])
        robust = pulled_in(seen - mean, samples.type) + mean
        self._tasks(robust - node - curve)
        expected = self._expected()
        left = seen - expected - node - curve
        left -= self.habits.of_types(left)
        if number < TRUST_ROUNDS:
            self.trust = tenancy.trust(left, self.sigma[samples.type], samples)
        by_type = pulled_in(left, samples.type) + node
        by_class = pulled_in(left - self.habits.of_classes(left), samples.type) + node
        by_type -= self._off_in_cells(by_type)
        self._machines(by_type, by_class)
        node = self._node()
        self._curve(by_type + curve - node)
        self.residual = robust - expected - node - self._log_curve()
        sd = self.sigma[samples.type]
        off = self.habits.off_in_types(self.residual, samples.weight, sd, tenancy.FOR_SPREAD)
        self.sigma = spread(self.residual - off, samples, len(self.sigma))

    def _expected(self) -> FloatArray:
        """ln tau_i of each sample (1a)."""
        types = self.samples.type
        return np.where(self.own > 0, self.log_tau[types], self.known + self.offset[self._teller()])

    def _teller(self) -> IntArray:
        """One number for each (type, tenant)."""
        return self.samples.type * len(self.samples.tenants) + self.samples.tenant

    def _node(self) -> FloatArray:
        """u + v of each sample."""
        return self.u[self.samples.type, self.samples.node_class] + self.v[self.samples.node]

    def _log_curve(self) -> FloatArray:
        return np.log(load_curve(self.samples.load, self.kappa, self.mu))

    def _tasks(self, work: FloatArray) -> None:
        """ln tau by type from those of whom nothing else is known, the offset from the others."""
        samples, types, sd = self.samples, len(self.log_tau), self.sigma[self.samples.type]
        weight = samples.weight * self.trust * self.own
        work_of_type = work - self.habits.off_in_types(work, weight, sd)
        self.log_tau = group_mean(work_of_type, samples.type, weight, types, 0.0, self.log_tau)
        weight, error = samples.weight * self.trust * (1.0 - self.own), np.nan_to_num(work - self.known)
        self.offset = group_mean(error, self._teller(), weight, len(self.offset), SHRINK_OFFSET)

    def _off_in_cells(self, by_type: FloatArray) -> FloatArray:
        """What tenants say of a cell beyond what the others there, and what is remembered of it, can bear."""
        samples, past, weight = self.samples, self.past, self.samples.weight * self.trust
        target = by_type - self.v[samples.node]
        shape = past.u.shape
        mass = np.bincount(samples.cell(), weights=weight, minlength=past.u.size).reshape(shape)
        moved = group_mean(target, samples.cell(), weight, past.u.size, 0.0).reshape(shape) - past.known
        mass = np.where(np.isnan(moved), 0.0, mass)
        mass[:, self.reference] = 0.0
        known, runs = past.u + self.u[:, self.reference][:, None], past.runs.copy()
        told = mass.sum(axis=1) > 0  # where the other cells tell how far the zero itself has moved
        known[told, self.reference] = ((mass * np.nan_to_num(moved)).sum(axis=1)[told]) / mass.sum(axis=1)[told]
        runs[told, self.reference] = past.reference_runs[told]
        sd = self.sigma[samples.type]
        return self.habits.off_in_cells(target, weight, sd, known.ravel(), runs.ravel())

    def _machines(self, by_type: FloatArray, by_class: FloatArray) -> None:
        """u and v from what is left of a run's ln run time once task and load are taken out."""
        samples = self.samples
        u = self._cells(by_type - self.v[samples.node])
        u = np.clip(u, -MAX_U, MAX_U)
        u -= np.where(present(samples)[:, self.reference], u[:, self.reference], 0.0)[:, None] * present(samples)
        deviation = by_class - u[samples.type, samples.node_class]
        v = group_mean(deviation, samples.node, samples.node_weight * self.trust, len(self.v), SHRINK_NODE)
        u, v = self._centred(u, np.clip(v, -MAX_V, MAX_V))
        self.u, self.v = np.clip(u, -MAX_U, MAX_U), np.clip(v, -MAX_V, MAX_V)

    def _cells(self, target: FloatArray) -> FloatArray:
        """u: means by type and class, shrunk to 0; where something is remembered, only what is new is added to it.

        The remembered u counts from the reference class, so it comes on top of what that has in this round.
        """
        samples, past = self.samples, self.past
        cell, remembered = samples.cell(), past.runs.ravel()
        shape = past.u.shape
        plain = group_mean(target, cell, samples.weight * self.trust, len(remembered), SHRINK_CLASS).reshape(shape)
        known = (past.u + plain[:, self.reference][:, None]).ravel()
        weight = samples.weight * self.trust * past.fresh
        strength = remembered + SHRINK_CLASS
        total = np.bincount(cell, weights=weight * target, minlength=len(known)) + strength * known
        mass = np.bincount(cell, weights=weight, minlength=len(known)) + strength
        return np.where(past.runs > 0, (total / mass).reshape(shape), plain)

    def _centred(self, u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give what all nodes of a class have in common to the class: v is one machine's deviation from its like.

        Remembered cells do not take it: there it is what few new runs say against many old ones.
        """
        samples, past = self.samples, self.past
        u, v = u.copy(), v.copy()
        fitted = (past.runs == 0).astype(np.float64)
        for index in range(len(samples.classes)):
            members = samples.node_class == index
            mean = float(np.average(v[samples.node[members]], weights=samples.node_weight[members]))
            v[np.unique(samples.node[members])] -= mean
            u[:, index] += mean * fitted[:, index]
        if (past.runs > 0).any():  # else the zero would move away from what is remembered, round by round
            u -= u[:, self.reference][:, None] * fitted
        return u, v

    def _curve(self, target: FloatArray) -> None:
        """One Gauss-Newton step for f(L) = 1 + kappa L^2 + mu max(0, L - 1), both at least 0, drawn to the cold values.

        `target` is ln f of each sample as the other terms leave it.
        """
        samples = self.samples
        load, weight = samples.load, samples.load_weight * self.trust
        value = load_curve(load, self.kappa, self.mu)
        error = target - np.log(value)
        error -= self.habits.off_at_loads(error, weight, self.sigma[samples.type])
        slopes = np.stack([load**2 / value, np.maximum(0.0, load - 1.0) / value])
        pull = SHRINK_CURVE * CURVE_UNIT
        cold = np.array([COLD_KAPPA - self.kappa, COLD_MU - self.mu])
        matrix = (weight * slopes) @ slopes.T + pull * np.eye(2)
        step = CURVE_STEP * np.linalg.solve(matrix, (weight * slopes) @ error + pull * cold)
        self.kappa = float(np.clip(self.kappa + step[0], 0.0, MAX_KAPPA))
        self.mu = float(np.clip(self.mu + step[1], 0.0, MAX_MU))


def present(samples: Samples) -> FloatArray:
    """1 for each (type, class) with samples."""
    shape = (len(samples.types), len(samples.classes))
    return (np.bincount(samples.cell(), minlength=shape[0] * shape[1]).reshape(shape) > 0).astype(np.float64)
