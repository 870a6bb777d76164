"""What the fits of run times share: means that odd or hostile runs cannot pull far, and runs that did not end."""

from typing import Final

import numpy as np

from cloudai_optimizer.fit.samples import Samples
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.normal import phi_cdf, phi_pdf
from cloudai_rts.task import COLD_LOG_SD, MAX_LOG_SD, MIN_LOG_SD

HUBER: Final = 2.0
"""Residuals beyond two robust sd are pulled in: a hostile or broken record moves a mean no further than an odd one."""
MIN_SCALE: Final = 0.1
MEDIAN_TO_SD: Final = 1.4826
SHRINK_SIGMA: Final = 8.0


def completed(samples: Samples, mean: FloatArray, sigma: FloatArray) -> FloatArray:
    """ln run times; a censored one is replaced by its expectation given that it lasted at least so long."""
    z = (samples.log_runtime - mean) / sigma
    tail = np.maximum(1.0 - phi_cdf(z), 1e-6)
    return np.where(
        samples.censored, np.maximum(mean + sigma * phi_pdf(z) / tail, samples.log_runtime), samples.log_runtime
    )


def centre_and_scale(values: FloatArray, group: IntArray) -> tuple[FloatArray, FloatArray]:
    """Median of its group and the sd that the median deviation from it tells, by sample."""
    centre, scale = np.empty(len(values)), np.empty(len(values))
    for index in np.unique(group):
        members = group == index
        centre[members] = middle = float(np.median(values[members]))
        scale[members] = max(MIN_SCALE, MEDIAN_TO_SD * float(np.median(np.abs(values[members] - middle))))
    return centre, scale


def pulled_in(residual: FloatArray, group: IntArray) -> FloatArray:
    """Residuals pulled in to two robust sd of their group around its median (Huber)."""
    centre, scale = centre_and_scale(residual, group)
    return np.clip(residual, centre - HUBER * scale, centre + HUBER * scale)


def group_mean(
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
    means = rest.copy()
    np.divide(total, mass, out=means, where=mass > 0)
    return means


def spread(residual: FloatArray, samples: Samples, count: int) -> FloatArray:
    """Sd of the residuals by type, shrunk to the pooled one, within what a document may say."""
    square = residual**2
    weight = samples.weight * ~samples.censored
    pooled = float((weight * square).sum()) / max(float(weight.sum()), 1e-9) if weight.any() else COLD_LOG_SD**2
    total = np.bincount(samples.type, weights=weight * square, minlength=count) + SHRINK_SIGMA * pooled
    mass = np.bincount(samples.type, weights=weight, minlength=count) + SHRINK_SIGMA
    return np.clip(np.sqrt(total / mass), MIN_LOG_SD, MAX_LOG_SD)
