"""EDD 4.3: theta by non-negative ridge regression of actual / tau - 1 on the request ratios and the load.

Four coefficients are few enough to look at every set of active ones: the best fit whose coefficients are all positive
is the exact solution. The intercept is free and folded in: tau' = tau (1 + b), theta' = theta / (1 + b).
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray
from cloudai_rts.parameters import ThetaTerms

RIDGE: Final = 10.0
MAX_THETA: Final = 5.0
MAX_RATIO: Final = 20.0
MIN_INTERCEPT: Final = -0.9


@dataclass(frozen=True, slots=True)
class ThetaFit:
    """Theta with the intercept folded in, and the factor (1 + b) that belongs to every tau."""

    theta: ThetaTerms
    tau_factor: float

    def unfolded(self) -> ThetaTerms:
        """Theta for a tau that stays as it is: tau (1 + b) theta' = tau theta."""
        values = (self.theta.Theta1, self.theta.Theta2, self.theta.Theta3, self.theta.Theta4)
        return ThetaTerms(*(min(MAX_THETA, round(value * self.tau_factor, 4)) for value in values))


def fit(features: FloatArray, slowdown: FloatArray, ridge: float = RIDGE) -> ThetaFit:
    """`features` is [samples, 4]: CPU, memory, GPU ratio, load (EDD 3.5); `slowdown` = actual / tau - 1."""
    usable = np.isfinite(features).all(axis=1) & np.isfinite(slowdown)
    x, y = np.clip(features[usable], 0.0, MAX_RATIO), slowdown[usable]
    if len(y) < 2:
        return ThetaFit(ThetaTerms(0.1, 0.1, 0.3, 0.2), 1.0)
    best: tuple[float, float, FloatArray] | None = None
    for size in range(x.shape[1] + 1):
        for active in combinations(range(x.shape[1]), size):
            candidate = _solve(x[:, active], y, ridge)
            if candidate is None or (candidate[1:] < 0).any():
                continue
            theta = np.zeros(x.shape[1])
            theta[list(active)] = candidate[1:]
            error = float(((y - candidate[0] - x @ theta) ** 2).sum()) + ridge * float((theta**2).sum())
            if best is None or error < best[0] - 1e-12:
                best = (error, float(candidate[0]), theta)
    if best is None:
        return ThetaFit(ThetaTerms(0.0, 0.0, 0.0, 0.0), 1.0)
    factor = 1.0 + max(MIN_INTERCEPT, best[1])
    folded = [min(MAX_THETA, round(float(value) / factor, 4)) for value in best[2]]
    return ThetaFit(ThetaTerms(*folded), factor)


def _solve(x: FloatArray, y: FloatArray, ridge: float) -> FloatArray | None:
    """Intercept and coefficients by the normal equations; the intercept is not shrunk."""
    design = np.column_stack([np.ones(len(y)), x])
    penalty = np.diag([0.0, *[ridge] * x.shape[1]])
    try:
        return np.asarray(np.linalg.solve(design.T @ design + penalty, design.T @ y), np.float64)
    except np.linalg.LinAlgError:
        return None
