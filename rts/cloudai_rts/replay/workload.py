"""Workloads out of a seed: task types with bursts, day cycle, heavy tails, wrong requests and wrong declarations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray
from cloudai_rts.task import GIB
from cloudai_rts.traces import FleetNode, TraceTask

BURST_GAP: Final = 0.5
CALM_GAP: Final = 1.0 / 0.67
FLIP: Final = 1.0 / 60.0
SCALES: Final = (0.5, 1.0, 1.0, 1.5)
MAX_CORES: Final = 16.0
MAX_GIB: Final = 96.0
DAY_SECONDS: Final = 86_400.0
USE_LOG_MEAN: Final = -0.2
USE_LOG_SD: Final = 0.45
"""Cores really used = request x log-normal(-.2, .45): may exceed the request."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A task type: share of the arrivals, median reference run time (s), cores, GiB, with GPUs or not."""

    share: float
    runtime: float
    cpu: float
    memory_gib: float
    gpu: bool


REFERENCE_KINDS: Final[Mapping[str, Kind]] = {
    "resnet50": Kind(0.11, 900, 6, 24, True),
    "resnet18": Kind(0.10, 500, 4, 12, True),
    "lm": Kind(0.08, 600, 3, 12, True),
    "transformer": Kind(0.10, 700, 4, 16, True),
    "recsys": Kind(0.10, 500, 4, 24, True),
    "a3c": Kind(0.06, 400, 5, 8, True),
    "cpu-light": Kind(0.15, 120, 2, 4, False),
    "cpu-heavy": Kind(0.18, 500, 8, 12, False),
    "memory-heavy": Kind(0.12, 400, 4, 48, False),
}
"""The reference workload: job types of Gavel's measurements and three kinds of CPU work."""

STANDARD_KINDS: Final[Mapping[str, Kind]] = {
    "gpu-training": Kind(0.24, 900, 6, 24, True),
    "gpu-inference": Kind(0.22, 500, 4, 24, True),
    "mixed": Kind(0.16, 400, 8, 8, True),
    "cpu-light": Kind(0.12, 120, 2, 4, False),
    "cpu-heavy": Kind(0.16, 500, 8, 12, False),
    "memory-heavy": Kind(0.10, 400, 4, 48, False),
}
"""The six standard task types with the same figures."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a workload is like. `load` = GPU work at reference speed over GPU time (cores where there are no GPUs).

    `size_log_sd` is the spread of task sizes (mean 1); `gpu_counts` the shares of 1, 2, 4 and 8 GPUs; `declared_share`
    of the tasks declare a run time, wrong by a log-normal factor of `declared_log_sd`; `deadline_on` says what k
    multiplies: the type's run time, the true one or the declared one; `mislabelled` is the share with a wrong type;
    `day_amplitude` in 0..1 lets the rate of arrivals follow the day. `multiplier_quantiles` (share, k) stand for the
    `multipliers`, recorded `gaps` between arrivals (any unit) for the drawn ones, where there are any. Sizes lie
    `modes` (natural logarithm) apart where a type has two kinds of tasks, and none exceeds `largest_size`.
    """

    load: float = 0.75
    kinds: Mapping[str, Kind] = field(default_factory=lambda: REFERENCE_KINDS)
    size_log_sd: float = 0.35
    gpu_counts: tuple[float, float, float, float] = (0.86, 0.10, 0.04, 0.0)
    multipliers: tuple[float, ...] = (1.5, 2.0)
    declared_share: float = 0.0
    declared_log_sd: float = 0.35
    deadline_on: str = "type"
    mislabelled: float = 0.0
    day_amplitude: float = 0.0
    multiplier_quantiles: tuple[tuple[float, float], ...] = ()
    gaps: tuple[float, ...] = ()
    modes: float = 0.0
    largest_size: float = math.inf


@dataclass(frozen=True, slots=True)
class Drawn:
    """A workload: tasks as in a trace, the cores each really uses, and the type each is called by."""

    tasks: list[TraceTask]
    cpu_used: FloatArray
    called: list[str]


