"""Worlds that are not made of the model's own equation: what production looks like, and what nobody told the model.

Each is drawn by its seed. Fleets, words and sizes come first, then machines that do what no fitted term says.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray
from cloudai_rts.replay.workload import REFERENCE_KINDS, Shape
from cloudai_rts.replay.world import Drift, World
from cloudai_rts.task import GIB
from cloudai_rts.traces import FleetNode

DISK: Final = 500 * GIB
PODS: Final = 110
MACHINES: Final = {
    "NVIDIA-V100": (8, 96.0, 512 * GIB),
    "NVIDIA-P100": (4, 48.0, 256 * GIB),
    "NVIDIA-K80": (4, 48.0, 192 * GIB),
}
"""GPUs, cores and bytes of one machine by product."""
DAY: Final = 86_400.0
WHOLE_NODES: Final = 20
MANY: Final = 320


@dataclass(frozen=True)
class Disturbance:
    """What no fitted term knows.

    Tasks of some pairs of types slow each other down by up to `interference`, a share of the pairs of type and machine
    (`odd`) is slow by `ODD_FACTOR`, each machine's speed follows the hour by `drift`, and up to `hidden` of a machine's
    cores are used by what asks for nothing.
    """

    interference: float = 0.0
    odd: float = 0.0
    drift: float = 0.0
    hidden: float = 0.0

    def of(self, seed: int, plain: World) -> World:
        """The world with it."""
        rng = np.random.default_rng(77_000 + seed)
        kinds, count = sorted(plain.own), len(plain.nodes)
        pairs = rng.random((len(kinds), len(kinds)))
        slows = self.interference * np.where(pairs > 1.0 - PAIRS, rng.random(pairs.shape), 0.0)
        odd = {kind: np.where(rng.random(count) < self.odd, ODD_FACTOR, 1.0) for kind in kinds}
        own: Mapping[str, FloatArray] = {kind: factors * odd[kind] for kind, factors in plain.own.items()}
        phases = rng.random(count)
        return replace(
            plain,
            own=own,
            background=plain.background + self.hidden * rng.random(count) * plain.cores,
            interference={
                kind: dict(zip(kinds, row.tolist(), strict=True)) for kind, row in zip(kinds, slows, strict=True)
            }
            if self.interference
            else {},
            drift=Drift(self.drift, DAY / 4.0, phases) if self.drift else None,
        )


PAIRS: Final = 0.3
"""Share of the pairs of types that disturb each other."""
ODD_FACTOR: Final = 2.0


@dataclass(frozen=True)
class Foreign:
    """A world of its own: tasks, machines (None: the reference cluster) and what disturbs."""

    shape: Callable[[int], Shape]
    fleet: Callable[[int], list[FleetNode]] | None = None
    disturbance: Disturbance = field(default_factory=Disturbance)


def whole_nodes(seed: int, count: int = WHOLE_NODES) -> list[FleetNode]:
    """Machines mostly of one model, with eight GPUs each."""
    rng = np.random.default_rng(71_000 + seed)
    main = rng.uniform(0.4, 0.9)
    others = [name for name in MACHINES if name != "NVIDIA-V100"]
    products = np.where(rng.random(count) < main, "NVIDIA-V100", rng.choice(others, count)).tolist()
    return [_machine(f"machine-{index}", product) for index, product in enumerate(["NVIDIA-V100", *products[1:]])]


def one_model(count: int) -> list[FleetNode]:
    """Machines that are all alike."""
    return [_machine(f"machine-{index}", "NVIDIA-V100") for index in range(count)]


def _machine(name: str, product: str) -> FleetNode:
    gpus, cores, memory = MACHINES[product]
    return FleetNode(name, cores, memory, gpus, product, DISK, PODS)


def production(seed: int) -> Shape:
    """Most tasks ask for one GPU, few for a whole machine; sizes differ over four orders of magnitude."""
    rng = np.random.default_rng(72_000 + seed)
    eight, four = rng.uniform(0.01, 0.05), rng.uniform(0.02, 0.10)
    counts = (1.0 - 0.05 - four - eight, 0.05, four, eight)
    return Shape(
        kinds={name: kind for name, kind in REFERENCE_KINDS.items() if kind.gpu},
        gpu_counts=counts,
        size_log_sd=float(rng.uniform(1.2, 1.9)),
        largest_size=20.0,
        declared_share=0.7,
        deadline_on="declared",
    )


def few_tasks(_seed: int) -> Shape:
    """Many of four GPUs, and all users say about how long they take."""
    kinds = {name: kind for name, kind in REFERENCE_KINDS.items() if kind.gpu}
    return Shape(
        kinds=kinds, gpu_counts=(0.8, 0.07, 0.13, 0.0), size_log_sd=0.5, declared_share=1.0, deadline_on="declared"
    )


def few_machines() -> list[FleetNode]:
    """Two of eight fast GPUs, two of four slow ones."""
    products = ["NVIDIA-V100", "NVIDIA-V100", "NVIDIA-K80", "NVIDIA-K80"]
    return [_machine(f"machine-{index}", product) for index, product in enumerate(products)]


def worlds() -> dict[str, Foreign]:
    """By name."""
    heavy = Shape(size_log_sd=1.6, deadline_on="size")
    own = Shape(size_log_sd=0.9, deadline_on="size")
    return {
        "whole nodes": Foreign(production, whole_nodes),
        "heavy tails, 30 % declare": Foreign(lambda _: replace(heavy, declared_share=0.3, deadline_on="declared")),
        "heavy tails, nobody declares": Foreign(lambda _: replace(heavy, deadline_on="type")),
        "two sizes in a type": Foreign(lambda _: replace(own, modes=math.log(10.0), deadline_on="type")),
        "exact words, queues": Foreign(
            lambda _: Shape(
                size_log_sd=1.2, largest_size=4.0, declared_share=1.0, declared_log_sd=0.01, deadline_on="declared"
            ),
            lambda _: one_model(5),
        ),
        "interference": Foreign(lambda _: own, None, Disturbance(interference=0.6)),
        "drift": Foreign(lambda _: own, None, Disturbance(odd=0.1, drift=0.3)),
        "hidden load": Foreign(lambda _: own, None, Disturbance(hidden=0.6)),
        "one model": Foreign(production, lambda _: one_model(WHOLE_NODES)),
        "few machines": Foreign(few_tasks, lambda _: few_machines()),
        "320 machines": Foreign(production, lambda seed: whole_nodes(seed, MANY)),
    }
