"""What the operator says about learning: a CronJob's own metrics would be gone with it."""

import math

import pytest
from prometheus_client import CollectorRegistry

from cloudai_kube.epoch_note import EpochNote
from cloudai_kube.task import Attempt, TaskStatus
from cloudai_operator.metrics import OperatorMetrics


def test_evidence_becomes_metrics() -> None:
    """Numbers are shown, releases and rollbacks counted once a version, anything else is left out."""
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    guard = {"accepted": True, "gain": 0.01, "lower_bound": 0.004}
    metrics.show_learning(0, {})
    metrics.show_learning(1, {"Result": "fitted", "R2": "high", "Tasks": 40})
    metrics.show_learning(2, {"Result": "tuned", "BestFitness": -0.1, "Guard": guard, "R2": 0.7, "R2TauAlone": 0.4})
    metrics.show_learning(2, {"Result": "tuned", "Guard": guard})
    assert registry.get_sample_value("cloudai_guard_gain") == 0.01
    assert registry.get_sample_value("cloudai_guard_gain_lower_bound") == 0.004
    assert registry.get_sample_value("cloudai_guard_accepted") == 1.0
    metrics.show_learning(3, {"Result": "rolled back", "Guard": None})
    metrics.show_learning(4, {"Result": ["odd"]})

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("cloudai_ga_training_data_points") == 40.0
    assert value("cloudai_ga_best_fitness_score") == -0.1
    assert (value("cloudai_fit_r2"), value("cloudai_fit_r2_type_alone")) == (0.7, 0.4)
    assert math.isnan(value("cloudai_guard_gain") or 0.0)
    assert math.isnan(value("cloudai_guard_accepted") or 0.0)
    assert value("cloudai_parameter_releases_total", result="tuned") == 1.0
    assert value("cloudai_parameter_rollbacks_total") == 1.0
    assert value("cloudai_parameters_version") == 4.0


@pytest.mark.parametrize(
    ("predicted", "seconds", "ratio"),
    [
        (100.0, 150.0, 1.5),
        (1e-300, 1.0, 1000.0),
        (0, 1.0, None),
        ("x", 1.0, None),
        (None, 1.0, None),
        (1.0, None, None),
    ],
)
def test_run_times_are_compared_with_predictions(predicted: object, seconds: float | None, ratio: float | None) -> None:
    """Whatever the status says; one absurd figure hides no other."""
    registry = CollectorRegistry()
    status = TaskStatus(
        attempts=[Attempt("u", decision={"predictedRuntimeSeconds": predicted})], runtimeSeconds=seconds
    )
    OperatorMetrics(registry).show_runtime(status)
    assert registry.get_sample_value("cloudai_operator_runtime_ratio_sum") == (ratio or 0.0)
    assert registry.get_sample_value("cloudai_operator_runtime_ratio_count") == (0 if ratio is None else 1)


def test_a_restart_releases_nothing() -> None:
    """The document in force at the start was counted by the process before; rollbacks must not be reported again."""
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    metrics.show_learning(7, {"Result": "rolled back"})
    assert registry.get_sample_value("cloudai_parameter_rollbacks_total") == 0.0
    metrics.show_learning(8, {"Result": "rolled back"})
    assert registry.get_sample_value("cloudai_parameter_rollbacks_total") == 1.0


@pytest.mark.parametrize(
    ("result", "label"), [("unchanged", "unchanged"), ("failed: HistoryError", "failed"), ("<b>", "other")]
)
def test_every_epoch_is_told_of(result: str, label: str) -> None:
    """When it ended and how, how long it took, and what it could not use; of an earlier one nothing is left."""
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    metrics.show_epoch(EpochNote("2026-01-01T00:00:00Z", "tuned", "", 9.0, {"record: it is there twice": 7}))
    metrics.show_epoch(EpochNote("2026-01-01T00:01:00Z", result, "", 2.5, {"measurement: stale": 3}))
    metrics.show_epoch(EpochNote("yesterday", "tuned", "", 1.0))
    metrics.show_epoch(EpochNote("2026-01-01T00:01:00Z", result))
    assert registry.get_sample_value("cloudai_ga_last_epoch_timestamp_seconds", {"result": label}) == 1_767_225_660.0
    assert registry.get_sample_value("cloudai_ga_epoch_duration_seconds") == 2.5
    assert registry.get_sample_value("cloudai_ga_dropped", {"what": "measurement: stale"}) == 3.0
    assert registry.get_sample_value("cloudai_ga_dropped", {"what": "record: it is there twice"}) is None
