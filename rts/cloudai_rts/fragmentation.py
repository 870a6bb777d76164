"""Fragmentation: GPUs that are free and yet of no use to the tasks that usually come.

Expected over the recent mix of requests, after FGD (Weng et al., "Beware of Fragmentation", USENIX ATC 2023): lost to
tasks of one shape is what stays free when as many of them as fit are there, whether GPUs are too few or the CPU and
memory beside them. So a task without GPUs is kept from a GPU node just as far as it would make GPUs useless there.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray, IntArray

REMEMBERED: Final = 256
REFRESH: Final = 32
"""The shapes are taken anew after so many requests; at the beginning more often."""
_EARLY: Final = frozenset({1, 2, 4, 8, 16})
MOST_SHAPES: Final = 8
UPPER: Final = 0.75
"""Of requests for equally many GPUs, the quantile of CPU and memory that must fit: who fits more fits most of them."""


@dataclass(frozen=True, slots=True)
class Room:
    """What nodes have left, `[nodes]`: devices of one GPU resource, millicores, bytes."""

    gpus: IntArray
    cpu: IntArray
    memory: IntArray

    def before_and_after(self, request: "GpuRequest") -> "Room":
        """The room now, followed by the room when a request has been placed there, `[2 x nodes]`."""
        pairs = ((self.gpus, request.gpus), (self.cpu, request.cpu), (self.memory, request.memory))
        return Room(*(np.concatenate((left, left - taken)) for left, taken in pairs))


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """What one task asks for: devices of one GPU resource (may be 0), millicores, bytes."""

    gpus: int
    cpu: int
    memory: int


@dataclass(frozen=True, slots=True)
class _Shapes:
    """Requests for different numbers of GPUs, `[shapes, 1]`; `expected` is share times GPUs of each, `[shapes]`."""

    gpus: IntArray
    cpu: IntArray
    memory: IntArray
    expected: FloatArray


@dataclass(slots=True)
class RequestMix:
    """What the recent tasks with one GPU resource asked for."""

    _recent: deque[GpuRequest] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _shapes: _Shapes | None = None
    _noted: int = 0

    def note(self, request: GpuRequest) -> None:
        """A task with GPUs was placed."""
        self._recent.append(request)
        self._noted += 1
        if self._noted % REFRESH == 0 or self._noted in _EARLY:
            self._shapes = self._summary()

    def added(self, room: Room, request: GpuRequest) -> FloatArray:
        """GPUs that placing a request on each node makes useless for those that come after it."""
        if self._shapes is None:
            return np.zeros(len(room.gpus))
        usable = _usable(self._shapes, room.before_and_after(request))
        nodes = len(room.gpus)
        return np.maximum(0.0, usable[:nodes] - usable[nodes:] - request.gpus)

    def _summary(self) -> _Shapes:
        """One shape for each number of GPUs, with its share; the most frequent ones."""
        groups: dict[int, list[GpuRequest]] = {}
        for one in self._recent:
            groups.setdefault(one.gpus, []).append(one)
        common = sorted(groups.values(), key=len, reverse=True)[:MOST_SHAPES]
        total = sum(map(len, common))
        shapes = [_upper(group) for group in common]
        gpus, cpu, memory = (
            np.array(amounts, np.int64)[:, None]
            for amounts in zip(*((one.gpus, one.cpu, one.memory) for one in shapes), strict=True)
        )
        share = np.array([len(group) / total for group in common])
        return _Shapes(gpus, cpu, memory, share * gpus[:, 0])


def _usable(shapes: _Shapes, room: Room) -> FloatArray:
    """Expected GPUs of each node that tasks of one shape could use together."""
    tasks = room.gpus // shapes.gpus
    np.minimum(tasks, room.cpu // shapes.cpu, out=tasks)
    np.minimum(tasks, room.memory // shapes.memory, out=tasks)
    return np.asarray(shapes.expected @ np.maximum(tasks, 0), np.float64)


def _upper(group: list[GpuRequest]) -> GpuRequest:
    """The request that most of a group fit into; at least 1 of everything, what is asked for is divided by."""
    rank = math.ceil(UPPER * len(group)) - 1
    cpu, memory = sorted(one.cpu for one in group)[rank], sorted(one.memory for one in group)[rank]
    return GpuRequest(group[0].gpus, max(1, cpu), max(1, memory))
