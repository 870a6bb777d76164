"""The approximation of Phi."""

import math

import numpy as np

from cloudai_rts.normal import PHI_MAX_ERROR, phi_cdf, phi_pdf


def exact(z: float) -> float:
    """Phi by the standard library's error function."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


def test_error_is_within_the_stated_bound() -> None:
    """100,000 points between -10 and 10 differ from the exact value by at most PHI_MAX_ERROR."""
    z = np.linspace(-10, 10, 100_001)
    expected = np.array([exact(float(value)) for value in z])
    assert float(np.abs(phi_cdf(z) - expected).max()) <= PHI_MAX_ERROR


def test_infinities_and_monotony() -> None:
    """Infinite arguments give 0 and 1, and larger arguments never give less."""
    assert phi_cdf(np.array([-np.inf, np.inf])).tolist() == [0.0, 1.0]
    assert (np.diff(phi_cdf(np.linspace(-8, 8, 10_001))) >= -1e-12).all()


def test_density() -> None:
    """phi(0) = 1 / sqrt(2 pi)."""
    assert math.isclose(float(phi_pdf(np.array([0.0]))[0]), 1 / math.sqrt(2 * math.pi))
