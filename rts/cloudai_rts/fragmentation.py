"""Fragmentation: GPUs that are free and yet of no use to the tasks that usually come.

Expected over the recent mix of requests, after FGD (Weng et al., "Beware of Fragmentation", USENIX ATC 2023): lost to
tasks of one shape is what stays free when as many of them as fit are there, whether GPUs are too few or the CPU and
memory beside them. So a task without GPUs is kept from a GPU node just as far as it would make GPUs useless there.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray, IntArray

REMEMBERED: Final = 256
"""Requests of one tenant."""
MOST_TENANTS: Final = 64
MOST_SHARE: Final = 0.25
"""Of one tenant in the mix, where there are others: requests are claims, and cost nothing while they wait."""
_ROUNDS: Final = 4
REFRESH: Final = 32
"""The shapes are taken anew after so many requests; at the beginning more often."""
REFRESH_SHARE: Final = 8
"""Nor before an eighth of those remembered are new: a scheduler that starts is told of all that wait at once."""
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

    def at(self, nodes: IntArray) -> "Room":
        """The room of some of the nodes."""
        return Room(self.gpus[nodes], self.cpu[nodes], self.memory[nodes])

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
    """What those that came lately with one GPU resource asked for, placed or not: what waits must not be forgotten."""

    _recent: OrderedDict[str, deque[GpuRequest]] = field(default_factory=OrderedDict)
    _shapes: _Shapes | None = None
    _noted: int = 0
    _summed: int = 0

    def note(self, request: GpuRequest, tenant: str = "") -> None:
        """A task with GPUs came."""
        own = self._recent.pop(tenant, None)
        self._recent[tenant] = deque(maxlen=REMEMBERED) if own is None else own
        self._recent[tenant].append(request)
        if len(self._recent) > MOST_TENANTS:
            self._recent.popitem(last=False)
        self._noted += 1
        if self._noted - self._summed >= max(REFRESH, self._size() // REFRESH_SHARE) or self._noted in _EARLY:
            self._summed = self._noted
            self._shapes = self._summary()

    def _size(self) -> int:
        return sum(map(len, self._recent.values()))

    def added(self, room: Room, request: GpuRequest) -> FloatArray:
        """GPUs that placing a request on each node makes useless for those that come after it."""
        if self._shapes is None:
            return np.zeros(len(room.gpus))
        usable = _usable(self._shapes, room.before_and_after(request))
        nodes = len(room.gpus)
        return np.maximum(0.0, usable[:nodes] - usable[nodes:] - request.gpus)

    def _summary(self) -> _Shapes:
        """One shape for each number of GPUs, with its share; the most frequent ones."""
        groups: dict[int, list[_Weighted]] = {}
        for requests, weight in zip(self._recent.values(), self._voices(), strict=True):
            for request in requests:
                groups.setdefault(request.gpus, []).append((request, weight))
        weights = {gpus: sum(weight for _, weight in group) for gpus, group in groups.items()}
        common = sorted(groups, key=lambda gpus: -weights[gpus])[:MOST_SHAPES]
        total = sum(weights[gpus] for gpus in common)
        shapes = [_upper(groups[gpus]) for gpus in common]
        gpus, cpu, memory = (
            np.array(amounts, np.int64)[:, None]
            for amounts in zip(*((shape.gpus, shape.cpu, shape.memory) for shape in shapes), strict=True)
        )
        share = np.array([weights[gpus] / total for gpus in common])
        return _Shapes(gpus, cpu, memory, share * gpus[:, 0])

    def _voices(self) -> FloatArray:
        """What one request of each tenant weighs, `[tenants]`: none has more than its share, as far as others came."""
        counts = np.array([len(requests) for requests in self._recent.values()], np.float64)
        whole = counts
        for _ in range(_ROUNDS):
            whole = np.minimum(whole, MOST_SHARE * whole.sum())
        return np.asarray(whole / counts, np.float64)


_Weighted = tuple[GpuRequest, float]


def _usable(shapes: _Shapes, room: Room) -> FloatArray:
    """Expected GPUs of each node that tasks of one shape could use together."""
    tasks = room.gpus // shapes.gpus
    np.minimum(tasks, room.cpu // shapes.cpu, out=tasks)
    np.minimum(tasks, room.memory // shapes.memory, out=tasks)
    return np.asarray(shapes.expected @ np.maximum(tasks, 0), np.float64)


def _upper(group: list[_Weighted]) -> GpuRequest:
    """The request that most of a group fit into; at least 1 of everything, what is asked for is divided by."""
    cpu = _quantile([(request.cpu, weight) for request, weight in group])
    memory = _quantile([(request.memory, weight) for request, weight in group])
    return GpuRequest(group[0][0].gpus, max(1, cpu), max(1, memory))


def _quantile(amounts: list[tuple[int, float]]) -> int:
    """The upper quantile of weighted amounts."""
    ordered = sorted(amounts)
    reached = np.cumsum([weight for _, weight in ordered])
    return ordered[int(np.searchsorted(reached, UPPER * reached[-1]))][0]
