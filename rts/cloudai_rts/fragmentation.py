"""Fragmentation: GPUs that are free and yet of no use to the tasks that usually come.

Expected over the recent mix of requests, after FGD (Weng et al., "Beware of Fragmentation", USENIX ATC 2023): lost to
tasks of one shape is what stays free when as many of them as fit are there, whether GPUs are too few or the CPU and
memory beside them. So a task without GPUs is kept from a GPU node just as far as it would make GPUs useless there.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray, IntArray

REMEMBERED: Final = 256
REFRESH: Final = 16
"""The shapes are taken anew after so many requests."""
MOST_SHAPES: Final = 8
UPPER: Final = 0.75
"""Of requests for equally many GPUs, the quantile of CPU and memory that must fit: who fits more fits most of them."""


@dataclass(frozen=True, slots=True)
class Room:
    """What nodes have left, `[nodes]`: devices of one GPU resource, millicores, bytes."""

    gpus: IntArray
    cpu: IntArray
    memory: IntArray

    def without(self, request: "GpuRequest") -> "Room":
        """What is left when a request has been placed there."""
        return Room(self.gpus - request.gpus, self.cpu - request.cpu, self.memory - request.memory)


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """What one task asks for: devices of one GPU resource (may be 0), millicores, bytes."""

    gpus: int
    cpu: int
    memory: int


@dataclass(slots=True)
class RequestMix:
    """What the recent tasks with one GPU resource asked for."""

    _recent: deque[GpuRequest] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _shapes: list[tuple[float, GpuRequest]] = field(default_factory=list)
    _noted: int = 0

    def note(self, request: GpuRequest) -> None:
        """A task with GPUs was placed."""
        self._recent.append(request)
        if self._noted % REFRESH == 0 or len(self._recent) < REFRESH:
            self._shapes = self._summary()
        self._noted += 1

    def stranded(self, room: Room) -> FloatArray:
        """Expected GPUs of each node that the next task cannot use."""
        if not self._shapes:
            return np.zeros(len(room.gpus))
        return np.maximum(0, room.gpus) - self._usable(room)

    def added(self, room: Room, request: GpuRequest) -> FloatArray:
        """GPUs that placing a request on each node makes useless for those that come after it."""
        if not self._shapes:
            return np.zeros(len(room.gpus))
        lost = self._usable(room) - self._usable(room.without(request)) - request.gpus
        return np.maximum(0.0, lost)

    def _usable(self, room: Room) -> FloatArray:
        """Expected GPUs of each node that tasks of one shape could use together."""
        found: FloatArray = np.zeros(len(room.gpus), np.float64)
        for share, shape in self._shapes:
            tasks = np.minimum(room.gpus // shape.gpus, room.cpu // shape.cpu)
            np.minimum(tasks, room.memory // shape.memory, out=tasks)
            found += share * shape.gpus * np.maximum(tasks, 0)
        return found

    def _summary(self) -> list[tuple[float, GpuRequest]]:
        """One shape for each number of GPUs, with its share; the most frequent ones."""
        asked = np.array([(one.gpus, one.cpu, one.memory) for one in self._recent], np.int64)
        gpus, counts = np.unique(asked[:, 0], return_counts=True)
        common = np.argsort(-counts, kind="stable")[:MOST_SHAPES]
        shapes = []
        for index in common.tolist():
            cpu, memory = np.quantile(asked[asked[:, 0] == gpus[index], 1:], UPPER, axis=0, method="inverted_cdf")
            shape = GpuRequest(int(gpus[index]), max(1, int(cpu)), max(1, int(memory)))
            shapes.append((float(counts[index]) / float(counts[common].sum()), shape))
        return shapes
