"""Closed nodes: those whose kubelets keep refusing pods; and those that refused a pod of the same controller before."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState

REASON: Final = "node(s) rejected pods recently"


def open_nodes(
    state: ClusterState, rejections: Rejections, resources: set[str], namespace: str, now: float
) -> BoolArray | None:
    """Nodes that are not closed for the pod; None where no node is closed."""
    return _without(state, rejections.closed_nodes(resources, namespace, now))


def unavoided(
    state: ClusterState, rejections: Rejections, owner: str, avoided: Iterable[str], feasible: BoolArray, now: float
) -> BoolArray:
    """The feasible nodes that have not refused the pod's like; all of them where there are no others."""
    others = _without(state, rejections.avoided_nodes(owner, now) | set(avoided))
    if others is None:
        return feasible
    elsewhere = feasible & others
    return elsewhere if elsewhere.any() else feasible


def _without(state: ClusterState, names: set[str]) -> BoolArray | None:
    if not names:
        return None
    slots = [slot for slot in map(state.fleet.slot, names) if slot is not None]
    if not slots:
        return None
    mask: BoolArray = np.ones(len(state.fleet), np.bool_)
    mask[slots] = False
    return mask
