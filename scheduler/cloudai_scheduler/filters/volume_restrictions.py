"""VolumeRestrictions: disks that one pod at a time may use on a node, and claims that one pod at a time may use at all.

Upstream: kube-scheduler 1.37 `plugins/volumerestrictions`.
"""

from collections import Counter
from typing import Final

import numpy as np

from cloudai_kube.demand import Demand
from cloudai_kube.objects import Pod
from cloudai_kube.storage_objects import READ_WRITE_ONCE_POD
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.pod_volumes import Disk, PodVolumes
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters.base import Filter, View

DISK_REASON: Final = "node(s) had no available disk"
ONCE_POD_REASON: Final = (
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
)


class VolumeRestrictions(Filter[PodVolumes]):
    """Nodes without a conflict over a disk."""

    name = "VolumeRestrictions"

    def asks(self, pod: Pod, demand: Demand) -> PodVolumes | None:  # noqa: ARG002  one signature for all
        """Disks and claims; those that are made for the pod are nobody else's."""
        volumes = PodVolumes.of(pod)
        claims = tuple(claim for claim in volumes.claims if not claim.is_ephemeral)
        return PodVolumes(claims, volumes.disks) if claims or volumes.disks else None

    def rejects(self, ask: PodVolumes, view: View) -> str | None:
        """A claim that is not there."""
        for claim in ask.claims:
            if view.state.storage.claim(claim.key) is None:
                return f'persistentvolumeclaim "{claim.key[1]}" not found'
        return None

    def passing(self, ask: PodVolumes, view: View) -> BoolArray | None:
        """No slot at all while another pod uses a claim for one pod."""
        if _is_in_use(ask, view.state):
            return np.zeros(len(view.state.fleet), np.bool_)
        return without_conflict(ask.disks, view.state) if ask.disks else None

    def reasons(self, ask: PodVolumes, view: View, excluded: BoolArray) -> Counter[str]:
        """Disks are looked at first."""
        of_disks = int(np.count_nonzero(excluded & ~without_conflict(ask.disks, view.state)))
        return Counter({DISK_REASON: of_disks, ONCE_POD_REASON: int(np.count_nonzero(excluded)) - of_disks})

    def mark(self, ask: PodVolumes, state: ClusterState) -> tuple[int, ...]:
        """Its claims change, or nobody uses them any more."""
        return state.storage.mark(ask.keys)


def _is_in_use(ask: PodVolumes, state: ClusterState) -> bool:
    for key in ask.keys:
        claim = state.storage.claim(key)
        if claim is not None and READ_WRITE_ONCE_POD in claim.spec.accessModes and key in state.storage.users:
            return True
    return False


def without_conflict(disks: frozenset[Disk], state: ClusterState) -> BoolArray:
    """Slots on which nobody uses one of the disks in a way that excludes the other."""
    mask: BoolArray = np.ones(len(state.fleet), np.bool_)
    for disk in disks:
        for slot, uses in state.storage.disks.get(disk.identity, {}).items():
            if not disk.read_only or uses[False]:
                mask[slot] = False
    return mask
