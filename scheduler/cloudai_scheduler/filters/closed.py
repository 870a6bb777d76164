"""Closed nodes: those whose kubelets keep refusing pods; and those that refused a pod of the same controller before."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from cloudai_kube.demand import Demand
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters.base import Filter, View

REASON: Final = "node(s) rejected pods recently"


class ClosedNodes(Filter[frozenset[str]]):
    """Nodes that are not closed for the pod. No filter of the default scheduler: it has no memory of refusals."""

    name = "ClosedNodes"
    reason = REASON
    resolvable = False

    def asks(self, pod: Pod, demand: Demand) -> frozenset[str]:  # noqa: ARG002  one signature for all
        """Resources that the pod asks for."""
        return frozenset(demand.amounts)

    def is_about_single_pods(self, ask: frozenset[str]) -> bool:  # noqa: ARG002  one signature for all
        """It goes by the pod's namespace."""
        return True

    def passing(self, ask: frozenset[str], view: View) -> BoolArray | None:
        """Slots that are open; None where no node is closed."""
        closed = view.rejections.closed_nodes(ask, view.pod.metadata.namespace, view.now)
        return _without(view.state, closed)


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
