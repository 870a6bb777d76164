"""NodeResourcesFit and NodeResourcesBalancedAllocation: emptier nodes, and nodes whose CPU and memory are used alike.

Upstream: kube-scheduler 1.37 `plugins/noderesources`. A container without requests counts as 100m and 200 MB here.
"""

from fnmatch import fnmatch
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.contract import CPU, MEMORY
from cloudai_scheduler.preferences.base import BEST, Choice

RESOURCES: Final = (CPU, MEMORY)


def least_allocated(choice: Choice) -> IntArray:
    """NodeResourcesFit: the mean of the free shares of CPU and memory, the pod placed; the emptier the better."""
    fleet, slots = choice.view.state.fleet, choice.slots
    total: IntArray = np.zeros(len(slots), np.int64)
    counted: IntArray = np.zeros(len(slots), np.int64)
    for index, resource in enumerate(RESOURCES):
        capacity = fleet.allocatable(resource)[slots]
        wanted = choice.view.state.usage.of(index, len(fleet))[slots] + choice.usual[index]
        exists = capacity > 0
        total += np.maximum(capacity - wanted, 0) * BEST // np.maximum(capacity, 1)
        counted += exists
    return total // np.maximum(counted, 1)


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
    gained = _balance(choice, asked) - _balance(choice, (0, 0))
    # Go divides towards zero; the sum is never negative.
    return BEST // 2 + (BEST // 2 + gained) // 2


def _balance(choice: Choice, added: tuple[int, int]) -> IntArray:
    fleet, slots = choice.view.state.fleet, choice.slots
    shares: list[FloatArray] = []
    exists = np.ones(len(slots), np.bool_)
    for index, resource in enumerate(RESOURCES):
        capacity = fleet.allocatable(resource)[slots]
        exists &= capacity > 0
        shares.append(np.minimum((fleet.requested(resource)[slots] + added[index]) / np.maximum(capacity, 1), 1.0))
    deviation = np.where(exists, np.abs(shares[0] - shares[1]) / 2, 0.0)
    return np.asarray((1.0 - deviation) * BEST, np.int64)
