"""What the operator tells Prometheus."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


@dataclass(slots=True)
class OperatorMetrics:
    """All metrics of the process, in a registry of their own."""

    registry: CollectorRegistry
    tasks: Gauge = field(init=False)
    finished: Counter = field(init=False)
    deadlines: Counter = field(init=False)
    attempts: Counter = field(init=False)
    refusals: Counter = field(init=False)
    errors: Counter = field(init=False)
    reconcile_seconds: Histogram = field(init=False)
    queue: Gauge = field(init=False)
    leader: Gauge = field(init=False)
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
        self.refusals = Counter(prefix + "pods_refused", "Pods that could not be created", registry=registry)
        self.errors = Counter(prefix + "errors", "Reconciliations that failed", registry=registry)
        self.reconcile_seconds = Histogram(
            prefix + "reconcile_duration_seconds", "One reconciliation", buckets=_SECONDS, registry=registry
        )
        self.queue = Gauge(prefix + "queue_length", "Tasks waiting for a worker", registry=registry)
        self.leader = Gauge(prefix + "leader", "1 while this process leads", registry=registry)
        self.history_waiting = Gauge(prefix + "history_waiting", "Records not yet in the database", registry=registry)
        self.history_written = Counter(prefix + "history_written", "Records written", registry=registry)
        self.history_errors = Counter(prefix + "history_errors", "Failed writes of history", registry=registry)
        self.history_dropped = Counter(prefix + "history_dropped", "Records given up", registry=registry)
