"""What each node did in the last minutes: one figure a minute and node, instead of a day of raw samples.

The minute's own load decides whether it counts as overloaded (EDD 2.4: time with L > 1), and the throttle reasons of
its GPUs whether it was slowed down by heat or power.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cloudai_kube.samples import Series
from cloudai_kube.series import HOST_LABELS, NodeNames
from cloudai_kube.telemetry import LIMITS, OF_TWO_CLUSTERS, QUERIES
from cloudai_rts.machine import Machine

MINUTE_SECONDS: Final = 60.0
SLOWING_REASONS: Final = 0x8 | 0x20 | 0x40 | 0x80
"""NVML's bits for hardware slow-down, software and hardware thermal slow-down, and the power brake."""
MAX_REASONS: Final = float(1 << 20)
_RANGES: Final = ("cpu", "memory", "gpu", "gpu_memory", "watts")
_THROTTLE: Final = (
    "max by (cluster, node, host, instance, gpu) ("
    + HOST_LABELS.format("DCGM_FI_DEV_CLOCKS_EVENT_REASONS or DCGM_FI_DEV_CLOCK_THROTTLE_REASONS")
    + ")"
)


Key = tuple[str, int]
"""Node, and beginning of the minute in seconds since the epoch."""


class RangeSource(Protocol):
    """A server that answers PromQL over a stretch of time."""

    def ask_range(self, query: str, begin: float, end: float, step_seconds: float) -> list[Series]:
        """Series over a stretch of time."""


@dataclass(slots=True)
class Minute:
    """One node in one minute; None where nothing is known. Cores, bytes, GPUs busy, watts, seconds."""

    cpu: float | None = None
    memory: float | None = None
    gpu: float | None = None
    gpu_memory: float | None = None
    watts: float | None = None
    throttled_seconds: float = 0.0

    def load(self, machine: Machine) -> float | None:
        """L of the minute, None where cores or memory are unknown."""
        if self.cpu is None or self.memory is None:
            return None
        memory = machine.node.memory_bytes
        return max(self.cpu / machine.node.cpu, self.memory / memory if memory else 0.0)


@dataclass(slots=True)
class Ended:
    """Runs that ended on a node in a minute: how many, how many of them late, how long they took together."""

    runs: int = 0
    late: int = 0
    seconds: float = 0.0


def read(source: RangeSource, names: NodeNames, begin: float, end: float, dropped: Counter[str]) -> dict[Key, Minute]:
    """The minutes of a stretch of time, whole ones, by node and beginning (seconds since the epoch).

    Values that cannot be used are left out and counted in `dropped`, and so are nodes of which two clusters have
    series. Raises `PrometheusError`.
    """
    minutes: dict[Key, Minute] = {}
    clusters: dict[str, set[str]] = {}
    first, last = ((moment // MINUTE_SECONDS + 1) * MINUTE_SECONDS for moment in (begin, end))
    for metric in _RANGES:
        series = source.ask_range(QUERIES[metric], first, last, MINUTE_SECONDS)
        for node, at, value in _points(series, names, LIMITS[metric], dropped, clusters):
            minute = minutes.setdefault((node, at), Minute())
            known = getattr(minute, metric)
            setattr(minute, metric, value if known is None else max(known, value))
    reasons = source.ask_range(_THROTTLE, first, last, MINUTE_SECONDS)
    for node, at, value in _points(reasons, names, MAX_REASONS, dropped, clusters):
        if int(value) & SLOWING_REASONS:
            minutes.setdefault((node, at), Minute()).throttled_seconds = MINUTE_SECONDS
    strange = {node for node, seen in clusters.items() if len(seen - {""}) > 1}
    if strange:
        dropped[OF_TWO_CLUSTERS] += len(strange)
    return {key: minute for key, minute in minutes.items() if key[0] not in strange}


def documents(
    minutes: Mapping[Key, Minute], machines: Sequence[Machine], ended: Mapping[Key, Ended]
) -> list[dict[str, object]]:
    """Minutes as WORKER_STATS holds them (EDD 2.4), those too in which runs ended and nothing was measured."""
    known = {machine.node.node: machine for machine in machines}
    stats: list[dict[str, object]] = []
    for node, at in sorted({*minutes, *ended}):
        if node not in known:
            continue
        minute = minutes.get((node, at), Minute())
        load = minute.load(known[node])
        runs = ended.get((node, at), Ended())
        stats.append(
            {
                "_id": f"{node}/{at}",
                "node": node,
                "from": at,
                "total_s": MINUTE_SECONDS if (node, at) in minutes else 0.0,
                "cpu": minute.cpu,
                "memory": minute.memory,
                "gpu": minute.gpu,
                "gpu_memory": minute.gpu_memory,
                "watts": minute.watts,
                "load": load,
                "overload_s": MINUTE_SECONDS if load is not None and load > 1.0 else 0.0,
                "throttled_s": minute.throttled_seconds,
                "tasks_run": runs.runs,
                "sla_violations": runs.late,
                "total_runtime_s": runs.seconds,
            }
        )
    return stats


def _points(
    matrix: Sequence[Series], names: NodeNames, limit: float, dropped: Counter[str], clusters: dict[str, set[str]]
) -> list[tuple[str, int, float]]:
    """Node, beginning of the minute, and value of what can be used: what is said at its end describes a minute.

    `clusters` takes the clusters that have series of a node.
    """
    points = []
    for series in matrix:
        node = names.resolve(series.labels)
        if node is None:
            dropped["unmatched"] += len(series.points)
            continue
        clusters.setdefault(node, set()).add(series.labels.get("cluster", ""))
        usable = [(at, value) for at, value in series.points if 0.0 <= value <= limit]
        dropped["impossible"] += len(series.points) - len(usable)
        points += [(node, int(at // MINUTE_SECONDS - 1) * int(MINUTE_SECONDS), value) for at, value in usable]
    return points
