"""NodeDeclaredFeatures: what a pod needs of its kubelet must be among what the node declares.

Upstream: kube-scheduler 1.37 `plugins/nodedeclaredfeatures`, and which features a pod needs: component-helpers
`nodedeclaredfeatures/features/*` `InferForScheduling`.
"""

from typing import Final

import numpy as np

from cloudai_kube.demand import Demand
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.filters.base import Filter, View

REASON: Final = "node(s) didn't match Pod's required features"
RESTART_ALL: Final = "RestartAllContainersOnContainerExits"
HOST_NETWORK_IN_USER_NAMESPACE: Final = "UserNamespacesHostNetworkSupport"
BIND_MOUNT_OPTIONS: Final = "VolumeBindMountOptions"


class NodeDeclaredFeatures(Filter[frozenset[str]]):
    """Nodes whose kubelets declare all that the pod needs."""

    name = "NodeDeclaredFeatures"
    reason = REASON
    resolvable = False

    def asks(self, pod: Pod, demand: Demand) -> frozenset[str] | None:  # noqa: ARG002  one signature for all
        """Features that the pod needs of its node."""
        return needed_by(pod) or None

    def passing(self, ask: frozenset[str], view: View) -> BoolArray:
        """Slots of nodes that declare all of them."""
        mask: BoolArray = np.zeros(len(view.state.fleet), np.bool_)
        for slot, node in view.state.by_slot.items():
            mask[slot] = ask <= node.features
        return mask


def needed_by(pod: Pod) -> frozenset[str]:
    """Features that the pod needs of its node."""
    spec = pod.spec
    containers = (*spec.containers, *spec.initContainers)
    actions = {rule.action for container in containers for rule in container.restartPolicyRules}
    needed = {
        RESTART_ALL: "RestartAllContainers" in actions,
        HOST_NETWORK_IN_USER_NAMESPACE: spec.hostNetwork and spec.hostUsers is False,
        BIND_MOUNT_OPTIONS: any(mount.bindMountOptions for container in containers for mount in container.volumeMounts),
    }
    return frozenset(name for name, is_needed in needed.items() if is_needed)
