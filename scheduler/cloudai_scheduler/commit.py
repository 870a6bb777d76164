"""From a decision to a bound pod: its volumes first, which may take minutes, then the Binding.

Pods that wait for volumes do not use up places for Bindings: there are two limits.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from cloudai_kube.errors import KubeError
from cloudai_kube.objects import Pod
from cloudai_kube.transport import STRATEGIC_PATCH, Transport
from cloudai_scheduler.binding import Binder, BindOutcome, BindResult
from cloudai_scheduler.cluster.storage import Plan, Storage
from cloudai_scheduler.volume_binder import PodGoneError, VolumeBinder

_log = logging.getLogger(__name__)
MOST_PREPARING: Final = 512
"""Pods that wait for their volumes at once."""


@dataclass(slots=True)
class Commit:
    """Commits under way. `settle` takes what became of each."""

    transport: Transport
    binder: Binder
    volumes: VolumeBinder
    storage: Storage
    most_binding: int
    binding: set[asyncio.Task[None]] = field(default_factory=set)
    preparing: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """By the pod's UID."""
    under_way: set[str] = field(default_factory=set)
    """UIDs of all pods whose commit has not ended."""

    def has_place(self) -> bool:
        """Whether another pod may be bound now."""
        return len(self.binding) < self.most_binding

    def has_place_for(self, plan: Plan) -> bool:
        """Whether another pod may wait for its volumes."""
        return not plan or len(self.preparing) < MOST_PREPARING

    def start(self, pod: Pod, node: str, decision: str, plan: Plan, settle: Callable[[BindResult], None]) -> None:
        """Carry out a decision in the background."""
        self.storage.assume(plan, node)
        task = asyncio.get_running_loop().create_task(self._run(pod, node, decision, plan, settle))
        uid = pod.metadata.uid
        self.under_way.add(uid)
        if plan:
            self.preparing[uid] = task
        else:
            self.binding.add(task)
        task.add_done_callback(self.binding.discard)
        task.add_done_callback(partial(self._prepared, uid))

    def _prepared(self, uid: str, task: asyncio.Task[None]) -> None:
        self.under_way.discard(uid)
        if self.preparing.get(uid) is task:
            del self.preparing[uid]

    def give_up(self, uid: str) -> bool:
        """Stop waiting for the volumes of a pod. False: it does not wait for any; nobody is told what became of it."""
        task = self.preparing.pop(uid, None)
        return task is not None and task.cancel()

    async def drain(self, seconds: float) -> None:
        """Wait for the last Bindings. Pods that wait for volumes are left to the next leader, who finds them tied."""
        for task in self.preparing.values():
            task.cancel()
        if self.binding:
            await asyncio.wait(self.binding, timeout=seconds)

    async def _run(self, pod: Pod, node: str, decision: str, plan: Plan, settle: Callable[[BindResult], None]) -> None:
        meta = pod.metadata
        try:
            failure = await self._prepare(pod, node, plan) if plan else None
            result = failure or await self.binder.bind(pod, node, decision)
        except Exception:  # noqa: BLE001  whatever happened, the pod must go back into the queue
            _log.exception("bind of %s/%s failed", meta.namespace, meta.name)
            result = BindResult(BindOutcome.REFUSED, "internal error, see the scheduler's log")
        settle(result)

    async def _prepare(self, pod: Pod, node: str, plan: Plan) -> BindResult | None:
        """Get the pod's volumes. Returns what became of the bind if that fails."""
        is_written = False
        try:
            await self._nominate(pod, node)
            await self.volumes.bind(pod, node, plan)
            is_written = True
        except PodGoneError as error:
            return BindResult(BindOutcome.GONE, str(error))
        except KubeError as error:
            return BindResult(BindOutcome.REFUSED, str(error))
        finally:
            self.storage.release(plan, is_written)
        task = self.preparing.pop(pod.metadata.uid, None)
        if task is not None:
            self.binding.add(task)
        return None

    async def _nominate(self, pod: Pod, node: str) -> None:
        """Say where the pod is going, for those who count on its room or wonder what it waits for (KEP-5278)."""
        meta = pod.metadata
        body = {"metadata": {"uid": meta.uid}, "status": {"nominatedNodeName": node}}
        path = f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}/status"
        await self.transport.request("PATCH", path, body, content_type=STRATEGIC_PATCH)
