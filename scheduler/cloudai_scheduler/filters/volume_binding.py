"""VolumeBinding: bound volumes can be reached from the node, and for the other claims there are volumes or room there.

Upstream: kube-scheduler 1.37 `plugins/volumebinding` (`binder.go`) and component-helpers `storage/volume`. Claims that
wait for their first pod get the smallest fitting volume, or are provisioned for the node. All nodes are looked at at
once. Volumes of in-tree plugins count as they are written, not as the driver that took them over would write them.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_kube.demand import Demand
from cloudai_kube.objects import Pod
from cloudai_kube.storage_objects import NO_PROVISIONER, WAIT_FOR_FIRST_CONSUMER, Claim, StorageClass, Volume
from cloudai_rts.arrays import BoolArray, IntArray
from cloudai_scheduler.cluster.node_selection import of_labels, of_terms, with_value
from cloudai_scheduler.cluster.pod_volumes import ClaimKey, PodClaim, PodVolumes
from cloudai_scheduler.cluster.selector import matcher
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.cluster.storage import Plan, requested_bytes, size_of
from cloudai_scheduler.filters.base import Filter, View

NODE_REASON: Final = "node(s) didn't match PersistentVolume's node affinity"
BIND_REASON: Final = "node(s) didn't find available persistent volumes to bind"
SPACE_REASON: Final = "node(s) did not have enough free storage"
GONE_REASON: Final = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
IMMEDIATE: Final = "pod has unbound immediate PersistentVolumeClaims"
_NOTHING: Final = -1
MOST_REACHES: Final = 4096
"""Volumes whose nodes are kept: one flag for each node."""


class VolumeBinding(Filter[tuple[PodClaim, ...]]):
    """Nodes on which every claim of the pod has, or can get, a volume."""

    name = "VolumeBinding"
    resolvable = False

    def asks(self, pod: Pod, demand: Demand) -> tuple[PodClaim, ...] | None:  # noqa: ARG002  one signature for all
        """The pod's claims."""
        return PodVolumes.of(pod).claims or None

    def rejects(self, ask: tuple[PodClaim, ...], view: View) -> str | None:
        """Claims that are missing, lost, going, somebody else's, or bound by others and not bound yet."""
        for asked in ask:
            problem = _problem(asked, view)
            if problem is not None:
                return problem
        claims = [claim for claim in claims_of(ask, view.state) if not claim.is_bound]
        return None if all(_waits_for_pod(claim, view.state) for claim in claims) else IMMEDIATE

    def passing(self, ask: tuple[PodClaim, ...], view: View) -> BoolArray:
        """Slots with all it needs."""
        return match(claims_of(ask, view.state), view.state).passing

    def reasons(self, ask: tuple[PodClaim, ...], view: View, excluded: BoolArray) -> Counter[str]:
        """Bound and unbound claims may both be against a node."""
        matched = match(claims_of(ask, view.state), view.state)
        masks = {
            NODE_REASON: matched.unreachable,
            BIND_REASON: matched.without_volume,
            SPACE_REASON: matched.without_space,
        }
        counts = Counter({reason: int(np.count_nonzero(excluded & mask)) for reason, mask in masks.items()})
        if matched.is_volume_gone:
            counts[GONE_REASON] = int(np.count_nonzero(excluded))
        return counts

    def mark(self, ask: tuple[PodClaim, ...], state: ClusterState) -> tuple[int, ...]:
        """Its claims, their volumes and classes, and room for them."""
        return state.storage.mark(tuple(asked.key for asked in ask))


@dataclass(slots=True)
class Match:
    """What became of a pod's claims on each slot. `chosen[claim]` is an index into `volumes`, or -1.

    `places` are those indices by name. `is_volume_gone`: a bound claim's volume is not there.
    """

    unreachable: BoolArray
    without_volume: BoolArray
    without_space: BoolArray
    is_volume_gone: bool = False
    waiting: list[Claim] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    chosen: dict[ClaimKey, IntArray] = field(default_factory=dict)

    @property
    def passing(self) -> BoolArray:
        """Slots that nothing is against."""
        return ~(self.unreachable | self.without_volume | self.without_space) & (not self.is_volume_gone)


def plan_for(ask: tuple[PodClaim, ...], state: ClusterState, slot: int) -> Plan:
    """What has to be written before the pod can be bound to the node in a slot that passes."""
    matched = match(claims_of(ask, state), state)
    bindings: list[tuple[str, ClaimKey]] = []
    provisions: list[ClaimKey] = []
    for claim in matched.waiting:
        key = key_of(claim)
        index = int(matched.chosen[key][slot]) if key in matched.chosen else _NOTHING
        if index == _NOTHING:
            provisions.append(key)
        else:
            bindings.append((matched.volumes[index].metadata.name, key))
    return Plan(tuple(bindings), tuple(provisions))


