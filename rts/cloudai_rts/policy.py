"""A parameter document applied to a fleet: what is known of each pair of task and node."""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts import calibration, hinge, prediction
from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.choice import Rotation
from cloudai_rts.fleet import Fleet, Resources
from cloudai_rts.fragmentation import GpuRequest, RequestMix
from cloudai_rts.nodeclass import class_for
from cloudai_rts.parameters import Document
from cloudai_rts.reservation import UPPER_SD
from cloudai_rts.task import Task

RTS: Final = "rts"
ROUND_ROBIN: Final = "round-robin"


@dataclass(slots=True)
class Policy:
    """A parameter document applied to a fleet, with the learned factors kept until either of them changes."""

    fleet: Fleet
    document: Document
    mode: str = RTS
    rotation: Rotation = field(default_factory=Rotation)
    rounds: dict[str, Rotation] = field(default_factory=dict)
    mixes: dict[str, RequestMix] = field(default_factory=dict)
    _topology: int = -1
    _u: dict[tuple[str, str], FloatArray] = field(default_factory=dict)
    _v: FloatArray = field(default_factory=lambda: np.zeros(0, np.float64))
    _learned: dict[tuple[str, str], tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    def use(self, document: Document) -> None:
        """Switch to another document; the next decision rests on it."""
        self.document = document
        self._topology = -1

    def note(self, task: Task, tenant: str = "") -> None:
        """A task came: what it asks for is what usually comes, whether it finds room or not."""
        if task.gpu > 0 and self.fleet.allocatable(task.gpu_resource).any():
            self.mixes.setdefault(task.gpu_resource, RequestMix()).note(request_of(task, task.gpu_resource), tenant)

    def class_factors(self, task: Task) -> FloatArray:
        """Return u of the task's type by class."""
        self._refresh()
        key = (task.type, task.gpu_resource)
        if key not in self._u:
            names = [class_for(name, task.gpu_resource) for name in self.fleet.class_names]
            self._u[key] = prediction.class_factors(task.type, names, self.document.Runtime, task.gpu > 0)
        return self._u[key]

    def node_factors(self) -> FloatArray:
        """Return v by node."""
        self._refresh()
        return self._v

    def learned_scores(self, task: Task) -> tuple[FloatArray, FloatArray]:
        """Affinity and penalty by node, for `hinge`."""
        self._refresh()
        key = (task.type, task.gpu_resource)
        if key not in self._learned:
            factor = self.class_factors(task)[self.fleet.class_index] + self._v
            self._learned[key] = hinge.learned_scores(task.type, self.fleet.names, factor, self.document)
        return self._learned[key]

    def best_runtime(self, task: Task, allowed: BoolArray) -> float:
        """Seconds that the task takes at least, in 95 of 100 cases, on the fastest allowed node at load 0.

        0 where none is allowed. Decides which tasks are hopeless.
        """
        if not allowed.any():
            return 0.0
        return task.least_runtime(self.document.Runtime.Shape) * self._fastest(task, allowed)

    def fastest(self, task: Task, allowed: BoolArray) -> float:
        """Min E over the allowed nodes, at least one, at load 0, seconds."""
        return task.reference_runtime * self._fastest(task, allowed)

    def _fastest(self, task: Task, allowed: BoolArray) -> float:
        """Min exp(u + v) over the allowed nodes."""
        factors = self.class_factors(task)[self.fleet.class_index] + self.node_factors()
        return float(np.exp(factors[allowed].min()))

    def log_factor_at(self, task: Task, amounts: Resources, slot: int) -> float:
        """u + v + ln f(L') of one node: how much slower than an idle machine of the reference class it is."""
        runtime = self.document.Runtime
        curve = prediction.load_curve_at(self.fleet.load_at(slot, amounts), runtime.Kappa, runtime.Mu)
        known = self.class_factors(task)[self.fleet.class_index[slot]] + self.node_factors()[slot]
        return float(known) + math.log(curve)

    def is_worth_another_look(self, task: Task, amounts: Resources, slot: int, refused: float) -> bool:
        """Whether a node that gained room is faster for a deferred task than the one that it refused."""
        return self.log_factor_at(task, amounts, slot) < refused

    def upper_runtime(self, task: Task, amounts: Resources, slots: IntArray) -> FloatArray:
        """An upper quantile of E_ij of (1) on these nodes, as it is learned, seconds."""
        runtime = self.document.Runtime
        curve = prediction.load_curve(self.fleet.load(amounts)[slots], runtime.Kappa, runtime.Mu)
        where = self.fleet.class_index[slots], self.node_factors()[slots]
        log_runtime = prediction.log_runtime(task.reference_runtime, self.class_factors(task), *where, curve)
        return np.exp(log_runtime + calibration.log_quantile(UPPER_SD, task.log_sd, runtime.Shape))

    def _refresh(self) -> None:
        if self._topology != self.fleet.topology:
            self._topology = self.fleet.topology
            self._u.clear()
            self._learned.clear()
            self._v = prediction.node_factors(self.fleet.names, self.document.Runtime)


def request_of(task: Task, resource: str) -> GpuRequest:
    """What a task asks for, with its devices of one GPU resource."""
    gpus = round(task.gpu) if task.gpu_resource == resource else 0
    return GpuRequest(gpus, round(task.cpu * 1000), round(task.memory))