def draw(seed: int, count: int, shape: Shape, nodes: Sequence[FleetNode]) -> Drawn:
    """Draw `count` tasks for this fleet, each of which fits on some machine. The same seed gives the same workload."""
    rng = np.random.default_rng(seed)
    names = list(shape.kinds)
    shares = np.array([shape.kinds[name].share for name in names])
    which = rng.choice(len(names), size=count, p=shares / shares.sum())
    kinds = [shape.kinds[names[index]] for index in which]
    gpus = rng.choice([1, 2, 4, 8], size=count, p=shape.gpu_counts)
    scale = rng.choice(SCALES, size=count)
    size = np.exp(rng.normal(-0.5 * shape.size_log_sd**2, shape.size_log_sd, count))
    use = np.exp(rng.normal(USE_LOG_MEAN, USE_LOG_SD, count))
    multiplier = rng.choice(shape.multipliers, size=count)
    declares = rng.random(count) < shape.declared_share
    wrong = np.exp(rng.normal(0.0, shape.declared_log_sd, count))
    mislabelled = rng.random(count) < shape.mislabelled
    other = rng.integers(0, len(names), count)
    gaps = _gaps(rng, count)
    if shape.modes:
        size *= np.exp(shape.modes * (rng.random(count) < 0.5)) / (0.5 + 0.5 * math.exp(shape.modes))
    size = np.minimum(size, shape.largest_size)
    if shape.multiplier_quantiles:
        share, value = np.array(shape.multiplier_quantiles).T
        multiplier = np.interp(rng.random(count), share, value)
    if shape.gaps:
        gaps = np.resize(np.roll(np.array(shape.gaps), int(rng.integers(len(shape.gaps)))), count)
    most_gpus = max((node.gpu for node in nodes), default=0)
    largest = {devices: _largest(nodes, devices) for devices in range(most_gpus + 1)}
    tasks, used, work = [], np.empty(count), np.zeros(count)
    for index, kind in enumerate(kinds):
        devices = min(int(gpus[index]), most_gpus) if kind.gpu else 0
        factor = float(scale[index]) * (0.75 * devices if devices > 1 else 1.0)
        room = largest[devices]
        cpu = min(MAX_CORES, room.cpu, max(1.0, float(round(kind.cpu * factor))))
        memory = min(MAX_GIB, room.memory_bytes / GIB, max(1.0, kind.memory_gib * factor))
        runtime = kind.runtime * float(size[index])
        declared = runtime * float(wrong[index]) if declares[index] else None
        used[index] = cpu * use[index]
        work[index] = runtime * (devices or 0)
        tasks.append(
            TraceTask(
                arrival_s=0.0,
                name=f"task-{index}",
                type=names[which[index]],
                cpu=cpu,
                memory_bytes=int(memory * GIB),
                gpu=devices,
                reference_runtime_s=runtime,
                sla_multiplier=float(multiplier[index]),
                expected_runtime_s=declared,
                deadline_s=_basis(shape.deadline_on, kind, runtime, declared) * float(multiplier[index]),
            )
        )
    capacity = float(sum(node.gpu for node in nodes))
    if not work.any() or not capacity:  # no GPUs on one side or the other: cores are what is scarce
        work = np.array([task.reference_runtime_s * task.cpu for task in tasks])
        capacity = sum(node.cpu for node in nodes)
    span = float(work.sum()) / (capacity * shape.load)
    gaps = gaps / _day_rate(count, span, shape.day_amplitude)
    at = np.cumsum(gaps) * (span / float(gaps.sum()))
    called = [names[other[i]] if mislabelled[i] else tasks[i].type for i in range(count)]
    return Drawn([_arriving(task, float(when)) for task, when in zip(tasks, at, strict=True)], used, called)


def _largest(nodes: Sequence[FleetNode], devices: int) -> FleetNode:
    """The largest machine with so many GPUs: what fits nowhere would wait for ever."""
    return max((node for node in nodes if node.gpu >= devices), key=lambda node: (node.cpu, node.memory_bytes))


def _gaps(rng: np.random.Generator, count: int) -> FloatArray:
    """Times between arrivals, up to a scale: two-state bursts."""
    flips = rng.random(count) < FLIP
    burst = np.cumsum(flips) % 2 == 1
    return rng.exponential(1.0, count) * np.where(burst, BURST_GAP, CALM_GAP)


def _day_rate(count: int, span: float, amplitude: float) -> FloatArray:
    """How fast tasks come, one after the other, against the mean: whole cycles of about a day, at least one."""
    cycles = max(1, round(span / DAY_SECONDS))
    phase = 2.0 * math.pi * cycles * np.arange(count) / max(1, count)
    return np.asarray(1.0 + amplitude * np.sin(phase))


def _basis(deadline_on: str, kind: Kind, runtime: float, declared: float | None) -> float:
    if deadline_on == "size":
        return runtime
    if deadline_on == "declared" and declared is not None:
        return declared
    return kind.runtime


def _arriving(task: TraceTask, at: float) -> TraceTask:
    return replace(task, arrival_s=at, deadline_s=at + (task.deadline_s or 0.0))
