"""VolumeZone: a volume that names its zone or region in its labels is used there only.

Upstream: kube-scheduler 1.37 `plugins/volumezone`. Nodes that name neither zone nor region pass: there is one only.
"""

from typing import Final

import numpy as np

from cloudai_kube.demand import Demand
from cloudai_kube.objects import Pod
from cloudai_kube.storage_objects import WAIT_FOR_FIRST_CONSUMER, Claim, Volume
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.domains import NONE
from cloudai_scheduler.cluster.node_selection import with_value
from cloudai_scheduler.cluster.pod_volumes import ClaimKey, PodVolumes
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters.base import Filter, View

REASON: Final = "node(s) had no available volume zone"
_TODAY: Final = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
"""Old labels by the names that replaced them."""
LABELS: Final = (*_TODAY, *_TODAY.values())
_SEPARATOR: Final = "__"
"""Between the zones of a volume that is in several."""


class VolumeZone(Filter[tuple[ClaimKey, ...]]):
    """Nodes in the zones of the pod's volumes."""

    name = "VolumeZone"
    reason = REASON
    resolvable = False

    def asks(self, pod: Pod, demand: Demand) -> tuple[ClaimKey, ...] | None:  # noqa: ARG002  one signature for all
        """Claims by name; those that are made for the pod do not count."""
        return tuple(claim.key for claim in PodVolumes.of(pod).claims if not claim.is_ephemeral) or None

    def rejects(self, ask: tuple[ClaimKey, ...], view: View) -> str | None:
        """A volume or a class that is not there."""
        problems = (_problem(claim, view.state) for claim in _claims(ask, view.state))
        return next((problem for problem in problems if problem is not None), None)

    def passing(self, ask: tuple[ClaimKey, ...], view: View) -> BoolArray | None:
        """Slots in the zones of all volumes."""
        state = view.state
        volumes = (state.storage.volumes.get(claim.spec.volumeName) for claim in _claims(ask, state))
        wanted = [places for volume in volumes if volume is not None for places in _places(volume)]
        if not wanted:
            return None
        mask: BoolArray = np.ones(len(state.fleet), np.bool_)
        for key, values in wanted:
            mask &= _in_one_of(state, key, values)
        has_place: BoolArray = np.logical_or.reduce([state.domain_of(key) != NONE for key in LABELS])
        return mask | ~has_place

    def mark(self, ask: tuple[ClaimKey, ...], state: ClusterState) -> tuple[int, ...]:
        """Its claims, their volumes and classes."""
        return state.storage.mark(ask)


def _claims(ask: tuple[ClaimKey, ...], state: ClusterState) -> list[Claim]:
    return [claim for key in ask if (claim := state.storage.claim(key)) is not None]


def _problem(claim: Claim, state: ClusterState) -> str | None:
    name = claim.spec.volumeName
    if name:
        return None if state.storage.volumes.get(name) is not None else f'persistentvolume "{name}" not found'
    if not claim.class_name:
        return "PersistentVolumeClaim had no pv name and storageClass name"
    kind = state.storage.class_of(claim)
    if kind is None:
        return f'storageclass.storage.k8s.io "{claim.class_name}" not found'
    return None if kind.volumeBindingMode == WAIT_FOR_FIRST_CONSUMER else "PersistentVolume had no name"


def _places(volume: Volume) -> list[tuple[str, list[str]]]:
    """Labels that name a place, with the places; a list with an empty one is ignored, as upstream ignores it."""
    labels = volume.metadata.labels
    named = [(key, [part.strip() for part in labels[key].split(_SEPARATOR)]) for key in LABELS if key in labels]
    return [(key, values) for key, values in named if all(values)]


def _in_one_of(state: ClusterState, key: str, values: list[str]) -> BoolArray:
    """Nodes whose label, or the one that replaced it where they lack it, has one of the values."""
    mask = with_value(state, key, values)
    if key in _TODAY:
        mask |= (state.domain_of(key) == NONE) & with_value(state, _TODAY[key], values)
    return mask
