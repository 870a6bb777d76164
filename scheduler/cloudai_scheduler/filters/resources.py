"""NodeResourcesFit: pod slots first, then every requested resource against what is free; all shortages are named."""

from collections import Counter
from typing import Final

import numpy as np

from cloudai_kube.demand import Amounts, Demand
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray
from cloudai_rts.contract import PODS
from cloudai_rts.fleet import Fleet
from cloudai_scheduler.filters.base import Filter, View

MOST_NAMED: Final = 256
"""Resources that a message names: a pod may ask for thousands."""
TOO_MANY_PODS: Final = "Too many pods"


class NodeResourcesFit(Filter[Amounts]):
    """Nodes that have room."""

    name = "NodeResourcesFit"
    is_about_room = True

    def asks(self, pod: Pod, demand: Demand) -> Amounts:  # noqa: ARG002  one signature for all
        """All that the pod asks for."""
        return demand.amounts

    def passing(self, ask: Amounts, view: View) -> BoolArray:
        """Slots with room for it."""
        return view.state.fleet.fits(ask)

    def passes_at(self, ask: Amounts, view: View, slot: int) -> bool:
        """Whether one slot has room: preemption asks this of a node again and again."""
        return view.state.fleet.fits_at(slot, ask)

    def reasons(self, ask: Amounts, view: View, excluded: BoolArray) -> Counter[str]:
        """One for each resource that is short."""
        return Counter(shortages(view.state.fleet, ask, excluded))

    def helped_by_eviction(self, ask: Amounts, view: View) -> BoolArray:
        """Slots that could hold it if they were empty."""
        return view.state.fleet.could_fit(ask)


def shortages(fleet: Fleet, amounts: Amounts, possible: BoolArray) -> dict[str, int]:
    """Count the possible nodes by each resource that they lack; a node that lacks two things is counted twice."""
    counts: dict[str, int] = {}
    everywhere = int(np.count_nonzero(possible))
    asked = sorted(resource for resource, amount in amounts.items() if amount > 0)
    if len(asked) > MOST_NAMED and everywhere:
        counts[f"Insufficient amounts of {len(asked) - MOST_NAMED} further resources"] = everywhere
    for resource in asked[:MOST_NAMED]:
        amount = amounts[resource]
        short = everywhere  # of a resource that no node offers
        if fleet.counts(resource):
            short = int(np.count_nonzero(possible & (fleet.available(resource) < amount)))
        if short:
            counts[TOO_MANY_PODS if resource == PODS else f"Insufficient {resource}"] = short
    return counts
