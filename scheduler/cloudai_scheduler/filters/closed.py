"""Closed nodes: those whose kubelet keeps refusing pods, or refused a pod of the same controller a moment ago."""

from typing import Final

import numpy as np

from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState

REASON: Final = "node(s) rejected pods recently"


def open_nodes(
    state: ClusterState, rejections: Rejections, resources: set[str], owner: str, now: float
) -> BoolArray | None:
    """Nodes that are not closed for the pod; None where no node is closed."""
    names = rejections.closed_nodes(resources, owner, now)
    if not names:
        return None
    mask: BoolArray = np.ones(len(state.fleet), np.bool_)
    for name in names:
        slot = state.fleet.slot(name)
        if slot is not None:
            mask[slot] = False
    return mask
