"""The PodScheduled condition of pods that wait: what `kubectl describe pod` and autoscalers read.

Only the newest text of each pod is sent, behind more important requests.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube import timestamp
from cloudai_kube.errors import KubeError, NotFoundError, RefusedError
from cloudai_kube.objects import Meta
from cloudai_kube.transport import STRATEGIC_PATCH, Transport

_log = logging.getLogger(__name__)
SENDERS: Final = 4
UNSCHEDULABLE: Final = "Unschedulable"
DEFERRED: Final = "Deferred"


@dataclass(slots=True)
class ConditionWriter:
    """Patches PodScheduled=False with a reason. `run` ends only by cancellation."""

    transport: Transport
    _newest: dict[str, tuple[Meta, str, str]] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, meta: Meta, reason: str, message: str) -> None:
        """Queue the condition; replaces one of the same pod that was not sent yet."""
        self._newest[meta.uid] = (meta, reason, message)
        self._wake.set()

    def drop(self, uid: str) -> None:
        """The pod was placed or is gone: there is nothing to say any more."""
        self._newest.pop(uid, None)

    async def run(self) -> None:
        """Send what is queued, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send_loop())

    async def _send_loop(self) -> None:
        while True:
            if not self._newest:
                self._wake.clear()
                await self._wake.wait()
                continue
            meta, reason, message = self._newest.pop(next(iter(self._newest)))
            try:
                await self._send(meta, reason, message)
            except NotFoundError:
                continue
            except KubeError as error:
                _log.info("condition of pod %s/%s: %s", meta.namespace, meta.name, error)
                if not isinstance(error, RefusedError):
                    self._newest.setdefault(meta.uid, (meta, reason, message))
                await asyncio.sleep(0.5)
            except Exception:  # noqa: BLE001  a text is never worth the process
                _log.exception("condition of pod %s/%s", meta.namespace, meta.name)

    async def _send(self, meta: Meta, reason: str, message: str) -> None:
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": timestamp.whole_seconds(time.time()),
        }
        body = {"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}}
        path = f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}/status"
        await self.transport.request("PATCH", path, body, content_type=STRATEGIC_PATCH)
