"""NodeDeclaredFeatures: what a pod needs of its kubelet must be among what the node declares.

Upstream: kube-scheduler 1.37 `plugins/nodedeclaredfeatures`, and which features a pod needs: component-helpers
`nodedeclaredfeatures/features/*` `InferForScheduling`.
"""

from typing import Final

import numpy as np

from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.state import ClusterState

REASON: Final = "node(s) didn't match Pod's required features"
RESTART_ALL: Final = "RestartAllContainersOnContainerExits"
HOST_NETWORK_IN_USER_NAMESPACE: Final = "UserNamespacesHostNetworkSupport"
BIND_MOUNT_OPTIONS: Final = "VolumeBindMountOptions"


def asks(pod: Pod) -> frozenset[str]:
    """Features that the pod needs of its node."""
    spec = pod.spec
    containers = (*spec.containers, *spec.initContainers)
    actions = {rule.action for one in containers for rule in one.restartPolicyRules}
    needed = {
        RESTART_ALL: "RestartAllContainers" in actions,
        HOST_NETWORK_IN_USER_NAMESPACE: spec.hostNetwork and spec.hostUsers is False,
        BIND_MOUNT_OPTIONS: any(mount.bindMountOptions for one in containers for mount in one.volumeMounts),
    }
    return frozenset(name for name, is_needed in needed.items() if is_needed)


def declaring(features: frozenset[str], state: ClusterState) -> BoolArray | None:
    """Slots of nodes that declare all of them; None where the pod needs none."""
    if not features:
        return None
    mask = np.zeros(len(state.fleet), np.bool_)
    for slot, node in state.by_slot.items():
        mask[slot] = features <= node.features
    return mask
