"""The PodScheduled condition of pods that wait: what `kubectl describe pod` and autoscalers read.

Only the newest text of each pod is sent, behind more important requests, and only while the pod waits: the write names
the resource version that it rests on, so that it can never land after the bind. A pod's first text goes out at once;
later ones are bounded by time, so that thousands of pods whose texts count nodes do not flood the API server.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube import timestamp
from cloudai_kube.errors import ApiError, ConflictError, KubeError
from cloudai_kube.objects import Condition, Pod
from cloudai_kube.redaction import redacted
from cloudai_kube.transport import STRATEGIC_PATCH, Transport
from cloudai_kube.write_limit import WriteLimit

_log = logging.getLogger(__name__)
SENDERS: Final = 4
PAUSE_SECONDS: Final = 0.5
MAX_MESSAGE: Final = 8192
"""A pod may ask for thousands of resources, each of which is a reason."""
USELESS: Final = frozenset({400, 403, 404, 405, 413, 422})
"""Answers after which the same request would be refused again. After a 401 there may be other credentials."""
TYPE: Final = "PodScheduled"
UNSCHEDULABLE: Final = "Unschedulable"
DEFERRED: Final = "Deferred"
NOT_SUPPORTED: Final = "ConstraintNotSupported"
SCHEDULER_ERROR: Final = "SchedulerError"
"""Upstream's word for a pod that the scheduler itself could not handle."""


@dataclass(slots=True)
class ConditionWriter:
    """Patches PodScheduled=False with a reason. `run` ends only by cancellation.

    `waiting` returns the newest state of a pod that still waits, None for any other. While `may_send()` is False (a
    standby) texts wait.
    """

    transport: Transport
    waiting: Callable[[str], Pod | None] = lambda _uid: None
    clock: Callable[[], float] = time.time
    may_send: Callable[[], bool] = lambda: True
    limit: WriteLimit = field(default_factory=WriteLimit)
    _first: dict[str, tuple[str, str]] = field(default_factory=dict)
    _later: dict[str, tuple[str, str]] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, uid: str, reason: str, message: str) -> None:
        """Queue the condition; replaces one of the same pod that was not sent yet."""
        text = (reason, redacted(message[: 2 * MAX_MESSAGE])[:MAX_MESSAGE])
        queued = next((texts for texts in (self._first, self._later) if uid in texts), None)
        if queued is not None:
            queued[uid] = text  # in its place: else those at the head of each round would be the only ones told
            return
        pod = self.waiting(uid)
        (self._first if pod is None or _known(pod) is None else self._later)[uid] = text
        self._wake.set()

    def drop(self, uid: str) -> None:
        """The pod was placed or is gone: there is nothing to say any more."""
        self._first.pop(uid, None)
        self._later.pop(uid, None)

    async def run(self) -> None:
        """Send what is queued, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send_loop())

    async def _send_loop(self) -> None:
        while True:
            if not self._first and not self._later:
                self._wake.clear()
                await self._wake.wait()
                continue
            if not self.may_send():
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            texts = self._first or self._later
            uid = next(iter(texts))
            pod = self.waiting(uid)
            if pod is None or _says(pod, *texts[uid]):
                del texts[uid]
                continue
            if texts is self._later and not self.limit.take():
                await asyncio.sleep(self.limit.pause_seconds())
                continue
            reason, message = texts.pop(uid)
            try:
                await self._send(pod, reason, message)
            except KubeError as error:
                if not isinstance(error, ConflictError):
                    _log.info("condition of pod %s/%s: %s", pod.metadata.namespace, pod.metadata.name, error)
                if not (isinstance(error, ApiError) and error.status in USELESS):
                    self._again(uid, reason, message)
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception:  # noqa: BLE001  a text is never worth the process
                _log.exception("condition of pod %s/%s", pod.metadata.namespace, pod.metadata.name)

    def _again(self, uid: str, reason: str, message: str) -> None:
        """Queue a text once more, unless there is a newer one."""
        if uid not in self._first and uid not in self._later:
            self._later[uid] = (reason, message)
            self._wake.set()

    async def _send(self, pod: Pod, reason: str, message: str) -> None:
        meta = pod.metadata
        known = _known(pod)
        condition = {"type": TYPE, "status": "False", "reason": reason, "message": message}
        condition["lastTransitionTime"] = self._since(known)
        body = {
            "metadata": {"uid": meta.uid, "resourceVersion": meta.resourceVersion},
            "status": {"conditions": [condition]},
        }
        path = f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}/status"
        await self.transport.request("PATCH", path, body, content_type=STRATEGIC_PATCH)

    def _since(self, known: Condition | None) -> str:
        """When the status last changed: a new reason or text is no transition."""
        if known is not None and known.status == "False" and known.lastTransitionTime:
            return known.lastTransitionTime
        return timestamp.whole_seconds(self.clock())


def _says(pod: Pod, reason: str, message: str) -> bool:
    known = _known(pod)
    return known is not None and (known.status, known.reason, known.message) == ("False", reason, message)


def _known(pod: Pod) -> Condition | None:
    """What the pod says already."""
    return next((condition for condition in pod.status.conditions if condition.type == TYPE), None)
