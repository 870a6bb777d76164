"""Claims, volumes and what else decides where a pod with volumes may go; and which pods use what.

What this process has promised but not yet written (a volume for a claim, a node for a claim) is laid over what the API
server shows: two pods never get the same volume. Versions grow with changes that may help a pod that waits.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from cloudai_kube import quantity
from cloudai_kube.errors import FormatError
from cloudai_kube.storage_objects import (
    SELECTED_NODE,
    Claim,
    CsiDriver,
    CsiNode,
    CsiStorageCapacity,
    StorageClass,
    Volume,
    VolumeAttachment,
)
from cloudai_scheduler.cluster.pod_volumes import ClaimKey, PodVolumes
from cloudai_scheduler.cluster.table import Table

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be written before a pod with these claims can be bound: volumes for claims, claims to provision."""

    bindings: tuple[tuple[str, ClaimKey], ...] = ()
    provisions: tuple[ClaimKey, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.bindings or self.provisions)


@dataclass(slots=True)
class Storage:
    """All storage objects, and their use by pods on nodes that exist (by slot).

    During a trial no version grows: everything is taken back.
    """

    claims: Table[Claim] = field(init=False)
    volumes: Table[Volume] = field(init=False)
    classes: Table[StorageClass] = field(init=False)
    nodes: Table[CsiNode] = field(init=False)
    drivers: Table[CsiDriver] = field(init=False)
    capacities: Table[CsiStorageCapacity] = field(init=False)
    attachments: Table[VolumeAttachment] = field(init=False)
    slot_of: Callable[[str], int | None] = lambda _node: None
    notify: Callable[[], None] = lambda: None
    is_trial: bool = False
    version: int = 0
    limits_version: int = 0
    promises: int = 0
    users: dict[ClaimKey, Counter[int]] = field(default_factory=dict)
    on_slot: dict[int, Counter[ClaimKey]] = field(default_factory=dict)
    disks: dict[tuple[str, ...], dict[int, Counter[bool]]] = field(default_factory=dict)
    dirty: set[int] | None = None
    _free: dict[str, dict[str, Volume]] = field(default_factory=dict)
    _of_claim: dict[ClaimKey, dict[str, Volume]] = field(default_factory=dict)
    attached: dict[str, dict[str, VolumeAttachment]] = field(default_factory=dict)
    _claim_versions: dict[ClaimKey, int] = field(default_factory=dict)
    _class_versions: dict[str, int] = field(default_factory=dict)
    _kept_for: dict[str, ClaimKey] = field(default_factory=dict)
    _selected: dict[ClaimKey, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.claims = Table(self._claim_changed)
        self.volumes = Table(self._volume_changed)
        self.classes = Table(self._class_changed)
        self.nodes = Table(self._limits_changed)
        self.drivers = Table(self._limits_changed)
        self.capacities = Table(lambda capacity: self._bump_class(capacity.storageClassName))
        self.attachments = Table(self._attachment_changed)

    def claim(self, key: ClaimKey) -> Claim | None:
        """A claim, None where there is none."""
        return self.claims.items.get(key)

    def class_of(self, claim: Claim) -> StorageClass | None:
        """The storage class of a claim, None where there is none."""
        return self.classes.get(claim.class_name)

    def volumes_for(self, claim: Claim) -> list[Volume]:
        """Volumes of a claim's class that are nobody's, or are kept for a claim of this name."""
        key, kind = (claim.metadata.namespace, claim.metadata.name), claim.class_name
        own = [volume for volume in self._of_claim.get(key, {}).values() if volume.class_name == kind]
        return [*own, *self._free.get(kind, {}).values()]

    def kept_for(self, volume: str) -> ClaimKey | None:
        """The claim that an unbound volume is promised to."""
        return self._kept_for.get(volume)

    def selected_node(self, claim: Claim) -> str | None:
        """The node that a claim is to be provisioned for, as promised or as written; None where it is open."""
        meta = claim.metadata
        promised = self._selected.get((meta.namespace, meta.name))
        return promised if promised is not None else meta.annotations.get(SELECTED_NODE)

    def assume(self, plan: Plan, node: str) -> None:
        """Promise what a plan says."""
        self.promises += 1
        for volume, claim in plan.bindings:
            self._kept_for[volume] = claim
        for claim in plan.provisions:
            self._selected[claim] = node

    def release(self, plan: Plan, is_written: bool) -> None:
        """It is written, or it will not be: from now on what the API server shows holds."""
        self.promises += 1
        for volume, claim in plan.bindings:
            if self._kept_for.get(volume) == claim:
                del self._kept_for[volume]
        for claim in plan.provisions:
            self._selected.pop(claim, None)
        if not is_written:
            self._bump_plan(plan)

    def occupy(self, slot: int, volumes: PodVolumes, sign: int = 1) -> None:
        """Count what a pod on a node uses (`sign=-1`: take it back)."""
        for key in volumes.keys:
            _count(self.on_slot, slot, key, sign)
            if _count(self.users, key, slot, sign) and not self.is_trial:
                self._bump_claim(key)
        for disk in volumes.disks:
            uses = self.disks.setdefault(disk.identity, {})
            if _count(uses, slot, disk.read_only, sign) and not uses:
                del self.disks[disk.identity]
        if volumes.claims:
            self._mark_dirty((slot,))

    def mark(self, keys: tuple[ClaimKey, ...]) -> tuple[int, ...]:
        """Something that changes when these claims, or what could be theirs, change."""
        marks: list[int] = []
        for key in keys:
            claim = self.claim(key)
            marks.append(self._claim_versions.get(key, 0))
            marks.append(self._class_versions.get(claim.class_name if claim is not None else "", 0))
        return tuple(marks)

    def touch(self, slot: int) -> None:
        """Another node is in this slot."""
        self._mark_dirty((slot,))

    def take_dirty(self) -> set[int] | None:
        """Slots whose attached volumes may have changed since the last call; None: all of them."""
        dirty, self.dirty = self.dirty, set()
        return dirty

    def _claim_changed(self, claim: Claim) -> None:
        key = (claim.metadata.namespace, claim.metadata.name)
        self._bump_claim(key)
        self._mark_dirty(self.users.get(key, ()))

    def _volume_changed(self, volume: Volume) -> None:
        is_there, reference = self.volumes.get(volume.metadata.name) is volume, volume.spec.claimRef
        if reference is None:
            _index(self._free, volume.class_name, volume, is_there)
            self._bump_class(volume.class_name)
        else:
            key = (reference.namespace, reference.name)
            _index(self._of_claim, key, volume, is_there)
            self._bump_claim(key)
            self._mark_dirty(self.users.get(key, ()))

    def _class_changed(self, storage_class: StorageClass) -> None:
        self._bump_class(storage_class.metadata.name)
        self.dirty = None

    def _limits_changed(self, csi: CsiNode | CsiDriver) -> None:
        self._bump()
        self.limits_version = self.version
        if isinstance(csi, CsiDriver):  # one that no longer reports capacity takes every volume
            for name in list(self._class_versions):
                self._bump_class(name)

    def _attachment_changed(self, attachment: VolumeAttachment) -> None:
        name, node = attachment.metadata.name, attachment.spec.nodeName
        on_node = self.attached.setdefault(node, {})
        if self.attachments.get(name) is attachment:
            on_node[name] = attachment
        else:
            on_node.pop(name, None)
            if not on_node:
                del self.attached[node]
        self._bump()
        self.limits_version = self.version
        slot = self.slot_of(node)
        if slot is not None:
            self._mark_dirty((slot,))

    def _bump(self) -> None:
        self.version += 1
        self.notify()

    def _bump_plan(self, plan: Plan) -> None:
        for volume, claim in plan.bindings:
            self._bump_claim(claim)
            known = self.volumes.get(volume)
            self._bump_class(known.class_name if known is not None else "")
        for claim in plan.provisions:
            self._bump_claim(claim)

    def _bump_claim(self, key: ClaimKey) -> None:
        self._bump()
        if key in self.claims.items:
            self._claim_versions[key] = self.version
        else:
            self._claim_versions.pop(key, None)

    def _bump_class(self, name: str) -> None:
        self._bump()
        self._class_versions[name] = self.version

    def _mark_dirty(self, slots: Iterable[int]) -> None:
        if self.dirty is not None:
            self.dirty.update(slots)


def _index(table: dict[K, dict[str, Volume]], key: K, volume: Volume, is_there: bool) -> None:
    volumes = table.setdefault(key, {})
    if is_there:
        volumes[volume.metadata.name] = volume
    else:
        volumes.pop(volume.metadata.name, None)
    if not volumes:
        del table[key]


def _count(table: dict[K, Counter[V]], key: K, value: V, sign: int) -> bool:
    """Count one up or down. True if nothing is left of the key."""
    counts = table.setdefault(key, Counter())
    counts[value] += sign
    if counts[value] <= 0:
        del counts[value]
    if not counts:
        del table[key]
    return not counts


def size_of(text: str | float | None) -> int:
    """A quantity of storage in bytes; 0 where none is said or it cannot be read."""
    if text is None:
        return 0
    try:
        return quantity.parse(str(text))
    except FormatError:
        return 0


def requested_bytes(claim: Claim) -> int:
    """What a claim asks for."""
    return size_of(claim.spec.resources.requests.get("storage"))
