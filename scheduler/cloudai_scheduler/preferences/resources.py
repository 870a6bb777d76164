"""NodeResourcesFit and NodeResourcesBalancedAllocation: emptier nodes, and nodes whose CPU and memory are used alike.

Upstream: kube-scheduler 1.37 `plugins/noderesources`. A container without requests counts as 100m and 200 MB here.
"""

from fnmatch import fnmatch
from typing import Final

import numpy as np

from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.contract import CPU, MEMORY
from cloudai_scheduler.preferences.base import BEST, Choice

RESOURCES: Final = (CPU, MEMORY)
_EXACT: Final = (1 << 53) // BEST


def least_allocated(choice: Choice) -> IntArray:
    """NodeResourcesFit: the mean of the free shares of CPU and memory, the pod placed; the emptier the better."""
    fleet, usage = choice.view.state.fleet, choice.view.state.usage
    total: IntArray = np.zeros(len(choice.slots), np.int64)
    counted: IntArray = np.zeros(len(choice.slots), np.int64)
    for index, resource in enumerate(RESOURCES):
        capacity = choice.at(fleet.allocatable(resource))
        wanted = choice.at(usage.of(index, len(fleet))) + choice.usual[index]
        total += per_cent(np.maximum(capacity - wanted, 0), np.maximum(capacity, 1))
        counted += capacity > 0
    return total // 2 if bool((counted == 2).all()) else total // np.maximum(counted, 1)


def per_cent(part: IntArray, whole: IntArray) -> IntArray:
    """100 part / whole, rounded down.

    In floating point, which is five times as fast as dividing integers, and exact while 100 part is below 2^53: a
    quotient that is no integer is further from the next one than it can be rounded by.
    """
    if int(part.max(initial=0)) < _EXACT:
        return np.floor(part * float(BEST) / whole).astype(np.int64)
    return part * BEST // whole


def most_allocated(choice: Choice, packed: tuple[str, ...]) -> IntArray | None:
    """The mean of the shares that are taken of the resources to be packed, the pod placed: large holes stay whole.

    None where the pod asks for none of them.
    """
    fleet, slots = choice.view.state.fleet, choice.slots
    wanted = {
        resource: amount
        for resource, amount in choice.amounts.items()
        if any(fnmatch(resource, pattern) for pattern in packed)
    }
    if not wanted:
        return None
    total: IntArray = np.zeros(len(slots), np.int64)
    for resource, amount in wanted.items():
        capacity = np.maximum(fleet.allocatable(resource)[slots], 1)
        total += (fleet.requested(resource)[slots] + amount) * BEST // capacity
    return total // len(wanted)


def balanced(choice: Choice) -> IntArray | None:
    """NodeResourcesBalancedAllocation: how much nearer the shares of CPU and memory come to each other.

    75 where nothing changes; None where the pod asks for neither.
    """
    asked = (choice.amounts.get(CPU, 0), choice.amounts.get(MEMORY, 0))
    if not any(asked):
        return None
    fleet = choice.view.state.fleet
    capacities = [choice.at(fleet.allocatable(resource)) for resource in RESOURCES]
    requested = [choice.at(fleet.requested(resource)) for resource in RESOURCES]
    exists = np.logical_and(*(capacity > 0 for capacity in capacities))
    before, after = (
        _balance([amounts + more for amounts, more in zip(requested, added, strict=True)], capacities, exists)
        for added in ((0, 0), asked)
    )
    # Go divides towards zero; the sum is never negative.
    return BEST // 2 + (BEST // 2 + after - before) // 2


def _balance(wanted: list[IntArray], capacities: list[IntArray], exists: BoolArray) -> IntArray:
    """How alike the shares of CPU and memory are, 0 to 100."""
    shares = [
        np.minimum(amounts / np.maximum(capacity, 1), 1.0) for amounts, capacity in zip(wanted, capacities, strict=True)
    ]
    deviation: FloatArray = np.where(exists, np.abs(shares[0] - shares[1]) / 2, 0.0)
    return np.asarray((1.0 - deviation) * BEST, np.int64)
