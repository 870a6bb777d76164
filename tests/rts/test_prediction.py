"""Run times: equation (1), the load curve, and what is known about one task (1a)."""

import math

import numpy as np
import pytest

from cloudai_rts import prediction
from cloudai_rts.parameters import DeclaredError, RuntimeModel
from cloudai_rts.prediction import Estimate


def test_load_curve_by_hand() -> None:
    """f(.5) = 1 + .3 x .25 = 1.075; f(1.5) = 1 + .3 x 2.25 + 2 x .5 = 2.675."""
    found = prediction.load_curve(np.array([0.0, 0.5, 1.5]), 0.3, 2.0)
    assert found.tolist() == pytest.approx([1.0, 1.075, 2.675])


def test_load_curve_slope_matches_differences() -> None:
    """f' is the derivative of f, off the kink."""
    load = np.array([0.2, 0.7, 1.4])
    step = 1e-6
    numeric = (prediction.load_curve(load + step, 0.3, 2.0) - prediction.load_curve(load - step, 0.3, 2.0)) / (2 * step)
    np.testing.assert_allclose(prediction.load_curve_slope(load, 0.3, 2.0), numeric, rtol=1e-5)


def test_run_time_by_hand() -> None:
    """(1): 100 s x e^(-1) x e^(.2) x f(.5) on a class with u = -1, a node with v = .2."""
    u, v = np.array([0.0, -1.0]), np.array([0.0, 0.2])
    curve = prediction.load_curve(np.array([0.0, 0.5]), 0.3, 2.0)
    found = np.exp(prediction.log_runtime(100.0, u, np.array([0, 1]), v, curve))
    assert found[0] == pytest.approx(100.0)
    assert found[1] == pytest.approx(100 * math.exp(-0.8) * 1.075)


def test_unknown_types_classes_and_nodes_have_factor_one() -> None:
    """Where nothing is known, u = v = 0."""
    runtime = RuntimeModel(U={"a": {"fast": -1.0}}, V={"n1": 0.5})
    assert prediction.class_factors("a", ["fast", "new"], runtime).tolist() == [-1.0, 0.0]
    assert prediction.class_factors("never", ["fast"], runtime).tolist() == [0.0]
    assert prediction.node_factors(["n1", "n2"], runtime).tolist() == [0.5, 0.0]


def test_declared_and_history_by_hand() -> None:
    """(1a): declared 100 s (sd .6), history 400 s (sd .5): weights 2.78 and 4, ln tau = (12.79 + 23.97) / 6.78."""
    found = prediction.combine(Estimate(100.0, 0.6), Estimate(400.0, 0.5), 0.0)
    weights = 1 / 0.36, 1 / 0.25
    expected = math.exp((math.log(100) * weights[0] + math.log(400) * weights[1]) / sum(weights))
    assert found.seconds == pytest.approx(expected)
    assert found.log_sd == pytest.approx(math.sqrt(1 / sum(weights)))


def test_history_alone_without_a_declaration() -> None:
    """Nobody declared anything: the type's run time and spread."""
    assert prediction.combine(None, Estimate(400.0, 0.5), 0.0) == Estimate(400.0, 0.5)


def test_a_users_habit_of_erring_is_corrected() -> None:
    """Who always declares half of what it takes (bias ln 2) is believed accordingly; a stranger at his word."""
    runtime = RuntimeModel(Declared={"ann": DeclaredError(math.log(2), 0.3, 20)})
    assert prediction.declared_estimate(100.0, "ann", runtime).seconds == pytest.approx(200.0)
    assert prediction.declared_estimate(100.0, "bob", runtime) == Estimate(100.0, 0.6)