def match(claims: list[Claim], state: ClusterState) -> Match:
    """Find volumes or room for the claims on all nodes (upstream's `FindPodVolumes`).

    The last answer is kept: one cycle asks for it several times.
    """
    kept = state.kept_match
    asked = (tuple(map(key_of, claims)), state.storage.version, state.storage.promises, len(state.node_changes))
    if kept is None or kept[0] != asked:
        kept = state.kept_match = (asked, _match(claims, state))
    matched: Match = kept[1]
    return matched


def _match(claims: list[Claim], state: ClusterState) -> Match:
    everywhere: BoolArray = np.ones(len(state.fleet), np.bool_)
    matched = Match(~everywhere, ~everywhere, ~everywhere)
    matched.waiting = sorted((claim for claim in claims if not claim.is_bound), key=requested_bytes)
    for claim in claims:
        volume = state.storage.volumes.get(claim.spec.volumeName) if claim.is_bound else None
        if volume is not None:
            matched.unreachable |= ~_reach(volume, state)
        elif claim.is_bound:
            matched.is_volume_gone = True
    elsewhere = _selected_elsewhere(matched.waiting, state)
    provisioned: list[tuple[Claim, BoolArray]] = []
    unmatched: list[tuple[Claim, BoolArray]] = []
    for claim in matched.waiting:
        if state.storage.selected_node(claim) is not None:
            provisioned.append((claim, everywhere))
            continue
        matched.chosen[key_of(claim)] = _choose(claim, matched, state)
        unmatched.append((claim, matched.chosen[key_of(claim)] == _NOTHING))
    undecided = ~elsewhere
    for claim, where in (*provisioned, *unmatched):
        lacking, full = _provisioning(claim, state)
        matched.without_volume |= undecided & where & lacking
        undecided = undecided & ~(where & lacking)
        matched.without_space |= undecided & where & full
        undecided = undecided & ~(where & full)
    matched.without_volume |= elsewhere
    return matched


def key_of(claim: Claim) -> ClaimKey:
    """Namespace and name."""
    return claim.metadata.namespace, claim.metadata.name


def claims_of(ask: tuple[PodClaim, ...], state: ClusterState) -> list[Claim]:
    """The claims that are there."""
    return [claim for asked in ask if (claim := state.storage.claim(asked.key)) is not None]


def _problem(asked: PodClaim, view: View) -> str | None:
    (namespace, name), claim, pod = asked.key, view.state.storage.claim(asked.key), view.pod.metadata
    if claim is None:
        waiting = "waiting for ephemeral volume controller to create the persistentvolumeclaim"
        return f'{waiting} "{name}"' if asked.is_ephemeral else f'persistentvolumeclaim "{name}" not found'
    if claim.status.phase == "Lost":
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volumeName}"'
    if claim.metadata.deletionTimestamp is not None:
        return f'persistentvolumeclaim "{name}" is being deleted'
    owners = claim.metadata.ownerReferences
    if asked.is_ephemeral and not any(owner.controller and owner.uid == pod.uid for owner in owners):
        return f"PVC {namespace}/{name} was not created for pod {pod.namespace}/{pod.name} (pod is not owner)"
    return None


def _waits_for_pod(claim: Claim, state: ClusterState) -> bool:
    """Whether its volume is found or made once a pod has a node, and by us."""
    kind = state.storage.class_of(claim)
    return kind is not None and kind.volumeBindingMode == WAIT_FOR_FIRST_CONSUMER and not claim.spec.volumeName


def _selected_elsewhere(claims: list[Claim], state: ClusterState) -> BoolArray:
    """Slots of nodes other than those that claims are to be provisioned for already."""
    elsewhere: BoolArray = np.zeros(len(state.fleet), np.bool_)
    for claim in claims:
        selected = state.storage.selected_node(claim)
        if selected is not None:
            others: BoolArray = np.ones(len(state.fleet), np.bool_)
            slot = state.fleet.slot(selected)
            if slot is not None:
                others[slot] = False
            elsewhere |= others
    return elsewhere


def _reach(volume: Volume, state: ClusterState) -> BoolArray:
    """Slots of nodes from which a volume can be used."""
    affinity = volume.spec.nodeAffinity
    if affinity is None or affinity.required is None:
        return np.ones(len(state.fleet), np.bool_)
    changes = len(state.node_changes)
    if state.kept_reach[0] != changes:
        state.kept_reach = (changes, {})
    kept, key = state.kept_reach[1], (volume.metadata.name, volume.metadata.resourceVersion)
    if key not in kept:
        if len(kept) >= MOST_REACHES:
            kept.clear()
        kept[key] = of_terms(state, affinity.required)
    return kept[key].copy()


