"""What the operator tells Prometheus."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cloudai_kube import timestamp
from cloudai_kube.epoch_note import EpochNote
from cloudai_kube.errors import FormatError
from cloudai_kube.task import TaskStatus

ROLLED_BACK: Final = "rolled back"
_RESULTS: Final = frozenset({"fitted", "tuned", "promoted", ROLLED_BACK})
_EPOCHS: Final = _RESULTS | {"unchanged", "running", "frozen", "failed"}
_GUARD: Final = ("gain", "lower_bound", "accepted")
MOST_REASONS: Final = 32
LONGEST_REASON: Final = 100
_RATIOS: Final = (0.25, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 4.0)
_MOST_RATIO: Final = 1000.0
"""A status can be forged, and one absurd figure would hide all others in the sum."""
_SECONDS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


@dataclass(slots=True)
class OperatorMetrics:
    """All metrics of the process, in a registry of their own."""

    registry: CollectorRegistry
    tasks: Gauge = field(init=False)
    finished: Counter = field(init=False)
    deadlines: Counter = field(init=False)
    attempts: Counter = field(init=False)
    runtime_ratio: Histogram = field(init=False)
    refusals: Counter = field(init=False)
    errors: Counter = field(init=False)
    parked: Counter = field(init=False)
    reconcile_seconds: Histogram = field(init=False)
    queue: Gauge = field(init=False)
    break_glass: Gauge = field(init=False)
    leader: Gauge = field(init=False)
    ga_epoch_seconds: Gauge = field(init=False)
    ga_best_fitness: Gauge = field(init=False)
    ga_data_points: Gauge = field(init=False)
    fit_r2: Gauge = field(init=False)
    fit_r2_type: Gauge = field(init=False)
    fit_residual: Gauge = field(init=False)
    guard_gain: Gauge = field(init=False)
    guard_bound: Gauge = field(init=False)
    guard_accepted: Gauge = field(init=False)
    rollbacks: Counter = field(init=False)
    releases: Counter = field(init=False)
    last_epoch: Gauge = field(init=False)
    epoch_dropped: Gauge = field(init=False)
    _shown: int = -1
    parameters_version: Gauge = field(init=False)
    history_waiting: Gauge = field(init=False)
    history_written: Counter = field(init=False)
    history_errors: Counter = field(init=False)
    history_dropped: Counter = field(init=False)

    def __post_init__(self) -> None:
        prefix = "cloudai_operator_"
        registry = self.registry
        self.tasks = Gauge(prefix + "tasks", "Tasks that exist", registry=registry)
        self.finished = Counter(prefix + "tasks_finished", "Tasks that ended", ["result"], registry=registry)
        self.deadlines = Counter(prefix + "deadlines", "Deadlines of ended Tasks", ["met"], registry=registry)
        self.attempts = Counter(prefix + "attempts", "Ended attempts by outcome", ["outcome"], registry=registry)
        self.runtime_ratio = Histogram(
            prefix + "runtime_ratio",
            "Real run time of completed Tasks, as a multiple of the predicted one",
            buckets=_RATIOS,
            registry=registry,
        )
        self.refusals = Counter(prefix + "pods_refused", "Pods that could not be created", registry=registry)
        self.errors = Counter(prefix + "errors", "Reconciliations that failed", registry=registry)
        self.parked = Counter(prefix + "objects_parked", "Objects not handled by kind", ["kind"], registry=registry)
        self.reconcile_seconds = Histogram(
            prefix + "reconcile_duration_seconds", "One reconciliation", buckets=_SECONDS, registry=registry
        )
        self.queue = Gauge(prefix + "queue_length", "Tasks waiting for a worker", registry=registry)
        self.break_glass = Gauge(
            prefix + "break_glass", "1 while Task pods go to the cluster's own scheduler", registry=registry
        )
        self.leader = Gauge(prefix + "leader", "1 while this process leads", registry=registry)
        self.history_waiting = Gauge(prefix + "history_waiting", "Records not yet in the database", registry=registry)
        self.history_written = Counter(prefix + "history_written", "Records written", registry=registry)
        self.history_errors = Counter(prefix + "history_errors", "Failed writes of history", registry=registry)
        self.history_dropped = Counter(prefix + "history_dropped", "Records given up", registry=registry)
        self._learning()

    def _learning(self) -> None:
        """What the optimizer left in the document: a CronJob's own metrics would be gone with it."""
        registry = self.registry
        self.ga_epoch_seconds = Gauge("cloudai_ga_epoch_duration_seconds", "Last epoch", registry=registry)
        self.ga_best_fitness = Gauge("cloudai_ga_best_fitness_score", "Best fitness of its search", registry=registry)
        self.ga_data_points = Gauge("cloudai_ga_training_data_points", "Finished tasks it used", registry=registry)
        self.fit_r2 = Gauge("cloudai_fit_r2", "Explained variance of ln run time", registry=registry)
        self.fit_r2_type = Gauge("cloudai_fit_r2_type_alone", "The same, by the type alone", registry=registry)
        self.fit_residual = Gauge("cloudai_fit_residual_sd", "Spread of ln run time that is left", registry=registry)
        self.guard_gain = Gauge("cloudai_guard_gain", "Held-out gain of its candidate", registry=registry)
        self.guard_bound = Gauge("cloudai_guard_gain_lower_bound", "Its one-sided 90 % bound", registry=registry)
        self.guard_accepted = Gauge("cloudai_guard_accepted", "1: its candidate was accepted", registry=registry)
        self.rollbacks = Counter("cloudai_parameter_rollbacks", "Releases that were rolled back", registry=registry)
        self.releases = Counter("cloudai_parameter_releases", "Releases by result", ["result"], registry=registry)
        self.last_epoch = Gauge(
            "cloudai_ga_last_epoch_timestamp_seconds", "End of the last epoch", ["result"], registry=registry
        )
        self.epoch_dropped = Gauge(
            "cloudai_ga_dropped", "What the last epoch could not use", ["what"], registry=registry
        )
        self.parameters_version = Gauge("cloudai_parameters_version", "Version of the parameters", registry=registry)

    def show_runtime(self, status: TaskStatus) -> None:
        """Compare a completed Task's run time with what was predicted when its last attempt was bound."""
        predicted = status.attempts[-1].decision.get("predictedRuntimeSeconds") if status.attempts else None
        if isinstance(predicted, int | float) and predicted > 0 and status.runtimeSeconds:
            self.runtime_ratio.observe(min(_MOST_RATIO, status.runtimeSeconds / max(predicted, 0.001)))

    def show_epoch(self, note: EpochNote) -> None:
        """Expose when an epoch of the optimizer ended last, by how it did, how long it took, what it could not use."""
        try:
            seconds = timestamp.parse(note.at)
        except FormatError:
            return
        outcome = "failed" if note.result.startswith("failed") else note.result
        self.last_epoch.labels(outcome if outcome in _EPOCHS else "other").set(seconds)
        if note.seconds is not None:
            self.ga_epoch_seconds.set(note.seconds)
        if note.dropped is None:
            return
        self.epoch_dropped.clear()
        for what, count in sorted(note.dropped.items())[:MOST_REASONS]:
            self.epoch_dropped.labels(what[:LONGEST_REASON]).set(count)

    def show_learning(self, version: int, evidence: Mapping[str, Any]) -> None:
        """Expose a document's evidence; anything but numbers is left out."""
        result = evidence.get("Result")
        # The version in force when the process starts was counted by the one before it.
        if 0 <= self._shown < version and isinstance(result, str) and result in _RESULTS:
            self.releases.labels(result).inc()
            if result == ROLLED_BACK:
                self.rollbacks.inc()
        self._shown = version
        self.parameters_version.set(version)
        guard = evidence.get("Guard")
        judged = guard if isinstance(guard, dict) else {}
        values = {**evidence, **{key: judged.get(key) for key in _GUARD}}
        for gauge, key in (
            (self.ga_best_fitness, "BestFitness"),
            (self.ga_data_points, "Tasks"),
            (self.fit_r2, "R2"),
            (self.fit_r2_type, "R2TauAlone"),
            (self.fit_residual, "ResidualSd"),
            (self.guard_gain, "gain"),
            (self.guard_bound, "lower_bound"),
            (self.guard_accepted, "accepted"),
        ):
            value = values.get(key)
            if isinstance(value, int | float):
                gauge.set(float(value))
            elif key in _GUARD:  # a release without a candidate says nothing about one
                gauge.set(math.nan)
