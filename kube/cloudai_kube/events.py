"""Events on objects: what people read in `kubectl describe`.

Recording never waits: events go into a bounded queue and are sent behind more important requests, last come first
dropped. Repetitions are counted on one Event object instead of filling the cluster with copies; what is new about an
object that the same was said of before is bounded by time.
"""

import asyncio
import collections
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cloudai_kube import timestamp
from cloudai_kube.errors import ApiError, ConflictError, KubeError, NotFoundError, OutcomeUnknownError, OverloadedError
from cloudai_kube.objects import Meta
from cloudai_kube.redaction import redacted
from cloudai_kube.transport import MERGE_PATCH, Transport
from cloudai_kube.write_limit import WriteLimit

WARNING: Final = "Warning"
QUEUE_LENGTH: Final = 10_000
REMEMBERED: Final = 4096
REPEAT_SECONDS: Final = 600.0
BURST: Final = 25
REFILL_SECONDS: Final = 300.0
MAX_MESSAGE: Final = 1000
STANDBY_SECONDS: Final = 60.0
TOLD: Final = 100_000
"""Objects and reasons of warnings of which it is remembered that they have had their first one."""
BUSY: Final = frozenset({429, 503})
MOST_TRIES: Final = 12
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subject:
    """The object an event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str = ""

    @classmethod
    def of(cls, api_version: str, kind: str, meta: Meta) -> "Subject":
        """The subject with these metadata."""
        return cls(api_version, kind, meta.namespace, meta.name, meta.uid, meta.resourceVersion)


@dataclass(slots=True)
class _Event:
    """`name` is that of the object that may have been created by a request without an answer."""

    subject: Subject
    type: str
    reason: str
    message: str
    at: float
    tries: int = 0
    name: str = ""


@dataclass(slots=True)
class _Series:
    name: str
    count: int
    first: float
    last: float


@dataclass(slots=True)
class _Allowance:
    tokens: float
    refilled: float


@dataclass(slots=True)
class Recorder:
    """Sends events as `component`. `run` ends only by cancellation; `flush` waits until the queue is empty.

    `senders` requests are under way at once, but only one while `busy()` says that something better is to be sent.
    While `may_send()` is False (a standby) events wait, and are forgotten after a minute. What an overloaded API server
    does not take is sent again, `MOST_TRIES` times at most.
    """

    transport: Transport
    component: str
    busy: Callable[[], bool] = lambda: False
    may_send: Callable[[], bool] = lambda: True
    limit: WriteLimit = field(default_factory=WriteLimit)
    senders: int = 8
    dropped: int = 0
    sent: int = 0
    _queue: collections.deque[_Event] = field(default_factory=collections.deque)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _pending: int = 0
    _delayed: int = 0

    _series: collections.OrderedDict[tuple[str, str, str], _Series] = field(default_factory=collections.OrderedDict)
    _told: collections.OrderedDict[tuple[str, str], None] = field(default_factory=collections.OrderedDict)
    _allowances: collections.OrderedDict[str, _Allowance] = field(default_factory=collections.OrderedDict)
    _serial: int = 0

    def __post_init__(self) -> None:
        self._idle.set()

    def record(self, subject: Subject, kind: str, reason: str, message: str) -> None:
        """Queue one event; `kind` is Normal or Warning. Never blocks and never raises."""
        if not self.may_send():
            while self._queue and time.time() - self._queue[0].at > STANDBY_SECONDS:
                self._queue.popleft()
        if len(self._queue) >= QUEUE_LENGTH or not self._may_tell(subject, kind, reason):
            self.dropped += 1
            return
        text = redacted(message[: 2 * MAX_MESSAGE])[:MAX_MESSAGE].encode(errors="replace").decode()
        self._queue.append(_Event(subject, kind, reason, text, time.time()))
        self._idle.clear()
        self._wake.set()

    def normal(self, subject: Subject, reason: str, message: str) -> None:
        """Record something that is as it should be."""
        self.record(subject, "Normal", reason, message)

    def warning(self, subject: Subject, reason: str, message: str) -> None:
        """Record something that a person may have to act on."""
        self.record(subject, WARNING, reason, message)

    async def run(self) -> None:
        """Send what is queued, for ever."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.senders):
                group.create_task(self._send_loop(number))

    async def flush(self, timeout_seconds: float) -> None:
        """Wait until everything queued was sent, at most so long."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_seconds)
        except TimeoutError:
            _log.info("%d events were not sent in time", len(self._queue) + self._pending)

    async def _send_loop(self, number: int) -> None:
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            if not self.may_send():
                await asyncio.sleep(0.2)
                continue
            if number and self.busy():
                await asyncio.sleep(0.05)
                continue
            event = self._queue.popleft()
            self._pending += 1
            try:
                await self._send(event)
                self.sent += 1
            except KubeError as error:
                if not (isinstance(error, ApiError) and error.status in {403, 404}):
                    _log.info("event %s of %s: %s", event.reason, event.subject.name, error)
                await asyncio.sleep(self._again(event, error))
            except Exception:  # noqa: BLE001  an event is never worth the process
                self.dropped += 1
                _log.exception("event %s of %s", event.reason, event.subject.name)
            finally:
                self._pending -= 1
                if not self._queue and not self._pending and not self._delayed:
                    self._idle.set()

    def _again(self, event: _Event, error: KubeError) -> float:
        """Send it once more later if that may help. Returns how long to leave the API server alone, in seconds.

        Another answer than 429 and 503 is about this event: a webhook of its namespace may be broken for hours.
        """
        event.tries += 1
        may_help = isinstance(error, OverloadedError | OutcomeUnknownError)
        if not may_help or event.tries >= MOST_TRIES or self._delayed >= QUEUE_LENGTH:
            self.dropped += 1
            return FIRST_PAUSE_SECONDS
        asked = error.retry_after_seconds if isinstance(error, OverloadedError) else None
        pause = min(LONGEST_PAUSE_SECONDS, asked or FIRST_PAUSE_SECONDS * 2.0 ** (event.tries - 1))
        self._delayed += 1
        asyncio.get_running_loop().call_later(pause, self._requeue, event)
        return pause if isinstance(error, ApiError) and error.status in BUSY else 0.0

    def _requeue(self, event: _Event) -> None:
        self._delayed -= 1
        self._queue.append(event)
        self._wake.set()

    async def _send(self, event: _Event) -> None:
        key = (event.subject.uid or event.subject.name, event.reason, event.message)
        series = self._series.get(key)
        namespace = event.subject.namespace or "default"
        path = f"/api/v1/namespaces/{namespace}/events"
        if event.name:
            await self._create(path, event)
            return
        if series is not None and event.at - series.last < REPEAT_SECONDS:
            series.count += not event.tries
            series.last = event.at
            body = {"count": series.count, "lastTimestamp": timestamp.whole_seconds(event.at)}
            try:
                await self.transport.request("PATCH", f"{path}/{series.name}", body, content_type=MERGE_PATCH)
                return
            except NotFoundError:  # it has expired: begin a new one
                self._series.pop(key, None)
        self._serial += 1
        event.name = f"{event.subject.name[:200]}.{int(event.at * 1e6):x}{self._serial % 4096:03x}"
        self._series[key] = _Series(event.name, 1, event.at, event.at)
        if len(self._series) > REMEMBERED:
            self._series.popitem(last=False)
        await self._create(path, event)

    async def _create(self, path: str, event: _Event) -> None:
        try:
            await self.transport.request(
                "POST", path, self._body(event.name, event.subject.namespace or "default", event)
            )
        except ConflictError:  # an earlier request had arrived
            _log.debug("event %s is there already", event.name)

    def _body(self, name: str, namespace: str, event: _Event) -> dict[str, Any]:
        subject = event.subject
        at = timestamp.whole_seconds(event.at)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": subject.api_version,
                "kind": subject.kind,
                "namespace": subject.namespace,
                "name": subject.name,
                "uid": subject.uid,
                "resourceVersion": subject.resource_version,
            },
            "reason": event.reason,
            "message": event.message,
            "type": event.type,
            "source": {"component": self.component},
            "reportingComponent": self.component,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }

    def _may_tell(self, subject: Subject, kind: str, reason: str) -> bool:
        """All that is as it should be, and the first warning of an object and reason; of later ones so many in all.

        And of one object that flaps only so many of either.
        """
        key = (subject.uid or subject.name, reason)
        is_later = kind == WARNING and key in self._told
        if kind == WARNING:
            self._told[key] = None
            self._told.move_to_end(key)
            if len(self._told) > TOLD:
                self._told.popitem(last=False)
        return (not is_later or self.limit.take()) and self._allow(key[0])

    def _allow(self, key: str) -> bool:
        """25 events at once per object, then one in five minutes: a flapping object must not drown the others."""
        now = time.monotonic()
        allowance = self._allowances.setdefault(key, _Allowance(BURST, now))
        self._allowances.move_to_end(key)
        if len(self._allowances) > REMEMBERED:
            self._allowances.popitem(last=False)
        allowance.tokens = min(BURST, allowance.tokens + (now - allowance.refilled) / REFILL_SECONDS)
        allowance.refilled = now
        if allowance.tokens < 1:
            return False
        allowance.tokens -= 1
        return True
