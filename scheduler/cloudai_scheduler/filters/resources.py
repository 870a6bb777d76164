"""NodeResourcesFit: pod slots first, then every requested resource against what is free; all shortages are named."""

from typing import Final

import numpy as np

from cloudai_kube.demand import Amounts
from cloudai_rts.arrays import BoolArray
from cloudai_rts.contract import PODS
from cloudai_rts.fleet import Fleet

MOST_NAMED: Final = 256
"""Resources that a message names: a pod may ask for thousands."""
TOO_MANY_PODS: Final = "Too many pods"


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
