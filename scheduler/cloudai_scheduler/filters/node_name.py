"""NodeName: a pod that names its node goes there or nowhere."""

from typing import Final

from cloudai_kube.objects import Pod
from cloudai_scheduler.cluster.state import NodeInfo

REASON: Final = "node(s) didn't match the requested node name"


def check(pod: Pod, node: NodeInfo) -> str | None:
    """Pass if `spec.nodeName` is empty or equal."""
    return None if pod.spec.nodeName in {"", node.name} else REASON
