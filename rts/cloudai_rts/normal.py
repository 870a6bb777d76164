"""The standard normal distribution on arrays: NumPy has no Phi, and SciPy is a large dependency for one function."""

import math
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray

PHI_MAX_ERROR: Final = 1.0e-7
"""Bound on the absolute error of `phi_cdf` (the approximation's own bound is 7.5e-8)."""

_P: Final = 0.2316419
_COEFFICIENTS: Final = (0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429)
_SQRT_2PI: Final = math.sqrt(2.0 * math.pi)
_FAR: Final = 40.0  # beyond it the density underflows to 0; clipping keeps infinities out of the polynomial


def phi_cdf(z: FloatArray) -> FloatArray:
    """Phi(z), elementwise, within `PHI_MAX_ERROR` (Abramowitz and Stegun 26.2.17); +-inf give 1 and 0."""
    magnitude = np.minimum(np.abs(z), _FAR)
    t = 1.0 / (1.0 + _P * magnitude)
    c1, c2, c3, c4, c5 = _COEFFICIENTS
    tail = phi_pdf(magnitude) * t * (c1 + t * (c2 + t * (c3 + t * (c4 + t * c5))))
    return np.where(z > 0, 1.0 - tail, tail)


def phi(z: float) -> float:
    """Phi(z) of one number."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def phi_pdf(z: FloatArray) -> FloatArray:
    """Density of the standard normal distribution, elementwise."""
    return np.exp(-0.5 * z * z) / _SQRT_2PI
