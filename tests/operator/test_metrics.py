"""What the operator says about learning: a CronJob's own metrics would be gone with it."""

import math

from prometheus_client import CollectorRegistry

from cloudai_operator.metrics import OperatorMetrics


def test_evidence_becomes_metrics() -> None:
    """Numbers are shown, releases and rollbacks counted once a version, anything else is left out."""
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    guard = {"accepted": True, "gain": 0.01}
    metrics.show_learning(0, {})
    metrics.show_learning(1, {"Result": "fitted", "EpochSeconds": 2.5, "R2": "high", "Tasks": 40})
    metrics.show_learning(2, {"Result": "tuned", "BestFitness": -0.1, "Guard": guard, "R2": 0.7})
    metrics.show_learning(2, {"Result": "tuned", "Guard": guard})
    assert registry.get_sample_value("cloudai_guard_gain") == 0.01
    assert registry.get_sample_value("cloudai_guard_accepted") == 1.0
    metrics.show_learning(3, {"Result": "rolled back", "Guard": None})
    metrics.show_learning(4, {"Result": ["odd"]})

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("cloudai_ga_epoch_duration_seconds") == 2.5
    assert value("cloudai_ga_training_data_points") == 40.0
    assert value("cloudai_ga_best_fitness_score") == -0.1
    assert value("cloudai_fit_r2") == 0.7
    assert math.isnan(value("cloudai_guard_gain") or 0.0)
    assert math.isnan(value("cloudai_guard_accepted") or 0.0)
    assert value("cloudai_parameter_releases_total", result="tuned") == 1.0
    assert value("cloudai_parameter_rollbacks_total") == 1.0
    assert value("cloudai_parameters_version") == 4.0


def test_a_restart_releases_nothing() -> None:
    """The document in force at the start was counted by the process before; rollbacks must not be reported again."""
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    metrics.show_learning(7, {"Result": "rolled back"})
    assert registry.get_sample_value("cloudai_parameter_rollbacks_total") == 0.0
    metrics.show_learning(8, {"Result": "rolled back"})
    assert registry.get_sample_value("cloudai_parameter_rollbacks_total") == 1.0
