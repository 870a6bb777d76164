"""What the scheduler tells Prometheus. Names follow kube-scheduler's where the meaning is the same."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cloudai_rts.placement import Placed
from cloudai_rts.policy import ROUND_ROBIN

_FAST = (0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0)
_ATTEMPT = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0)
_FILTER = (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03)
_PROBABILITY = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99)
_LATENESS = (0.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0)
_VICTIMS = (1, 2, 4, 8, 16, 32, 64)
_SLI = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

MOST_ATTEMPTS = 15
"""More are not told apart, as upstream."""


@dataclass(slots=True)
class SchedulerMetrics:
    """All metrics of the process, in a registry of their own."""

    registry: CollectorRegistry
    attempts: Counter = field(init=False)
    attempt_seconds: Histogram = field(init=False)
    algorithm_seconds: Histogram = field(init=False)
    sli_seconds: Histogram = field(init=False)
    filter_seconds: Histogram = field(init=False)
    moves: Counter = field(init=False)
    late_probability: Histogram = field(init=False)
    lateness_seconds: Histogram = field(init=False)
    binds: Counter = field(init=False)
    decisions: Counter = field(init=False)
    preemptions: Counter = field(init=False)
    reservations: Counter = field(init=False)
    victims: Histogram = field(init=False)
    observed: Counter = field(init=False)
    cache_mismatches: Counter = field(init=False)
    unschedulable: Gauge = field(init=False)
    pending: Gauge = field(init=False)
    held: Counter = field(init=False)
    parked: Counter = field(init=False)
    nodes: Gauge = field(init=False)
    rejections: Counter = field(init=False)
    closures: Counter = field(init=False)
    reloads: Counter = field(init=False)
    refused: Counter = field(init=False)
    version: Gauge = field(init=False)
    weights: Gauge = field(init=False)
    lists: Counter = field(init=False)
    events_dropped: Counter = field(init=False)
    leader: Gauge = field(init=False)
    observing: Gauge = field(init=False)
    telemetry_nodes: Gauge = field(init=False)
    telemetry_errors: Counter = field(init=False)
    telemetry_missing: Gauge = field(init=False)
    telemetry_dropped: Counter = field(init=False)

    def stopwatch(self) -> Callable[[str], None]:
        """Times the filters of one attempt, each from the end of the one before it."""
        last = time.perf_counter()

        def lap(name: str) -> None:
            nonlocal last
            now = time.perf_counter()
            self.filter_seconds.labels(name).observe(now - last)
            last = now

        return lap

    def show_attempt(self, result: str, profile: str, begun: float) -> None:
        """Note how a cycle ended that began at this moment of `time.perf_counter`."""
        self.attempts.labels(result, profile).inc()
        self.attempt_seconds.labels(result, profile).observe(time.perf_counter() - begun)

    def show_bound(self, placed: Placed, waited_seconds: float, attempts: int) -> None:
        """Note a pod that is bound."""
        by_setting = placed.policy == ROUND_ROBIN and placed.fallback_reason is None
        reason = "setting" if by_setting else "could_not_decide" if placed.fallback_reason else ""
        self.decisions.labels(placed.policy, reason).inc()
        told = str(attempts) if attempts < MOST_ATTEMPTS else f"{MOST_ATTEMPTS}+"
        self.sli_seconds.labels(told).observe(waited_seconds)

    def show_promise(self, placed: Placed, deadline: float, now: float) -> None:
        """Note what is told of a deadline (seconds since the epoch) at the bind."""
        if placed.late_probability is None or placed.predicted_runtime is None:
            return
        self.late_probability.observe(placed.late_probability)
        self.lateness_seconds.observe(max(0.0, now + placed.predicted_runtime - deadline))

    def __post_init__(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=self.registry)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

        prefix = "cloudai_scheduler_"
        self.attempts = counter(prefix + "schedule_attempts", "Cycles by result and profile", "result", "profile")
        self.attempt_seconds = histogram(
            prefix + "scheduling_attempt_duration_seconds",
            "Time of one cycle, with the bind",
            _ATTEMPT,
            "result",
            "profile",
        )
        self.algorithm_seconds = histogram(
            prefix + "scheduling_algorithm_duration_seconds", "Time of one decision", _FAST
        )
        self.sli_seconds = histogram(
            prefix + "pod_scheduling_sli_duration_seconds",
            "Pod created, or its last gate gone, to bound, by number of attempts",
            _SLI,
            "attempts",
        )
        self.filter_seconds = histogram(
            prefix + "plugin_execution_duration_seconds",
            "Time of one filter over all nodes, in one attempt of ten; static: of those that look at nodes alone",
            _FILTER,
            "plugin",
        )
        self.moves = counter(
            prefix + "queue_incoming_pods", "Pods that came to a queue, by what brought them there", "queue", "event"
        )
        self.late_probability = histogram(
            prefix + "late_probability", "Told at the bind: chance of missing the deadline", _PROBABILITY
        )
        self.lateness_seconds = histogram(
            prefix + "predicted_lateness_seconds",
            "Told at the bind: predicted end after the deadline, 0 if before",
            _LATENESS,
        )
        self.binds = counter(prefix + "binds", "Bindings by outcome", "outcome")
        self.decisions = counter(
            prefix + "decisions", "Pods bound by policy, and why another than the rule's", "policy", "reason"
        )
        self.reservations = counter(prefix + "reservations", "Nodes kept for tasks that need several GPUs of one")
        self.preemptions = counter(prefix + "preemption_attempts", "Cycles in which evictions were considered")
        self.victims = histogram(prefix + "preemption_victims", "Pods evicted for one", _VICTIMS)
        self.cache_mismatches = counter(
            prefix + "cache_mismatches", "Lasting differences between our state and the API server's", "kind"
        )
        self.observed = counter(prefix + "observed_binds", "Binds of other schedulers in observe mode", "result")
        self.unschedulable = gauge(prefix + "unschedulable_pods", "Pods that a filter keeps out, by filter", "plugin")
        self.pending = gauge(prefix + "pending_pods", "Pods without a node by queue", "queue")
        self.held = counter(prefix + "pods_held", "Pods kept out of the queue by reason", "reason")
        self.parked = counter(prefix + "objects_parked", "Objects that could not be handled by kind", "kind")
        self.nodes = gauge(prefix + "nodes", "Nodes known")
        self.rejections = counter(prefix + "kubelet_rejections", "Pods refused by kubelets", "resource")
        self.closures = counter(prefix + "node_closures", "Nodes closed after repeated rejections")
        self.reloads = counter("cloudai_rts_parameter_reload_count", "Parameter documents taken into use")
        self.refused = counter("cloudai_rts_parameter_refused", "Parameter documents refused", "key")
        self.version = gauge("cloudai_rts_parameter_version", "Version of the parameters in force")
        self.weights = gauge("cloudai_rts_weight", "Weights of the lateness rule in force", "weight")
        self.lists = counter(prefix + "lists", "Full lists requested by resource", "resource")
        self.events_dropped = counter(prefix + "events_dropped", "Events given up")
        self.leader = gauge(prefix + "leader", "1 while this process leads")
        self.observing = gauge(prefix + "observing", "1 where this process only watches another scheduler")
        self.telemetry_nodes = gauge(prefix + "telemetry_nodes", "Nodes with a fresh measured load")
        self.telemetry_errors = counter(prefix + "telemetry_errors", "Failed questions to Prometheus")
        self.telemetry_missing = gauge(
            prefix + "telemetry_missing", "1 where an exporter has no series of our nodes", "exporter"
        )
        self.telemetry_dropped = counter(prefix + "telemetry_dropped", "Values that could not be used", "reason")
