"""Run times: equation (1), the load curve, and what is known about one task (1a)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_rts import prediction
from cloudai_rts.contract import MAX_SECONDS
from cloudai_rts.parameters import Indication, RuntimeModel
from cloudai_rts.prediction import BUILT_IN_LOG_SD, Estimate, Said
from cloudai_rts.task import COLD_LOG_SD, MAX_LOG_SD, MIN_LOG_SD


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
    found = prediction.heard(Estimate(400.0, 0.5), 100.0, prediction.COLD_DECLARED, math.inf)
    weights = 1 / 0.36, 1 / 0.25
    expected = math.exp((math.log(100) * weights[0] + math.log(400) * weights[1]) / sum(weights))
    assert found.seconds == pytest.approx(expected)
    assert found.log_sd == pytest.approx(math.sqrt(1 / sum(weights)))


def test_history_alone_without_a_word() -> None:
    """Nobody declared anything: the type's run time and spread; a deadline of a stranger's says nothing."""
    runtime = RuntimeModel(Sigma={"a": 0.4})
    for said in (Said(), Said("ann", allowed=900.0)):
        assert prediction.estimate("a", 400.0, said, runtime) == Estimate(400.0, 0.4)


def test_a_users_habit_of_erring_is_corrected() -> None:
    """A user who always declares half of what it takes (bias ln 2) is believed accordingly; a stranger literally."""
    runtime = RuntimeModel(Declared={"ann": Indication(math.log(2), 0.05, 20)})
    by_ann, by_bob = (prediction.estimate("a", 200.0, Said(user, 100.0), runtime) for user in ("ann", "bob"))
    assert by_ann.seconds == pytest.approx(200.0, rel=0.01)
    assert by_bob == prediction.heard(Estimate(200.0, 0.5), 100.0, prediction.COLD_DECLARED, math.inf)


def test_words_that_know_half_of_it() -> None:
    """Share .5, error 0.3, prior sd .6: known variance .18, trust .18 / .27 = 2/3; a surprise of ln 2 moves by 2/3."""
    indication = Indication(-0.7, 0.3, 50, 0.5)
    middle = math.log(100.0) - 0.5 * 0.36  # mean of ln when the mean is 100 s
    found = prediction.heard(
        Estimate(100.0, 0.6), math.exp(middle + 0.7 + math.log(2) - 0.1), indication, math.inf, 0.1
    )
    left = 0.36 - 2 / 3 * 0.18
    assert found.log_sd == pytest.approx(math.sqrt(left))
    assert math.log(found.seconds) == pytest.approx(middle + 2 / 3 * math.log(2) + 0.5 * left)


def test_words_that_know_nothing_change_nothing() -> None:
    """Share 0: what is known stays as it is, to the last digit."""
    known = Estimate(123.456, 0.7)
    assert prediction.heard(known, 5.0, Indication(0.0, 0.1, 9, 0.0), math.inf) is known


@given(st.floats(0.05, 2.0), st.floats(0.05, 2.0), st.floats(0.0, 1.0), st.floats(1e-3, 1e8))
def test_words_never_make_less_certain(log_sd: float, error: float, share: float, said: float) -> None:
    """Whatever is said, the spread that is left is no larger than before and what comes out is a time."""
    found = prediction.heard(Estimate(600.0, log_sd), said, Indication(0.0, error, 9, share), prediction.FAR)
    assert 0.0 < found.log_sd <= log_sd * (1 + 1e-12)
    assert 0.0 < found.seconds < math.inf


def test_who_allows_little_expects_little() -> None:
    """A user whose deadlines are twice the true size: ten minutes allowed mean five, whatever the type takes."""
    runtime = RuntimeModel(
        Sigma={"a": 1.0, "b": 1.0}, Allowed={"ann": Indication(-math.log(2), 0.1, 99)}, AllowedOf={"b": math.log(2)}
    )
    for task_type, seconds in (("a", 300.0), ("b", 600.0)):
        found = prediction.estimate(task_type, 3600.0, Said("ann", allowed=600.0), runtime)
        assert found.seconds == pytest.approx(seconds, rel=0.05)
        assert found.log_sd == pytest.approx(math.hypot(0.1, prediction.NODE_LOG_SD), rel=0.05)
    assert prediction.estimate("a", 3600.0, Said("bob", allowed=600.0), runtime).log_sd > 0.4


def test_no_real_deadline() -> None:
    """A year where the user usually allows twice the size: an hour does not become half a year, nor is it certain."""
    runtime = RuntimeModel(Sigma={"a": 0.6}, Allowed={"ann": Indication(-0.7, 0.3, 99, 0.9)})
    found = prediction.estimate("a", 3600.0, Said("ann", allowed=MAX_SECONDS), runtime)
    assert found.seconds < 16 * 3600.0
    assert found.log_sd > 0.5


@given(st.floats(1e-9, 1e12), st.floats(1e-3, MAX_SECONDS), st.floats(-5, 5), st.floats(0.05, 2.0), st.floats(0.05, 2))
def test_estimates_are_run_times(said: float, tau: float, bias: float, error: float, sigma: float) -> None:
    """Whatever is said and known: between a millisecond and a year, so that pods' annotations can be read."""
    words = Indication(bias, error, 9)
    runtime = RuntimeModel(Sigma={"a": sigma}, Allowed={"ann": words}, Declared={"ann": words})
    found = prediction.estimate("a", tau, Said("ann", said, said), runtime)
    assert 0.001 <= found.seconds <= MAX_SECONDS
    assert MIN_LOG_SD <= found.log_sd <= MAX_LOG_SD


