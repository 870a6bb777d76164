"""NodeResourcesFit and NodeResourcesBalancedAllocation: emptier nodes, and nodes whose CPU and memory are used alike.

Upstream: kube-scheduler 1.37 `plugins/noderesources`; the scores themselves are `cluster/resource_scores.py`.
"""

from fnmatch import fnmatch

import numpy as np

from cloudai_rts.arrays import IntArray
from cloudai_rts.contract import CPU, MEMORY
from cloudai_scheduler.cluster.resource_scores import BEST
from cloudai_scheduler.preferences.base import Choice


def spread_out(choice: Choice) -> tuple[IntArray, IntArray | None]:
    """Least allocated and balanced for each of the slots; None: the pod asks for neither CPU nor memory."""
    state, asked = choice.view.state, (choice.amounts.get(CPU, 0), choice.amounts.get(MEMORY, 0))
    free, even = state.resource_scores.of(state.fleet, state.usage, state.amount_changes, asked, choice.usual)
    return choice.at(free).astype(np.int64), choice.at(even).astype(np.int64) if any(asked) else None


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
