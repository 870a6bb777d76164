"""Volumes of a pod before its bind: volumes are tied to claims, claims to nodes, and the controllers are waited for.

Upstream: kube-scheduler 1.37 `plugins/volumebinding` `BindPodVolumes`. Nothing is taken back at the API server if it
fails: a claim that was tied is used by the next attempt.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloudai_kube.errors import KubeError
from cloudai_kube.objects import Meta, Pod
from cloudai_kube.storage_objects import BOUND_BY_CONTROLLER, SELECTED_NODE, Claim, Volume
from cloudai_kube.transport import MERGE_PATCH, Transport
from cloudai_scheduler.cluster.node_selection import of_terms
from cloudai_scheduler.cluster.pod_volumes import ClaimKey
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.cluster.storage import Plan

_log = logging.getLogger(__name__)
TIMEOUT_SECONDS: Final = 600.0
"""As upstream's bindTimeoutSeconds: a cloud may take minutes to make a disk."""
LOOK_SECONDS: Final = 0.1


class _Written(msgspec.Struct):
    metadata: Meta


class VolumesError(KubeError):
    """The volumes of a pod cannot be had; the pod has to be decided on again."""


class PodGoneError(KubeError):
    """The pod was deleted while its volumes were waited for."""


@dataclass(slots=True)
class VolumeBinder:
    """Carries out plans. `is_wanted(uid)`: whether the pod is still there."""

    transport: Transport
    state: ClusterState
    is_wanted: Callable[[str], bool]
    timeout_seconds: float = TIMEOUT_SECONDS

    async def bind(self, pod: Pod, node: str, plan: Plan) -> None:
        """Return once every claim has its volume.

        Raises `KubeError` if a write fails, `VolumesError` if a volume cannot be had, `PodGoneError`.
        """
        written: dict[str, str] = {}
        for name, key in plan.bindings:
            written[name] = await self._tie(name, key)
        for key in plan.provisions:
            written["/".join(key)] = await self._select(key, node)
        try:
            async with asyncio.timeout(self.timeout_seconds):
                while not self._are_bound(node, plan, written):
                    if not self.is_wanted(pod.metadata.uid):
                        raise PodGoneError(f"pod {pod.metadata.name} was deleted while it waited for its volumes")
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError as error:
            claims = ", ".join(sorted(key[1] for key in (*plan.provisions, *(key for _, key in plan.bindings))))
            raise VolumesError(
                f"binding volumes: not bound after {self.timeout_seconds:.0f} s: {claims}; see the events of the claims"
            ) from error

    async def _tie(self, name: str, key: ClaimKey) -> str:
        """Write a claim into a volume (upstream's `GetBindVolumeToClaim`). Returns the version written."""
        storage = self.state.storage
        volume, claim = storage.volumes.get(name), storage.claim(key)
        if volume is None or claim is None:
            raise VolumesError(f"binding volumes: persistentvolume {name} or claim {key[1]} is gone")
        reference = {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": key[0],
            "name": key[1],
            "uid": claim.metadata.uid,
            "resourceVersion": claim.metadata.resourceVersion,
        }
        meta: dict[str, Any] = {"resourceVersion": volume.metadata.resourceVersion}
        if not volume.is_for(claim):  # else somebody has kept it for the claim, and that stays theirs
            meta["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
        body = {"metadata": meta, "spec": {"claimRef": reference}}
        return await self._patch(f"/api/v1/persistentvolumes/{name}", body)

    async def _select(self, key: ClaimKey, node: str) -> str:
        """Let a claim be provisioned for a node. Returns the version written."""
        claim = self.state.storage.claim(key)
        if claim is None:
            raise VolumesError(f"binding volumes: claim {key[1]} is gone")
        meta = {"resourceVersion": claim.metadata.resourceVersion, "annotations": {SELECTED_NODE: node}}
        path = f"/api/v1/namespaces/{key[0]}/persistentvolumeclaims/{key[1]}"
        return await self._patch(path, {"metadata": meta})

    async def _patch(self, path: str, body: dict[str, Any]) -> str:
        answer = await self.transport.request("PATCH", path, body, content_type=MERGE_PATCH)
        return msgspec.json.decode(answer, type=_Written).metadata.resourceVersion

    def _are_bound(self, node: str, plan: Plan, written: dict[str, str]) -> bool:
        """Whether all is bound. Raises `VolumesError` where it never will be."""
        if self.state.fleet.slot(node) is None:
            raise VolumesError(f"binding volumes: node {node} is gone")
        storage = self.state.storage
        done = True
        for name, key in plan.bindings:
            volume = storage.volumes.get(name)
            claim = storage.claim(key)
            if volume is None or claim is None:
                raise VolumesError(f"binding volumes: persistentvolume {name} or claim {key[1]} is gone")
            if _is_older(volume, written[name]):
                done = False
                continue
            if volume.spec.claimRef is None or not volume.spec.claimRef.uid:
                raise VolumesError(f"binding volumes: ClaimRef got reset for pv {name}")
            self._check_reach(volume, node)
            done = done and claim.is_bound
        for key in plan.provisions:
            done = self._is_provisioned(node, key, written["/".join(key)]) and done
        return done

    def _is_provisioned(self, node: str, key: ClaimKey, version: str) -> bool:
        claim = self.state.storage.claim(key)
        if claim is None:
            raise VolumesError(f"binding volumes: claim {key[1]} is gone")
        if _is_older(claim, version):
            return False
        if claim.metadata.annotations.get(SELECTED_NODE) != node:  # so the provisioner says that it cannot
            raise VolumesError(f"binding volumes: provisioning failed for PVC {key[1]}; see its events")
        volume = self.state.storage.volumes.get(claim.spec.volumeName) if claim.spec.volumeName else None
        if volume is not None:
            self._check_reach(volume, node)
        return claim.is_bound and volume is not None

    def _check_reach(self, volume: Volume, node: str) -> None:
        affinity, slot = volume.spec.nodeAffinity, self.state.fleet.slot(node)
        if slot is None:
            raise VolumesError(f"binding volumes: node {node} is gone")
        if affinity is not None and affinity.required is not None and not of_terms(self.state, affinity.required)[slot]:
            name = volume.metadata.name
            raise VolumesError(f"binding volumes: pv {name} node affinity doesn't match node {node}")


def _is_older(cached: Volume | Claim, version: str) -> bool:
    """Whether what we have seen is older than what we wrote."""
    seen = cached.metadata.resourceVersion
    return seen.isdigit() and version.isdigit() and int(seen) < int(version)
