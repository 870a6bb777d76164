"""EDD's theta from samples."""

import numpy as np
import pytest

from cloudai_optimizer.fit.theta import fit

TRUE = np.array([0.3, 0.15, 0.5, 0.8])


def samples(count: int = 2000, noise: float = 0.05, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Slow-downs under a known theta."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (count, 4))
    return x, x @ TRUE + rng.normal(0, noise, count)


def test_recovered_within_five_percent() -> None:
    """2,000 samples, 5 % noise, no ridge."""
    found = fit(*samples(), ridge=0.0)
    assert [found.theta.Theta1, found.theta.Theta2, found.theta.Theta3, found.theta.Theta4] == pytest.approx(
        TRUE.tolist(), rel=0.05
    )
    assert found.tau_factor == pytest.approx(1.0, abs=0.01)


def test_the_intercept_is_folded_in() -> None:
    """Actual = 2 tau (1 + x theta): the intercept becomes tau' = 2 tau, theta stays."""
    x, slow = samples(noise=0.0)
    found = fit(x, 2.0 * (1.0 + slow) - 1.0, ridge=0.0)
    assert found.tau_factor == pytest.approx(2.0, rel=1e-6)
    assert found.theta.Theta3 == pytest.approx(0.5, rel=1e-3)


def test_never_negative() -> None:
    """A feature that seems to speed things up weighs nothing."""
    x, _ = samples()
    found = fit(x, -0.5 * x[:, 0] + 0.4 * x[:, 3], ridge=0.0)
    assert found.theta.Theta1 == 0.0
    assert found.theta.Theta4 > 0.3


def test_rubbish_is_left_out() -> None:
    """NaN and infinite ratios (nothing was available) are no samples."""
    x, slow = samples()
    x[::7, 1], slow[::11] = np.nan, np.inf
    assert fit(x, slow, ridge=0.0).theta.Theta4 == pytest.approx(0.8, rel=0.05)
