"""NodeVolumeLimits: a node attaches so many volumes of a driver; a driver that must be there is there.

Upstream: kube-scheduler 1.37 `plugins/nodevolumelimits`. Volumes of the node's pods and of its VolumeAttachments count
once each; one of the new pod that another pod there uses already needs no further place.
"""

from collections import Counter
from typing import Final

import numpy as np

from cloudai_kube.demand import Demand
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.attachments import NO_LIMIT, Handle, handle_of
from cloudai_scheduler.cluster.pod_volumes import ClaimKey, PodVolumes
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters.base import Filter, View

REASON: Final = "node(s) exceed max volume count"


class NodeVolumeLimits(Filter[tuple[ClaimKey, ...]]):
    """Nodes that can attach the pod's volumes."""

    name = "NodeVolumeLimits"
    reason = REASON

    def asks(self, pod: Pod, demand: Demand) -> tuple[ClaimKey, ...] | None:  # noqa: ARG002  one signature for all
        """The pod's claims."""
        return PodVolumes.of(pod).keys or None

    def passing(self, ask: tuple[ClaimKey, ...], view: View) -> BoolArray | None:
        """Slots with the drivers and with places left."""
        new = _handles(ask, view.state)
        if not new:
            return None
        mask: BoolArray = np.ones(len(view.state.fleet), np.bool_)
        for installed in _installed(new, view.state).values():
            mask &= installed
        return mask & _with_places(new, view.state)

    def reasons(self, ask: tuple[ClaimKey, ...], view: View, excluded: BoolArray) -> Counter[str]:
        """A missing driver is named."""
        counts: Counter[str] = Counter()
        for driver, installed in sorted(_installed(_handles(ask, view.state), view.state).items()):
            text = f"{driver} CSI driver is not installed on the node"
            counts[text] = int(np.count_nonzero(excluded & ~installed))
            excluded = excluded & installed
        counts[REASON] = int(np.count_nonzero(excluded))
        return counts

    def mark(self, ask: tuple[ClaimKey, ...], state: ClusterState) -> tuple[int, ...]:
        """Claims, attachments, drivers."""
        return (*state.storage.mark(ask), state.storage.limits_version)


def _handles(keys: tuple[ClaimKey, ...], state: ClusterState) -> set[Handle]:
    return {handle for key in keys if (handle := handle_of(state.storage, key)) is not None}


def _installed(new: set[Handle], state: ClusterState) -> dict[str, BoolArray]:
    """Slots that have a driver, for each driver that wants no pod where it is missing."""
    masks: dict[str, BoolArray] = {}
    for driver in {driver for driver, _ in new}:
        known = state.storage.drivers.get(driver)
        if known is None or not known.spec.preventPodSchedulingIfMissing:
            continue
        mask: BoolArray = np.zeros(len(state.fleet), np.bool_)
        for (_, name), node in state.storage.nodes.items.items():
            slot = state.fleet.slot(name)
            if slot is not None and any(reported.name == driver for reported in node.spec.drivers or ()):
                mask[slot] = True
        masks[driver] = mask
    return masks


def _with_places(new: set[Handle], state: ClusterState) -> BoolArray:
    attachments, width = state.attachments, len(state.fleet)
    attachments.refresh(state.storage, state.fleet)
    mask: BoolArray = np.ones(width, np.bool_)
    for driver in {driver for driver, _ in new}:
        limit = attachments.limit(driver)
        if limit is None:
            continue
        of_driver = [handle for handle in new if handle[0] == driver]
        needed = np.full(width, len(of_driver), np.int64)
        for handle in of_driver:
            attached = [slot for slot in attachments.slots_of.get(handle, ()) if slot < width]
            needed[attached] -= 1
        mask &= (limit == NO_LIMIT) | (needed == 0) | (attachments.used(driver, width) + needed <= limit)
    return mask
