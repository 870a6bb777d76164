"""NodePorts: a host port can be taken once a node."""

from typing import Final

import numpy as np

from cloudai_kube.demand import HostPort
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.state import ClusterState

REASON: Final = "node(s) didn't have free ports for the requested pod ports"


def free(state: ClusterState, ports: frozenset[HostPort]) -> BoolArray | None:
    """Nodes on which all the ports are free; None where the pod asks for none."""
    if not ports:
        return None
    mask: BoolArray = np.ones(len(state.fleet), np.bool_)
    mask[list(state.ports.conflicts(ports))] = False
    return mask
