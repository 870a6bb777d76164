"""Volumes attached to nodes by driver, against the limits of each node: arrays over slots, brought up to date lazily.

Upstream: kube-scheduler 1.37 `plugins/nodevolumelimits`. Volumes of in-tree plugins that a driver has taken over are
not translated (they count nowhere): only volumes older than Kubernetes 1.17 to 1.25 are such.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts.arrays import IntArray
from cloudai_rts.fleet import Fleet
from cloudai_scheduler.cluster.pod_volumes import ClaimKey
from cloudai_scheduler.cluster.storage import Storage

NO_LIMIT: Final = -1
_EMPTY: Final[IntArray] = np.zeros(0, np.int64)
Handle = tuple[str, str]
"""Driver and volume; a claim without a volume stands for one of its own."""


def handle_of(storage: Storage, key: ClaimKey) -> Handle | None:
    """What a claim attaches to its pod's node; None where no driver counts it."""
    claim = storage.claim(key)
    if claim is None:
        return None
    volume = storage.volumes.get(claim.spec.volumeName) if claim.spec.volumeName else None
    if volume is not None:
        source = volume.spec.csi
        return (source.driver, source.volumeHandle) if source is not None and source.volumeHandle else None
    kind = storage.class_of(claim)
    return (kind.provisioner, f"unbound {key[0]}/{key[1]}") if kind is not None and kind.provisioner else None


@dataclass(slots=True)
class Attachments:
    """Volumes that are attached, by node. `on_slot[slot]` are the volumes of the pods there."""

    on_slot: dict[int, set[Handle]] = field(default_factory=dict)
    slots_of: dict[Handle, set[int]] = field(default_factory=dict)
    _counted: dict[int, Counter[str]] = field(default_factory=dict)
    _used: dict[str, IntArray] = field(default_factory=dict)
    _limits: dict[str, IntArray] = field(default_factory=dict)
    _limits_seen: tuple[int, int] = (-1, -1)

    def refresh(self, storage: Storage, fleet: Fleet) -> None:
        """Bring everything up to date."""
        dirty = storage.take_dirty()
        if dirty is None:
            dirty = set(range(len(fleet)))
        if dirty:
            self._recount(storage, fleet, dirty)
        seen = (storage.limits_version, fleet.topology)
        if seen != self._limits_seen:
            self._limits_seen = seen
            self._limits = _limits(storage, fleet)

    def limit(self, driver: str) -> IntArray | None:
        """How many volumes of a driver each node can attach, `NO_LIMIT` where nothing is said; None: nowhere any."""
        return self._limits.get(driver)

    def used(self, driver: str, width: int) -> IntArray:
        """How many volumes of a driver are attached to each of the first `width` slots."""
        known = self._used.get(driver, _EMPTY)
        if len(known) < width:
            known = self._used[driver] = np.pad(known, (0, width - len(known)))
        return known[:width]

    def _recount(self, storage: Storage, fleet: Fleet, dirty: set[int]) -> None:
        for slot in dirty:
            claims = storage.on_slot.get(slot, ())
            handles = {handle for key in claims if (handle := handle_of(storage, key)) is not None}
            for handle in self.on_slot.get(slot, set()) - handles:
                self.slots_of[handle].discard(slot)
                if not self.slots_of[handle]:
                    del self.slots_of[handle]
            for handle in handles:
                self.slots_of.setdefault(handle, set()).add(slot)
            self.on_slot[slot] = handles
            node = fleet.names[slot] if slot < len(fleet) else ""
            self._count(slot, handles | _attached(storage, node), len(fleet))

    def _count(self, slot: int, handles: set[Handle], width: int) -> None:
        counts = Counter(driver for driver, _ in handles)
        for driver in counts.keys() | self._counted.get(slot, Counter()).keys():
            self.used(driver, max(width, slot + 1))[slot] = counts[driver]
        self._counted[slot] = counts


def _attached(storage: Storage, node: str) -> set[Handle]:
    """Volumes that the attacher has brought to a node, of pods that are there no more too."""
    handles: set[Handle] = set()
    for attachment in storage.attached.get(node, {}).values():
        name = attachment.spec.source.persistentVolumeName
        volume = storage.volumes.get(name) if name else None
        if volume is not None and volume.spec.csi is not None and attachment.spec.attacher:
            handles.add((attachment.spec.attacher, volume.spec.csi.volumeHandle))
    return handles


def _limits(storage: Storage, fleet: Fleet) -> dict[str, IntArray]:
    limits: dict[str, IntArray] = {}
    for (_, name), node in storage.nodes.items.items():
        slot = fleet.slot(name)
        for driver in node.spec.drivers or () if slot is not None else ():
            if driver.allocatable is not None and driver.allocatable.count is not None:
                of_driver = limits.setdefault(driver.name, np.full(len(fleet), NO_LIMIT, np.int64))
                of_driver[slot] = driver.allocatable.count
    return limits
