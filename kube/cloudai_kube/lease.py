"""Leader election by a coordination.k8s.io Lease.

A Lease does not fence: two processes may both believe they lead while one is paused. So a lost lease ends the process,
by a watchdog thread outside the event loop: a loop that is blocked cannot notice that it is late. Times are judged by
the monotonic clock and by *changes* of the record, so clocks that differ between machines do no harm.
"""

import asyncio
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from cloudai_kube import moment, nesting, timestamp
from cloudai_kube.errors import ConflictError, KubeError, NotFoundError, OutcomeUnknownError
from cloudai_kube.objects import Meta, Record
from cloudai_kube.transport import Transport

LOST_EXIT_CODE: Final = 1
_JITTER: Final = 0.2
_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class _LeaseSpec(Record):
    holderIdentity: str | None = None
    leaseTransitions: int = 0
    leaseDurationSeconds: int = 0
    acquireTime: str | None = None
    renewTime: str | None = None


class _Lease(Record):
    metadata: Meta
    spec: _LeaseSpec = msgspec.field(default_factory=_LeaseSpec)


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """How long a lease lasts, until when it must be renewed and how often that is tried; client-go's defaults."""

    duration_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0


def _exit_at_once(code: int) -> None:
    os._exit(code)


@dataclass(slots=True)
class Election:
    """One candidate for one Lease.

    `transport` should be its own: behind requests that hang, a renewal would come too late.
    `acquire` returns once we lead. From then on `hold` must run; if the lease is not renewed in time, the watchdog ends
    the process with exit code 1.
    """

    transport: Transport
    namespace: str
    name: str
    identity: str
    timing: LeaseTiming = field(default_factory=LeaseTiming)
    rng: random.Random = field(default_factory=random.Random)
    exit_process: Callable[[int], None] = _exit_at_once
    _seen: tuple[str | None, str | None] = (None, None)
    _seen_at: float = 0.0
    _renewed_at: float = 0.0
    _written: _Lease | None = None
    _leading: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)

    @property
    def _path(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"

    def leads(self) -> bool:
        """Whether we lead and have renewed recently enough to act."""
        return self._leading.is_set() and time.monotonic() - self._renewed_at < self.timing.renew_deadline_seconds

    async def acquire(self) -> None:
        """Wait until the lease is ours. Errors of the API server are waited out."""
        while True:
            try:
                if await self._try():
                    break
            except KubeError as error:
                _log.info("lease %s: %s", self.name, error)
            await asyncio.sleep(self._pause())
        _log.info("lease %s/%s is held by %s", self.namespace, self.name, self.identity)
        self._leading.set()
        threading.Thread(target=self._watchdog, name="lease-watchdog", daemon=True).start()

    async def hold(self) -> None:
        """Renew until cancelled. Returns if someone else holds the lease: the caller must end the process."""
        while True:
            await asyncio.sleep(self._pause())
            try:
                if not await self._try():
                    _log.error("lease %s/%s was taken by another process", self.namespace, self.name)
                    return
            except KubeError as error:
                _log.warning("lease %s could not be renewed: %s", self.name, error)

    async def release(self) -> None:
        """Give the lease up, after all guarded work has stopped: a standby takes over at once."""
        self._released.set()
        if not self._leading.is_set():
            return
        self._leading.clear()
        try:
            lease = await self._get()
            if lease.spec.holderIdentity == self.identity:
                await self._put(lease, holder="", transitions=lease.spec.leaseTransitions)
        except KubeError as error:
            _log.info("lease %s could not be released: %s", self.name, error)

    async def _try(self) -> bool:
        """Acquire or renew once. What we wrote last is renewed without a look, as client-go does."""
        if self._written is not None:
            try:
                await self._put(self._written, self.identity, self._written.spec.leaseTransitions)
            except (ConflictError, NotFoundError):
                self._written = None
            else:
                return True
        return await self._look_and_try()

    async def _look_and_try(self) -> bool:
        begun = time.monotonic()
        try:
            lease = await self._get()
        except NotFoundError:
            await self._write("POST", self._path, self._body("", self.identity, 0, None))
            return True
        holder = lease.spec.holderIdentity or ""
        record = (lease.spec.holderIdentity, lease.spec.renewTime)
        if record != self._seen:
            self._seen, self._seen_at = record, begun
        lasts = max(lease.spec.leaseDurationSeconds, self.timing.duration_seconds)  # the holder's own word counts
        if holder not in {"", self.identity} and begun - self._seen_at < lasts:
            return False
        try:
            await self._put(lease, self.identity, lease.spec.leaseTransitions + (holder != self.identity))
        except ConflictError:
            return False if holder != self.identity else await self._try_again()
        return True

    async def _try_again(self) -> bool:
        lease = await self._get()
        if lease.spec.holderIdentity != self.identity:
            return False
        await self._put(lease, self.identity, lease.spec.leaseTransitions)
        return True

    async def _get(self) -> _Lease:
        return await self._in_time(self.transport.get(f"{self._path}/{self.name}", _Lease))

    async def _put(self, lease: _Lease, holder: str, transitions: int) -> None:
        acquired = lease.spec.acquireTime if holder == lease.spec.holderIdentity else None
        body = self._body(lease.metadata.resourceVersion, holder, transitions, acquired)
        await self._write("PUT", f"{self._path}/{self.name}", body)

    async def _write(self, method: str, path: str, body: dict[str, Any]) -> None:
        """Write the record; from the moment before the request on it lasts."""
        begun = time.monotonic()
        answer = await self._in_time(self.transport.request(method, path, body))
        self._renewed_at = begun
        try:
            self._written = nesting.decode(answer, _Lease) if body["spec"]["holderIdentity"] else None
        except msgspec.DecodeError:  # a proxy's words: look before the next write
            self._written = None

    async def _in_time(self, request: Coroutine[None, None, _Answer]) -> _Answer:
        """A request that hangs must not eat the time for a second one."""
        try:
            return await asyncio.wait_for(request, self.timing.renew_deadline_seconds / 2)
        except TimeoutError as error:
            raise OutcomeUnknownError("no answer in time") from error

    def _body(self, version: str, holder: str, transitions: int, acquired: str | None) -> dict[str, Any]:
        now = timestamp.micros(time.time())
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self.timing.duration_seconds)) if holder else 1,
            "renewTime": now,
            "acquireTime": acquired or now,
            "leaseTransitions": transitions,
        }
        metadata = {"name": self.name, "namespace": self.namespace}
        if version:
            metadata["resourceVersion"] = version
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    def _pause(self) -> float:
        return self.timing.retry_seconds * (1.0 + _JITTER * self.rng.random())

    def _watchdog(self) -> None:
        while not self._released.wait(min(0.25, self.timing.retry_seconds / 4)):
            if time.monotonic() - self._renewed_at > self.timing.renew_deadline_seconds:
                _log.critical("lease %s/%s was not renewed in time: exiting", self.namespace, self.name)
                self.exit_process(LOST_EXIT_CODE)
                return


def candidate(transport: Transport, namespace: str, name: str, timing: LeaseTiming) -> Election:
    """This process as a candidate, under a name that no other one has."""
    return Election(transport, namespace, name, f"{socket.gethostname()}_{uuid.uuid4()}", timing)


async def fresh_holder(transport: Transport, namespace: str, name: str) -> str | None:
    """Somebody who holds a Lease now, None if nobody does: it is not there, released, or not renewed in time.

    Judged by the API server's clock. Raises `KubeError`.
    """
    try:
        lease = await transport.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}", _Lease)
    except NotFoundError:
        return None
    now, renewed = transport.server_time(), moment.read(lease.spec.renewTime)
    if not lease.spec.holderIdentity or now is None or renewed is None:
        return None
    return lease.spec.holderIdentity if now - renewed <= lease.spec.leaseDurationSeconds else None