def _choose(claim: Claim, matched: Match, state: ClusterState) -> IntArray:
    """The volume for a claim on each slot (upstream's `FindMatchingVolume`): one kept for it, else the smallest."""
    chosen: IntArray = np.full(len(state.fleet), _NOTHING, np.int64)
    for volume in _fitting(claim, state):
        is_kept = _is_kept(volume, claim, state)
        where = _reach(volume, state)
        if is_kept:
            chosen[:] = _NOTHING
        else:
            where = where & (chosen == _NOTHING)
        index = matched.places.get(volume.metadata.name, _NOTHING)
        if index != _NOTHING:  # one pod, two claims: each volume once
            for others in matched.chosen.values():
                where &= others != index
        if not where.any() and not is_kept:
            continue
        if index == _NOTHING:
            index = matched.places[volume.metadata.name] = len(matched.volumes)
            matched.volumes.append(volume)
        chosen[where] = index
        if is_kept or ((chosen != _NOTHING) | ~state.fleet.present).all():
            break
    return chosen


def _fitting(claim: Claim, state: ClusterState) -> list[Volume]:
    """Volumes that a claim may get: those that are kept for it, then the others by size."""
    usable = [volume for volume in state.storage.volumes_for(claim) if _is_usable(volume, claim, state)]
    return sorted(
        usable, key=lambda volume: (not _is_kept(volume, claim, state), size_of(volume.spec.capacity.get("storage")))
    )


def _is_kept(volume: Volume, claim: Claim, state: ClusterState) -> bool:
    return state.storage.kept_for(volume.metadata.name) == key_of(claim) or volume.is_for(claim)


def _is_usable(volume: Volume, claim: Claim, state: ClusterState) -> bool:
    kept, spec, wanted = state.storage.kept_for(volume.metadata.name), volume.spec, claim.spec
    if kept not in {None, key_of(claim)} or (spec.claimRef is not None and not volume.is_for(claim)):
        return False
    if size_of(spec.capacity.get("storage")) < requested_bytes(claim) or volume.metadata.deletionTimestamp is not None:
        return False
    if (spec.volumeMode or "Filesystem") != (wanted.volumeMode or "Filesystem"):
        return False
    if (spec.volumeAttributesClassName or "") != (wanted.volumeAttributesClassName or ""):
        return False
    if _is_kept(volume, claim, state):
        return True
    if volume.status.phase != "Available" or not set(wanted.accessModes) <= set(spec.accessModes):
        return False
    return wanted.selector is None or matcher(wanted.selector).matches(volume.metadata.labels)


def _provisioning(claim: Claim, state: ClusterState) -> tuple[BoolArray, BoolArray]:
    """Slots for which no volume can be made, and those whose storage has no room for it."""
    width, kind = len(state.fleet), state.storage.class_of(claim)
    everywhere: BoolArray = np.ones(width, np.bool_)
    if kind is None or kind.provisioner in {"", NO_PROVISIONER}:
        return everywhere, ~everywhere
    return ~_allowed(kind, state), ~_with_space(claim, kind, state)


def _allowed(kind: StorageClass, state: ClusterState) -> BoolArray:
    """Slots in the topologies of a class: any term, all expressions of it; no terms mean everywhere."""
    if not kind.allowedTopologies:
        return np.ones(len(state.fleet), np.bool_)
    mask: BoolArray = np.zeros(len(state.fleet), np.bool_)
    for term in kind.allowedTopologies:
        matching = state.fleet.present & bool(term.matchLabelExpressions)
        for requirement in term.matchLabelExpressions:
            matching = matching & with_value(state, requirement.key, requirement.values)
        mask |= matching
    return mask


def _with_space(claim: Claim, kind: StorageClass, state: ClusterState) -> BoolArray:
    """Slots from which a driver that reports its capacity can reach enough of it."""
    largest = largest_capacity(claim, state) if kind.provisioner else None
    return np.ones(len(state.fleet), np.bool_) if largest is None else largest >= requested_bytes(claim)


def largest_capacity(claim: Claim, state: ClusterState) -> IntArray | None:
    """The largest volume of a claim's class that each slot can get, -1 where none; None where nobody reports it."""
    kind = state.storage.class_of(claim)
    driver = state.storage.drivers.get(kind.provisioner) if kind is not None else None
    if "storage" not in claim.spec.resources.requests or driver is None or not driver.spec.storageCapacity:
        return None
    largest: IntArray = np.full(len(state.fleet), -1, np.int64)
    for capacity in state.storage.capacities.items.values():
        if capacity.storageClassName != claim.class_name or capacity.nodeTopology is None or capacity.largest is None:
            continue
        reach = of_labels(state, capacity.nodeTopology)
        largest[reach] = np.maximum(largest[reach], size_of(capacity.largest))
    return largest
