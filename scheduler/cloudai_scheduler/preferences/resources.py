"""NodeResourcesFit and NodeResourcesBalancedAllocation: emptier nodes, and nodes whose CPU and memory are used alike.

Upstream: kube-scheduler 1.37 `plugins/noderesources`. A container without requests counts as 100m and 200 MB here.
"""

from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Final

import numpy as np

from cloudai_kube.demand import requests_of
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.contract import CPU, MEMORY
from cloudai_scheduler.cluster.usage import usual_requests
from cloudai_scheduler.preferences.base import BEST, Choice, Preference

RESOURCES: Final = (CPU, MEMORY)


class LeastAllocated(Preference[tuple[int, int]]):
    """The mean of the free shares of CPU and memory, the pod placed."""

    name = "NodeResourcesFit"

    def asks(self, pod: Pod) -> tuple[int, int]:
        """Its CPU and memory, or what such pods usually take."""
        return usual_requests(pod)

    def scores(self, ask: tuple[int, int], choice: Choice) -> IntArray:
        """The emptier the better."""
        fleet, slots = choice.view.state.fleet, choice.slots
        total: IntArray = np.zeros(len(slots), np.int64)
        counted: IntArray = np.zeros(len(slots), np.int64)
        for index, resource in enumerate(RESOURCES):
            capacity = fleet.allocatable(resource)[slots]
            wanted = choice.view.state.usage.of(index, len(fleet))[slots] + ask[index]
            free = np.maximum(capacity - wanted, 0)
            total += np.where(capacity > 0, free * BEST // np.maximum(capacity, 1), 0)
            counted += capacity > 0
        return total // np.maximum(counted, 1)


@dataclass(frozen=True, slots=True)
class MostAllocated(Preference[dict[str, int]]):
    """The mean of the shares that are taken of the resources to be packed, the pod placed: large holes stay whole."""

    packed: tuple[str, ...]
    name = "NodeResourcesFit"

    def asks(self, pod: Pod) -> dict[str, int] | None:
        """What it asks for of the resources that match one of the patterns."""
        amounts = requests_of(pod)
        return {
            resource: amount
            for resource, amount in amounts.items()
            if any(fnmatch(resource, pattern) for pattern in self.packed)
        } or None

    def scores(self, ask: dict[str, int], choice: Choice) -> IntArray:
        """The fuller the better."""
        fleet, slots = choice.view.state.fleet, choice.slots
        total: IntArray = np.zeros(len(slots), np.int64)
        for resource, amount in ask.items():
            capacity = np.maximum(fleet.allocatable(resource)[slots], 1)
            total += (fleet.requested(resource)[slots] + amount) * BEST // capacity
        return total // len(ask)


class BalancedAllocation(Preference[tuple[int, int]]):
    """How much nearer the shares of CPU and memory come to each other."""

    name = "NodeResourcesBalancedAllocation"

    def asks(self, pod: Pod) -> tuple[int, int] | None:
        """What it asks for; nothing where it asks for neither."""
        amounts = requests_of(pod)
        asked = (amounts.get(CPU, 0), amounts.get(MEMORY, 0))
        return asked if any(asked) else None

    def scores(self, ask: tuple[int, int], choice: Choice) -> IntArray:
        """75 where nothing changes."""
        gained = _balance(choice, ask) - _balance(choice, (0, 0))
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
