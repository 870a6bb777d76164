"""The truth that a replay runs in: how long work really takes, on machines that slow down as they fill.

A policy never sees this; it sees what it has learned. In a replay of recorded history the fitted run-time model is the
truth (equation (1)), in a simulation the trace's speeds are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from cloudai_rts import contract, nodeclass
from cloudai_rts.arrays import BoolArray, FloatArray
from cloudai_rts.nodeclass import Hardware
from cloudai_rts.replay.energy import USUAL, EnergyRates
from cloudai_rts.replay.job import Job
from cloudai_rts.traces import FleetNode, Speeds

OVERLOAD_SLOPE: Final = 2.0
DEFAULT_PHI: Final = 0.3
REFERENCE_PHI: Final[Mapping[str, float]] = {
    "resnet50": 0.25,
    "resnet18": 0.3,
    "lm": 0.2,
    "transformer": 0.2,
    "recsys": 0.45,
    "a3c": 0.5,
    "gpu-training": 0.25,
    "gpu-inference": 0.45,
    "mixed": 0.5,
    "cpu-light": 0.2,
    "cpu-heavy": 0.35,
    "memory-heavy": 0.4,
}
"""How much a node's load slows each type down in the reference workload: run time x (1 + phi L^2 + 2 max(0, L - 1))."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Machines that are slower at some hours: run times x (1 + amplitude sin(2 pi (t / period + phase))).

    `phases` by node in 0..1, `period` in seconds. Rates are taken anew `STEPS` times a period.
    """

    amplitude: float
    period: float
    phases: FloatArray

    STEPS: ClassVar[int] = 48

    @property
    def step(self) -> float:
        """Seconds between two changes."""
        return self.period / self.STEPS

    def factors(self, now: float) -> list[float]:
        """By node, from `now` until a step later."""
        angle = 2.0 * math.pi * (math.floor(now / self.step) / self.STEPS + self.phases)
        return [float(factor) for factor in 1.0 + self.amplitude * np.sin(angle)]


@dataclass(frozen=True, slots=True)
class World:
    """Machines and their true speeds.

    `own[type][node]` is the number of seconds that one second of reference work takes on an idle node; a load L (real
    use over cores) makes that 1 + phi L^2 + mu max(0, L - 1) times as many, `phi` by type; `cores` and `background`
    (cores used by others) are by node.
    `classes` and `devices` (GPU resources) say by node what the shapes in `nodes` cannot: instance types, slices, other
    vendors; `occupied` is what others keep of them for good. `energy` is what use takes; `gpu_watts` what a busy GPU
    of each node does, if anybody measured that. `memory` is bytes by node where those make load too, and the fuller of
    the two counts: recorded loads are such, those of a drawn trace are of cores alone.
    What no fitted model knows: `interference[type][other]` is how much longer, as a share, a task takes beside each one
    of another type on its node, and `drift` what the hour does.
    """

    nodes: Sequence[FleetNode]
    own: Mapping[str, FloatArray]
    phi: Mapping[str, float]
    cores: FloatArray
    background: FloatArray
    mu: float = OVERLOAD_SLOPE
    classes: Sequence[str] = ()
    devices: Sequence[Mapping[str, int]] = ()
    occupied: Sequence[Mapping[str, int]] = ()
    energy: EnergyRates = USUAL
    gpu_watts: Sequence[float] = ()
    memory: Sequence[float] = ()
    interference: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    drift: Drift | None = None

    def held(self) -> list[float]:
        """Bytes by node that others keep for good."""
        occupied = self.occupied or [{}] * len(self.nodes)
        return [float(amounts.get(contract.MEMORY, 0)) for amounts in occupied]

    def admits(self, job: Job) -> BoolArray:
        """Machines that a job may go to for their kind, `[nodes]`."""
        suits = [
            (not job.gpu_product or node.gpu_product == job.gpu_product) and (not job.classes or name in job.classes)
            for node, name in zip(self.nodes, self.class_names(), strict=True)
        ]
        return np.array(suits, np.bool_)

    def class_names(self) -> Sequence[str]:
        """Class of each machine; those of a trace go by GPU product or shape."""
        return self.classes or classes_of(self.nodes)


def classes_of(nodes: Sequence[FleetNode]) -> list[str]:
    """Node classes of the machines of a trace, by their GPU product or shape."""
    classes = nodeclass.classes_of(
        (
            node.node,
            Hardware(
                {contract.LABEL_GPU_PRODUCT: node.gpu_product} if node.gpu else {},
                round(node.cpu * 1000),
                node.memory_bytes,
                bool(node.gpu),
            ),
        )
        for node in nodes
    )
    return [classes.of(node.node) for node in nodes]


def from_speeds(nodes: Sequence[FleetNode], speeds: Speeds, types: Sequence[str]) -> World:
    """The world of a trace: factors by type and GPU product, and each machine's own speed."""
    machine = np.array([node.speed for node in nodes])
    own = {
        name: machine * np.array([speeds.get((name, node.gpu_product), 1.0) for node in nodes]) for name in set(types)
    }
    return World(nodes, own, REFERENCE_PHI, np.array([node.cpu for node in nodes]), np.zeros(len(nodes)))
