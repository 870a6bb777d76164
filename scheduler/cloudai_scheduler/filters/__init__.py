"""Predicates: which nodes a pod may go to. One module each, with the default scheduler's semantics and reason strings.

Static predicates depend on the pod's spec and the node's labels, taints and cordon; their verdicts are kept until the
node changes. What depends on free room (resources, ports, closed nodes) is looked at in every cycle.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from cloudai_kube.objects import NodeSelector, Pod
from cloudai_scheduler.cluster.state import NodeInfo
from cloudai_scheduler.filters import node_affinity, node_name, taints, unschedulable
from cloudai_scheduler.filters.base import Filter
from cloudai_scheduler.filters.closed import ClosedNodes
from cloudai_scheduler.filters.host_ports import NodePorts
from cloudai_scheduler.filters.inter_pod_affinity import InterPodAffinity
from cloudai_scheduler.filters.node_declared_features import NodeDeclaredFeatures
from cloudai_scheduler.filters.node_volume_limits import NodeVolumeLimits
from cloudai_scheduler.filters.pod_topology_spread import PodTopologySpread
from cloudai_scheduler.filters.resources import NodeResourcesFit
from cloudai_scheduler.filters.volume_binding import VolumeBinding
from cloudai_scheduler.filters.volume_restrictions import VolumeRestrictions
from cloudai_scheduler.filters.volume_zone import VolumeZone

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

STATIC: Final = "static"
"""What the time of all static filters together is shown under: they are looked at in one go."""
_PLUGINS: Final[Mapping[str, str]] = {
    unschedulable.REASON: "NodeUnschedulable",
    node_name.REASON: "NodeName",
    node_affinity.REASON: "NodeAffinity",
    node_affinity.ADDED_REASON: "NodeAffinity",
    node_affinity.CONFLICT_REASON: "NodeAffinity",
    node_affinity.NARROWED_REASON: "NodeAffinity",
    taints.REASON: "TaintToleration",
}

LASTING: dict[StaticFilter, StaticFilter | None] = {unschedulable.check: None, taints.check: taints.check_lasting}
"""What filters that look at a node's present state say of it if it is ready and open; all others say the same then."""

FILTERS: tuple[Filter[Any], ...] = (
    NodePorts(),
    NodeResourcesFit(),
    VolumeRestrictions(),
    NodeVolumeLimits(),
    VolumeBinding(),
    VolumeZone(),
    PodTopologySpread(),
    InterPodAffinity(),
    NodeDeclaredFeatures(),
    ClosedNodes(),
)
"""Those that look at all nodes at once, after the static ones and in upstream's order."""


def checks_with(added: NodeSelector | None) -> tuple[StaticFilter, ...]:
    """The static filters for the pods of a profile that adds a required node affinity."""
    if added is None:
        return STATIC_FILTERS
    place = STATIC_FILTERS.index(node_affinity.check)
    return (*STATIC_FILTERS[:place], lambda _, node: node_affinity.check_added(added, node), *STATIC_FILTERS[place:])


def plugin_of(reason: str) -> str:
    """Upstream's name of the static filter that gives this reason."""
    return _PLUGINS[reason]


PLUGINS: tuple[str, ...] = (*sorted(set(_PLUGINS.values())), *(filter_.name for filter_ in FILTERS))
"""Names of all filters."""


def judge(pod: Pod, node: NodeInfo, checks: tuple[StaticFilter, ...] = STATIC_FILTERS) -> tuple[str | None, bool]:
    """The first static reason against the node (None: it is possible), and whether the pod is meant for it at all.

    That is, whether it could go there if the node were ready and open.
    """
    first: str | None = None
    for check in checks:
        reason = check(pod, node)
        if reason is None:
            continue
        first = first or reason
        lasting = LASTING.get(check, check)
        if lasting is check or (lasting is not None and lasting(pod, node) is not None):
            return first, False
    return first, True
