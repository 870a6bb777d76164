"""NodeUnschedulable: a cordoned node takes only pods that tolerate the cordon."""

from typing import Final

from cloudai_kube.objects import Pod, Taint
from cloudai_scheduler.cluster.state import NodeInfo
from cloudai_scheduler.filters.taints import tolerates

REASON: Final = "node(s) were unschedulable"
_CORDON: Final = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


def check(pod: Pod, node: NodeInfo) -> str | None:
    """Reject a cordoned node unless the pod tolerates node.kubernetes.io/unschedulable:NoSchedule."""
    if not node.unschedulable or any(tolerates(toleration, _CORDON) for toleration in pod.spec.tolerations):
        return None
    return REASON
