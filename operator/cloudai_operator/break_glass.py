"""Break-glass: while our scheduler gives no sign of life, Task pods without a node go to the cluster's own scheduler.

The sign of life is a *change* of the scheduler's Lease, seen by our own monotonic clock: clocks of machines differ, and
a Lease that we cannot read says nothing about the scheduler.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from cloudai_kube.errors import KubeError, NotFoundError
from cloudai_kube.transport import Transport
from cloudai_operator.workers import Workers

DEFAULT_SCHEDULER: Final = "default-scheduler"
SECONDS_BETWEEN_LOOKS: Final = 5.0
_log = logging.getLogger(__name__)


class _Renewal(msgspec.Struct, frozen=True):
    holderIdentity: str | None = None
    renewTime: str | None = None


class _Lease(msgspec.Struct, frozen=True):
    spec: _Renewal = _Renewal()


@dataclass(slots=True)
class Pulse:
    """Tells how long a Lease has not changed; times in seconds of a monotonic clock."""

    silence_seconds: float
    _last: object = None
    _since: float | None = None

    def is_silent(self, state: object, now: float) -> bool:
        """Whether the Lease, now in this state, has not changed for too long."""
        if self._since is None or state != self._last:
            self._last, self._since = state, now
        return now - self._since >= self.silence_seconds


@dataclass(slots=True)
class BreakGlass:
    """Looks at the Lease for ever and tells the workers which scheduler places Task pods."""

    transport: Transport
    workers: Workers
    namespace: str
    silence_seconds: float
    clock: Callable[[], float]
    pause_seconds: float = SECONDS_BETWEEN_LOOKS

    async def run(self) -> None:
        """Look for ever; ends only by cancellation."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{self.workers.rules.scheduler_name}"
        pulse = Pulse(self.silence_seconds)
        while True:
            try:
                state: object = (await self.transport.get(path, _Lease)).spec
            except NotFoundError:
                state = "no Lease"
            except KubeError as error:
                _log.info("the scheduler's Lease cannot be read: %s", error)
                await asyncio.sleep(self.pause_seconds)
                continue
            self._take(pulse.is_silent(state, self.clock()))
            await asyncio.sleep(self.pause_seconds)

    def _take(self, is_silent: bool) -> None:
        stand_in = DEFAULT_SCHEDULER if is_silent else ""
        if stand_in == self.workers.rules.stand_in:
            return
        if stand_in:
            _log.critical(
                "scheduler %s gives no sign of life: Task pods without a node go to %s",
                self.workers.rules.scheduler_name,
                stand_in,
            )
        else:
            _log.warning("scheduler %s is back: it places Task pods again", self.workers.rules.scheduler_name)
        self.workers.rules = replace(self.workers.rules, stand_in=stand_in)
        self.workers.metrics.break_glass.set(bool(stand_in))
        for uid in list(self.workers.cache.tasks):
            self.workers.enqueue(uid)
