"""Volumes of a pod as far as they decide where it may go: its claims, and disks that it names itself."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloudai_kube.objects import Pod, Record

ClaimKey = tuple[str, str]
"""Namespace and name of a PersistentVolumeClaim."""
MOST_CLAIMS: Final = 128
"""Claims of one pod that we read: more than any machine attaches. A pod with more is not placed."""
MOST_DISKS: Final = 1024
PLACED_BY: Final = frozenset(
    {"persistentVolumeClaim", "ephemeral", "gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd"}
)
"""Kinds of volumes that filters read."""


@dataclass(frozen=True, slots=True)
class PodClaim:
    """A claim that a pod uses. `is_ephemeral`: it is made for this pod, and named after it."""

    key: ClaimKey
    is_ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that only one pod of a node may use, unless all of them only read it."""

    identity: tuple[str, ...]
    read_only: bool


@dataclass(frozen=True, slots=True)
class PodVolumes:
    """What a pod uses."""

    claims: tuple[PodClaim, ...] = ()
    disks: frozenset[Disk] = frozenset()

    @classmethod
    def of(cls, pod: Pod) -> "PodVolumes":
        """Read a pod: at most `MOST_CLAIMS` claims and `MOST_DISKS` disks of it."""
        relevant = [_read(volume) for volume in pod.spec.volumes if not PLACED_BY.isdisjoint(volume)]
        if not relevant:
            return NONE
        claims = [claim for volume in relevant if (claim := _claim(pod, volume)) is not None]
        disks = [disk for volume in relevant for disk in _disks(volume)]
        return cls(tuple(dict.fromkeys(claims[:MOST_CLAIMS])), frozenset(disks[:MOST_DISKS]))

    @property
    def keys(self) -> tuple[ClaimKey, ...]:
        """All its claims."""
        return tuple(claim.key for claim in self.claims)


NONE: Final = PodVolumes()


class _ClaimSource(Record):
    claimName: str = ""


class _Disk(Record):
    pdName: str = ""
    volumeID: str = ""
    iqn: str = ""
    monitors: list[str] = msgspec.field(default_factory=list)
    pool: str = "rbd"
    image: str = ""
    readOnly: bool = False


class _Volume(Record):
    name: str = ""
    persistentVolumeClaim: _ClaimSource | None = None
    ephemeral: dict[str, Any] | None = None
    gcePersistentDisk: _Disk | None = None
    awsElasticBlockStore: _Disk | None = None
    iscsi: _Disk | None = None
    rbd: _Disk | None = None


def _read(volume: dict[str, Any]) -> _Volume:
    return msgspec.convert({key: volume[key] for key in ("name", *PLACED_BY) if key in volume}, _Volume)


def _claim(pod: Pod, volume: _Volume) -> PodClaim | None:
    meta = pod.metadata
    if volume.persistentVolumeClaim is not None:
        return PodClaim((meta.namespace, volume.persistentVolumeClaim.claimName))
    if volume.ephemeral is not None:
        return PodClaim((meta.namespace, f"{meta.name}-{volume.name}"), is_ephemeral=True)
    return None


def _disks(volume: _Volume) -> list[Disk]:
    """Upstream: `plugins/volumerestrictions` `isVolumeConflict`. One EBS volume is never shared."""
    gce, ebs, iscsi, rbd = volume.gcePersistentDisk, volume.awsElasticBlockStore, volume.iscsi, volume.rbd
    disks: list[Disk] = []
    if gce is not None:
        disks.append(Disk(("gce", gce.pdName), gce.readOnly))
    if ebs is not None:
        disks.append(Disk(("ebs", ebs.volumeID), read_only=False))
    if iscsi is not None:
        disks.append(Disk(("iscsi", iscsi.iqn), iscsi.readOnly))
    if rbd is not None:
        disks.extend(Disk(("rbd", monitor, rbd.pool, rbd.image), rbd.readOnly) for monitor in rbd.monitors)
    return disks
