"""NodeResourcesFit and NodeResourcesBalancedAllocation of all nodes, by what a pod asks for.

Upstream: kube-scheduler 1.37 `plugins/noderesources`. A container without requests counts as 100m and 200 MB in the
first. Both scores of a node rest on that node alone, so they are kept, and only what changed is worked out again: pods
that ask alike cost no more on fifteen thousand nodes than on fifteen hundred.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.contract import CPU, MEMORY
from cloudai_rts.fleet import Fleet
from cloudai_scheduler.cluster.journal import Journal
from cloudai_scheduler.cluster.usage import Usage, Usual

RESOURCES: Final = (CPU, MEMORY)
BEST: Final = 100
KEPT: Final = 256
"""Kinds of requests. Each has two small numbers for every node."""
_EXACT: Final = (1 << 53) // BEST
_SMALL: Final = np.int16
Asked = tuple[int, int]
"""CPU (millicores) and memory (bytes) of a pod."""
Slots = IntArray | slice


@dataclass(slots=True)
class _Kept:
    """Scores by slot, with so many changes in them."""

    free: IntArray
    even: IntArray
    seen: int


@dataclass(slots=True)
class _Evenness:
    """How alike the shares of CPU and memory are on each node as it is, with so many changes in it."""

    of_slot: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    seen: int = -1

    def refresh(self, fleet: Fleet, changes: Journal) -> IntArray:
        """Bring it up to date."""
        if self.seen != len(changes) or len(self.of_slot) != len(fleet):
            slots = _stale(len(fleet), len(self.of_slot), changes.since(self.seen))
            if isinstance(slots, slice):
                self.of_slot = evenness(fleet, slots)
            else:
                self.of_slot[slots] = evenness(fleet, slots)
            self.seen = len(changes)
        return self.of_slot


@dataclass(slots=True)
class ResourceScores:
    """Kept scores; the least recently asked for are dropped."""

    _before: _Evenness = field(default_factory=_Evenness)
    _kept: OrderedDict[tuple[Asked, Usual], _Kept] = field(default_factory=OrderedDict)

    def of(self, fleet: Fleet, usage: Usage, changes: Journal, asked: Asked, usual: Usual) -> tuple[IntArray, IntArray]:
        """Least allocated and balanced, 0 to 100, `[slots]` as small integers; `changes` of requests and capacities.

        `usual` is what the pod counts as where a container does not say. The second is how much nearer the shares of
        CPU and memory come to each other: 75 where nothing changes.
        """
        key = (asked, usual)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(np.zeros(0, _SMALL), np.zeros(0, _SMALL), -1)
        if kept.seen != len(changes) or len(kept.free) != len(fleet):
            slots = _stale(len(fleet), len(kept.free), changes.since(kept.seen))
            before = self._before.refresh(fleet, changes)[slots]
            free = least_allocated(fleet, usage, slots, usual)
            # Go divides towards zero; the sum is never negative.
            even = BEST // 2 + (BEST // 2 + evenness(fleet, slots, asked) - before) // 2
            if isinstance(slots, slice):
                kept.free, kept.even = free.astype(_SMALL), even.astype(_SMALL)
            else:
                kept.free[slots], kept.even[slots] = free, even
            kept.seen = len(changes)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept.free, kept.even


def _stale(width: int, known: int, changed: list[int] | None) -> Slots:
    """The slots to be worked out again: those that changed, or all of them."""
    if changed is None or known != width or 2 * len(changed) > width:
        return slice(0, width)
    return np.array(list(set(changed)), np.int64)


def least_allocated(fleet: Fleet, usage: Usage, slots: Slots, usual: Usual) -> IntArray:
    """The mean of the free shares of CPU and memory, the pod placed; the emptier the better."""
    shares: list[IntArray] = []
    counted: list[BoolArray] = []
    for index, resource in enumerate(RESOURCES):
        capacity = fleet.allocatable(resource)[slots]
        wanted = usage.of(index, len(fleet))[slots] + usual[index]
        shares.append(per_cent(np.maximum(capacity - wanted, 0), np.maximum(capacity, 1)))
        counted.append(capacity > 0)
    total = shares[0] + shares[1]
    if bool((counted[0] & counted[1]).all()):
        return total // 2
    return total // np.maximum(counted[0].astype(np.int64) + counted[1], 1)


def per_cent(part: IntArray, whole: IntArray) -> IntArray:
    """100 part / whole, rounded down.

    In floating point, which is five times as fast as dividing integers, and exact while 100 part is below 2^53: a
    quotient that is no integer is further from the next one than it can be rounded by.
    """
    if int(part.max(initial=0)) < _EXACT:
        return np.floor(part * float(BEST) / whole).astype(np.int64)
    return part * BEST // whole


def evenness(fleet: Fleet, slots: Slots, added: Asked = (0, 0)) -> IntArray:
    """How alike the shares of CPU and memory are once this is added, 0 to 100."""
    shares: list[FloatArray] = []
    exists: list[BoolArray] = []
    for resource, amount in zip(RESOURCES, added, strict=True):
        capacity = fleet.allocatable(resource)[slots]
        wanted = fleet.requested(resource)[slots] + amount
        shares.append(np.minimum(wanted / np.maximum(capacity, 1), 1.0))
        exists.append(capacity > 0)
    deviation: FloatArray = np.where(exists[0] & exists[1], np.abs(shares[0] - shares[1]) / 2, 0.0)
    return np.asarray((1.0 - deviation) * BEST, np.int64)
