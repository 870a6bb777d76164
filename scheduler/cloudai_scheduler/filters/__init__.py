"""Predicates: which nodes a pod may go to. One module each, with the default scheduler's semantics and reason strings.

Static predicates depend on the pod's spec and the node's labels, taints and cordon; their verdicts are kept until the
node changes. What depends on free room (resources, ports, closed nodes) is looked at in every cycle.
"""

from collections.abc import Callable

from cloudai_kube.objects import Pod
from cloudai_scheduler.cluster.state import NodeInfo
from cloudai_scheduler.filters import node_affinity, node_name, taints, unschedulable

StaticFilter = Callable[[Pod, NodeInfo], str | None]
"""Returns why the node is impossible for the pod, None if it is not."""

STATIC_FILTERS: tuple[StaticFilter, ...] = (
    node_affinity.narrowed_by_name,
    unschedulable.check,
    node_name.check,
    taints.check,
    node_affinity.check,
)
"""In upstream's order: a node is counted under the first reason that excludes it."""

LASTING_FILTERS: tuple[StaticFilter, ...] = (
    node_affinity.narrowed_by_name,
    node_name.check,
    taints.check_lasting,
    node_affinity.check,
)
"""Those that say what the pod itself is meant for, whatever state the nodes are in now."""


def is_meant_for(pod: Pod, node: NodeInfo) -> bool:
    """Whether the pod could go to the node if that were ready and open."""
    return all(check(pod, node) is None for check in LASTING_FILTERS)


def first_reason(pod: Pod, node: NodeInfo) -> str | None:
    """Return the first static reason against the node, None if it is possible."""
    for check in STATIC_FILTERS:
        reason = check(pod, node)
        if reason is not None:
            return reason
    return None
