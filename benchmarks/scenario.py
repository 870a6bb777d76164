"""What the benchmarks of policies and of learning share: the reference cluster, workloads, and experience on them."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from worlds import Disturbance, worlds

from cloudai_kube.node_use import NodeUse
from cloudai_optimizer.fit import learn
from cloudai_rts import traces
from cloudai_rts.history import Record
from cloudai_rts.machine import Machine
from cloudai_rts.parameters import Document, RuntimeModel
from cloudai_rts.replay import trace, workload, world
from cloudai_rts.replay.chooser import LEAST_ALLOCATED, Chooser, ScoreChooser
from cloudai_rts.replay.engine import Replay
from cloudai_rts.replay.records import records
from cloudai_rts.replay.workload import Drawn, Shape
from cloudai_rts.traces import FleetNode, Speeds

ROOT: Final = Path(__file__).parents[1]
TASKS: Final = 1500
HISTORY_LOAD: Final = 0.75
SLOW: Final = 1.5
EPOCHS: Final = 3
USER: Final = "default"
LARGE: Final = 8
"""GPUs of the large tasks, for which machines are joined."""
TAU: Final = {name: kind.runtime for name, kind in workload.REFERENCE_KINDS.items()}
CHRONUS: Final = ((0.0, 1.1), (0.05, 1.28), (0.25, 1.64), (0.5, 1.97), (0.75, 2.45), (0.95, 3.54), (1.0, 4.5))
"""Deadline over duration: quantiles 5 to 95 % as published, the ends are ours."""


@dataclass(frozen=True)
class Setting:
    """A workload and the machines it meets.

    `heterogeneity` is the power to which the factors between GPU models are raised (0: all are alike); `joined` makes
    three machines with eight V100 out of those with four; `memory` is the share of their memory that machines have:
    with little of it memory, not CPU, is what loads them. `machines` stand for the reference cluster where there are
    any.
    """

    shape: Shape = field(default_factory=Shape)
    heterogeneity: float = 1.0
    joined: bool = False
    memory: float = 1.0
    machines: tuple[FleetNode, ...] = ()
    disturbance: Disturbance = field(default_factory=Disturbance)


@lru_cache(maxsize=1)
def bursts() -> tuple[float, ...]:
    """Gaps between requests to a language model."""
    with (ROOT / "benchmarks/data/azure-llm-gaps.csv").open(encoding="utf-8") as file:
        return tuple(float(row["gap"]) for row in csv.DictReader(file))


def settings() -> dict[str, Setting]:
    """The reference workload, and harder ones."""
    own = Shape(size_log_sd=0.9, deadline_on="size")
    declared = Shape(size_log_sd=0.9, deadline_on="declared", declared_share=0.7)
    return {
        "reference": Setting(),
        "size sd .9": Setting(own),
        "size sd 1.9": Setting(replace(own, size_log_sd=1.9)),
        "declared, k x size": Setting(replace(own, declared_share=1.0)),
        "declared, k x declared": Setting(replace(declared, declared_share=1.0)),
        "declared 70 %": Setting(declared),
        "20 % mislabelled": Setting(Shape(mislabelled=0.2)),
        "mild heterogeneity": Setting(heterogeneity=0.3),
        "no heterogeneity": Setting(heterogeneity=0.0),
        "8-GPU jobs": Setting(Shape(gpu_counts=(0.80, 0.10, 0.05, 0.05)), joined=True),
        "chronus deadlines": Setting(replace(own, size_log_sd=1.28, multiplier_quantiles=CHRONUS)),
        "azure_llm bursts": Setting(Shape(gaps=bursts())),
        "day cycle": Setting(Shape(day_amplitude=0.8)),
        "scarce memory": Setting(memory=0.4),
    }


@dataclass(frozen=True)
class Scene:
    """One seed of a setting: machines, true speeds, and the tasks that come at a load."""

    setting: Setting
    seed: int
    nodes: Sequence[FleetNode]
    speeds: Speeds

    def world(self) -> world.World:
        """The truth."""
        plain = world.from_speeds(self.nodes, self.speeds, list(TAU))
        return self.setting.disturbance.of(self.seed, plain)

    def test(self, load: float, count: int = TASKS) -> Drawn:
        """Tasks on which policies are judged, from the same user as the history."""
        drawn = workload.draw(5000 + self.seed, count, replace(self.setting.shape, load=load), self.nodes)
        return replace(drawn, tasks=[replace(task, user=USER) for task in drawn.tasks])

    def experience(
        self,
        count: int = TASKS,
        chooser: Chooser | None = None,
        ignoring_declarations: bool = False,
        ignoring_deadlines: bool = False,
    ) -> Document:
        """The document learned from a history of other tasks on the same machines."""
        history = self.history(count, chooser)
        if ignoring_declarations:
            history = [msgspec.structs.replace(record, declared=None) for record in history]
        if ignoring_deadlines:
            history = [msgspec.structs.replace(record, allowed=None) for record in history]
        document = Document()
        for _ in range(EPOCHS):  # no release moves a value further than its step
            document = learn.from_records(history, document, self.cores(), NodeUse()).document
        return msgspec.structs.replace(document, Window=None)  # each history has a clock of its own: the next is new

    def history(self, count: int = TASKS, chooser: Chooser | None = None, load: float = HISTORY_LOAD) -> list[Record]:
        """What happened before, by default under least-allocated."""
        drawn = workload.draw(1000 + self.seed, count, replace(self.setting.shape, load=load), self.nodes)
        jobs = trace.jobs(drawn.tasks, Document(Tau=TAU), drawn.cpu_used, drawn.called)
        course = Replay(self.world(), jobs, chooser or ScoreChooser(LEAST_ALLOCATED)).run()
        return records(jobs, course, self.nodes, drawn.tasks)

    def cores(self) -> dict[str, float]:
        """Cores by machine."""
        return {node.node: node.cpu for node in self.nodes}

    def machines(self) -> list[Machine]:
        """The machines as the optimizer sees them."""
        return [Machine(node, name) for node, name in zip(self.nodes, world.classes_of(self.nodes), strict=True)]

    def truth(self) -> RuntimeModel:
        """The run-time model that is true."""
        products = sorted({node.gpu_product for node in self.nodes if node.gpu_product})
        u = {name: {product: math.log(self.speeds.get((name, product), 1.0)) for product in products} for name in TAU}
        return RuntimeModel(Kappa=0.3, Mu=2.0, U=u, V={node.node: math.log(node.speed) for node in self.nodes})


def scene(name: str, seed: int) -> Scene:
    """A setting under a seed: one machine of each kind is slow, and nothing announces it."""
    setting = _setting(name, seed)
    measured = traces.read_speeds((ROOT / "benchmarks/data/gavel-speeds.csv").read_text(encoding="utf-8"))
    speeds = {pair: factor**setting.heterogeneity for pair, factor in measured.items()}
    machines = _slow(setting.machines, seed) if setting.machines else fleet(seed, setting.joined)
    nodes = [replace(node, memory_bytes=int(setting.memory * node.memory_bytes)) for node in machines]
    return Scene(setting, seed, nodes, speeds)


def fleet(seed: int, joined: bool = False) -> list[FleetNode]:
    """The reference cluster with one slow machine of each kind."""
    nodes = traces.read_fleet((ROOT / "config/reference-fleet.csv").read_text(encoding="utf-8"))
    if joined:
        largest = [node for node in nodes if node.gpu == max(other.gpu for other in nodes)]
        product = min(node.gpu_product for node in largest if "V100" in node.gpu_product)
        whole = next(node for node in largest if node.gpu_product == product)
        others = [node for node in nodes if node.gpu_product != product]
        big = replace(whole, gpu=LARGE, cpu=2 * whole.cpu, memory_bytes=2 * whole.memory_bytes)
        nodes = [*others, *(replace(big, node=f"large-{index}") for index in range(3))]
    return _slow(nodes, seed)


def _setting(name: str, seed: int) -> Setting:
    if name not in worlds():
        return settings()[name]
    foreign = worlds()[name]
    machines = () if foreign.fleet is None else tuple(foreign.fleet(seed))
    return Setting(foreign.shape(seed), machines=machines, disturbance=foreign.disturbance)


def _slow(nodes: Sequence[FleetNode], seed: int) -> list[FleetNode]:
    """One machine of each kind is slow."""
    rng = np.random.default_rng(9000 + seed)
    kinds: dict[str, list[int]] = {}
    for index, node in enumerate(nodes):
        kinds.setdefault(node.gpu_product, []).append(index)
    slow = {int(rng.choice(members)) for members in kinds.values()}
    return [replace(node, speed=SLOW if index in slow else 1.0) for index, node in enumerate(nodes)]
