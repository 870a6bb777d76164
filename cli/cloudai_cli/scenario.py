"""The replayed cases: a trace on a described fleet, or what a cluster has recorded."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from cloudai_rts.machine import Machine
from cloudai_rts.parameters import Document
from cloudai_rts.replay import recorded, trace, workload, world
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.recorded import Work
from cloudai_rts.replay.world import World
from cloudai_rts.traces import FleetNode, Speeds, TraceTask


class Scenario(Protocol):
    """A world, jobs to be placed in it, and the parameters that the policies know."""

    @property
    def document(self) -> Document:
        """The parameters."""

    def world(self) -> World:
        """The machines and their true speeds."""

    def jobs(self, seed: int) -> list[Job]:
        """The tasks; what is drawn about them is the same for every policy."""


@dataclass(frozen=True, slots=True)
class TraceScenario:
    """Tasks, machines, true speeds, and the parameters that the policies know.

    `learned` is what was learned before from other tasks, where that is asked for.
    """

    tasks: Sequence[TraceTask]
    nodes: Sequence[FleetNode]
    speeds: Speeds
    document: Document
    learned: Document | None = None

    def world(self) -> World:
        """The machines of the fleet under the table of speeds."""
        return world.from_speeds(self.nodes, self.speeds, sorted({task.type for task in self.tasks}))

    def jobs(self, seed: int) -> list[Job]:
        """The tasks of the trace; how many cores each really uses is drawn."""
        rng = np.random.default_rng(seed)
        use = np.exp(rng.normal(workload.USE_LOG_MEAN, workload.USE_LOG_SD, len(self.tasks)))
        cpu_used = np.array([task.cpu for task in self.tasks]) * use
        return trace.jobs(self.tasks, self.document, cpu_used, tau=self._usual())

    def _usual(self) -> dict[str, float]:
        """The median run time of each type, on which deadlines rest that nobody has said."""
        times: dict[str, list[float]] = {}
        for task in self.tasks:
            times.setdefault(task.type, []).append(task.reference_runtime_s)
        return {name: statistics.median(values) for name, values in times.items()}


@dataclass(frozen=True, slots=True)
class RecordedScenario:
    """Recorded work on machines whose speeds are those that were learned.

    `gpu_watts` is what a busy GPU of a node was measured to take.
    """

    machines: Sequence[Machine]
    works: Sequence[Work]
    document: Document
    gpu_watts: Mapping[str, float] = field(default_factory=dict)

    def world(self) -> World:
        """The fitted model is the truth."""
        return recorded.measured(recorded.world_of(self.machines, self.document, self.works), self.gpu_watts)

    def jobs(self, seed: int) -> list[Job]:
        """The work as it was recorded; nothing is drawn, so every seed is the same."""
        del seed
        begin = self.works[0].arrival if self.works else 0.0
        return recorded.jobs(recorded.Window(begin, self.works), self.document, self.machines)