@pytest.mark.parametrize("allowed", [-5.0, 0.0])
def test_a_deadline_before_the_arrival_says_nothing(allowed: float) -> None:
    """Nobody can have meant it."""
    runtime = RuntimeModel(Sigma={"a": 0.4}, Allowed={"ann": Indication(-0.7, 0.1, 99)})
    assert prediction.estimate("a", 400.0, Said("ann", allowed=allowed), runtime) == Estimate(400.0, 0.4)


def test_the_odder_a_word_the_less_it_is_heeded() -> None:
    """Up to three sd it counts fully; ten times as odd moves less, and makes less certain."""
    known, indication = Estimate(600.0, 0.6), Indication(0.0, 0.3, 99)
    middle = 600.0 * math.exp(-0.18)
    sd = math.hypot(0.6, 0.3)
    moved = [prediction.heard(known, middle * math.exp(times * sd), indication, 3.0) for times in (2.9, 3.1, 30.0)]
    assert moved[0].log_sd == pytest.approx(math.sqrt(0.36 * 0.09 / 0.45))
    assert moved[0].log_sd < moved[1].log_sd < moved[2].log_sd
    assert moved[2].seconds < 0.6 * moved[1].seconds


@pytest.mark.parametrize("declared", [60.0, 300.0, 3600.0, 14_400.0])
def test_a_declaration_rules_where_nothing_is_learned(declared: float) -> None:
    """A built-in run time is a guess: five minutes declared are no nine and a half."""
    found = prediction.estimate("gpu-training", 900.0, Said("u", declared), RuntimeModel(), has_learned=False)
    assert found.seconds == pytest.approx(declared, rel=0.15)
    assert 0.5 <= found.log_sd <= 0.65


def test_products_are_a_guess_for_classes_that_nobody_ran_on() -> None:
    """Cold: around a middling product. Learned: moved by what is known of others. Without GPUs: nothing is guessed."""
    names = ["NVIDIA-V100", "NVIDIA-H100", "64c-256g"]
    v100, h100, cpu = prediction.class_factors("t", names, RuntimeModel(), on_gpu=True)
    assert (v100 + h100, cpu) == (pytest.approx(0.0), 0.0)
    assert h100 < -0.3 < 0.3 < v100
    declared = prediction.class_factors("t", names, RuntimeModel(ReferenceClass="NVIDIA-V100"), on_gpu=True)
    assert declared.tolist() == pytest.approx([0.0, h100 - v100, 0.0])  # a run time is one on the reference class
    known = RuntimeModel(U={"t": {"NVIDIA-V100": 0.2}})
    learned = prediction.class_factors("t", names, known, on_gpu=True)
    assert learned[0] == 0.2
    assert learned[1] == pytest.approx(0.2 + h100 - v100)
    assert prediction.class_factors("t", names, known).tolist() == [0.2, 0.0, 0.0]


def test_a_built_in_run_time_is_a_wide_guess() -> None:
    """Nobody has seen a task of the type here: its spread is that of types in published traces."""
    assert prediction.estimate("t", 600.0, Said(), RuntimeModel(), has_learned=False).log_sd == BUILT_IN_LOG_SD
    assert prediction.estimate("t", 600.0, Said(), RuntimeModel()).log_sd == COLD_LOG_SD


def test_a_deadline_says_something_of_a_type_that_nobody_has_seen() -> None:
    """A minute allowed and ten days are not the same task; once the type is known, a stranger's say nothing."""
    short, long = (
        prediction.estimate("new", 600.0, Said("ann", allowed=allowed), RuntimeModel(), has_learned=False)
        for allowed in (60.0, 864_000.0)
    )
    assert short.seconds < 600.0 < 3.0 * 600.0 < long.seconds
    assert short.log_sd < BUILT_IN_LOG_SD
