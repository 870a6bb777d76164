"""Evicting pods for one of higher priority: the condition says by whom, then the pod is deleted with its grace period.

Upstream: kube-scheduler 1.37 `framework/preemption` `PreemptPod`. The pod that gets the room is nominated first, so
that a new leader knows whom the room is for.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cloudai_kube import timestamp
from cloudai_kube.errors import ConflictError, KubeError, NotFoundError
from cloudai_kube.events import Recorder, Subject
from cloudai_kube.objects import Meta, Pod
from cloudai_kube.transport import STRATEGIC_PATCH, Transport
from cloudai_scheduler.cluster.state import DISRUPTION_TARGET, PREEMPTED, PlacedPod

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Evictor:
    """Carries out preemptions in the name of one scheduler."""

    transport: Transport
    recorder: Recorder
    scheduler_name: str
    clock: Callable[[], float] = time.time

    async def make_room(self, pod: Pod, node: str, victims: tuple[PlacedPod, ...], yielding: list[Pod]) -> list[str]:
        """Evict these pods. Returns the UIDs of those that are still there because a request failed.

        `yielding` are pods of lower priority that lose their nomination for the node.
        """
        try:
            await self.nominate(pod, node)
            for other in yielding:
                await self.nominate(other, None)
        except KubeError as error:  # memory holds it; only a new leader would not know
            _log.warning("nomination of %s/%s: %s", pod.metadata.namespace, pod.metadata.name, error)
        failed = []
        for victim in victims:
            if victim.neighbour.terminating:
                continue
            try:
                await self._evict(pod, node, victim)
            except KubeError as error:
                _log.warning("eviction of %s/%s: %s", victim.namespace, victim.name, error)
                failed.append(victim.uid)
        return failed

    async def nominate(self, pod: Pod, node: str | None) -> None:
        """Say for which node a pod waits; None: for no one any more."""
        meta = pod.metadata
        body: dict[str, Any] = {"metadata": {"uid": meta.uid}, "status": {"nominatedNodeName": node}}
        try:
            await self.transport.request(
                "PATCH", _path(meta.namespace, meta.name) + "/status", body, None, STRATEGIC_PATCH
            )
        except (NotFoundError, ConflictError):
            _log.info("%s/%s is gone, so it needs no nomination", meta.namespace, meta.name)

    async def withdraw(self, pod: Pod) -> None:
        """Take a nomination back; if that fails the next attempt does it."""
        try:
            await self.nominate(pod, None)
        except KubeError as error:
            _log.warning("nomination of %s/%s: %s", pod.metadata.namespace, pod.metadata.name, error)

    async def _evict(self, pod: Pod, node: str, victim: PlacedPod) -> None:
        """A pod that is gone, or is another one of that name by now, is no longer in the way."""
        path = _path(victim.namespace, victim.name)
        condition = {
            "type": DISRUPTION_TARGET,
            "status": "True",
            "reason": PREEMPTED,
            "message": f"{self.scheduler_name}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": timestamp.whole_seconds(self.clock()),
        }
        body = {"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}}
        try:
            await self.transport.request("PATCH", f"{path}/status", body, None, STRATEGIC_PATCH)
            await self.transport.request("DELETE", path, {"preconditions": {"uid": victim.uid}})
        except NotFoundError:
            return
        except ConflictError:
            if await self._is_gone(victim):
                return
            raise
        subject = Subject.of("v1", "Pod", Meta(name=victim.name, namespace=victim.namespace, uid=victim.uid))
        text = f"Preempted by pod {pod.metadata.uid} (priority {pod.spec.priority}) on node {node}"
        self.recorder.normal(subject, "Preempted", text)

    async def _is_gone(self, victim: PlacedPod) -> bool:
        """Whether a conflict means that the pod is another one by now, or on its way out."""
        try:
            pod = await self.transport.get(_path(victim.namespace, victim.name), Pod)
        except NotFoundError:
            return True
        return pod.metadata.uid != victim.uid or pod.metadata.deletionTimestamp is not None


def _path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"
