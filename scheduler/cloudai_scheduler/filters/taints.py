"""TaintToleration: every NoSchedule and NoExecute taint must be tolerated; PreferNoSchedule excludes nothing."""

from collections.abc import Sequence
from typing import Final

from cloudai_kube.objects import Pod, Taint, Toleration
from cloudai_scheduler.cluster.state import NodeInfo

REASON: Final = "node(s) had untolerated taint(s)"
_CONDITIONS: Final = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_HARD: Final = frozenset({"NoSchedule", "NoExecute"})


def check(pod: Pod, node: NodeInfo) -> str | None:
    """Reject the node at the first hard taint that no toleration covers."""
    return _against(pod, node.taints)


def check_lasting(pod: Pod, node: NodeInfo) -> str | None:
    """The same for taints that people set; those of a node's condition (not ready, pressure, cordon) pass."""
    return _against(pod, [taint for taint in node.taints if not taint.key.startswith(_CONDITIONS)])


def _against(pod: Pod, taints: Sequence[Taint]) -> str | None:
    for taint in taints:
        if taint.effect in _HARD and not any(tolerates(toleration, taint) for toleration in pod.spec.tolerations):
            return REASON
    return None


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Empty key or effect match all; an empty operator is Equal; Exists ignores the value."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    # Without a key only Exists is valid; the API server refuses anything else.
    return bool(toleration.key) and toleration.operator in {"", "Equal"} and toleration.value == taint.value


def disliked(pod: Pod, node: NodeInfo) -> int:
    """How many PreferNoSchedule taints the pod does not tolerate."""
    return sum(
        taint.effect == "PreferNoSchedule"
        and not any(tolerates(toleration, taint) for toleration in pod.spec.tolerations)
        for taint in node.taints
    )
