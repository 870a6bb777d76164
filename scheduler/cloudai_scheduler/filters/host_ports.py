"""NodePorts: a host port can be taken once a node."""

from typing import Final

import numpy as np

from cloudai_kube.demand import Demand, HostPort
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.filters.base import Filter, View

REASON: Final = "node(s) didn't have free ports for the requested pod ports"


class NodePorts(Filter[frozenset[HostPort]]):
    """Nodes on which all the ports are free."""

    name = "NodePorts"
    reason = REASON

    def asks(self, pod: Pod, demand: Demand) -> frozenset[HostPort] | None:  # noqa: ARG002  one signature for all
        """The pod's host ports."""
        return demand.ports or None

    def passing(self, ask: frozenset[HostPort], view: View) -> BoolArray:
        """Slots without a conflict."""
        mask: BoolArray = np.ones(len(view.state.fleet), np.bool_)
        mask[list(view.state.ports.conflicts(ask))] = False
        return mask
