"""List and watch one kind of object: a cache that follows the API server as client-go's reflector does.

None of the Python clients survives a half-open connection, an expired version and a 429 alike. The rules (when to list
again, when only to watch again, how long to wait) are those of client-go's `tools/cache/reflector.go`.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from cloudai_kube.errors import ApiError, ExpiredError, KubeError, OutcomeUnknownError, SilentError, api_error
from cloudai_kube.transport import Status, Transport

SILENCE_SECONDS: Final = 75.0
"""Bookmarks come about every 60 s: a stream that says nothing for longer is dead."""
MIN_WATCH_SECONDS: Final = 300
SHORT_WATCH_SECONDS: Final = 1.0
PAGE: Final = "2000"

_log = logging.getLogger(__name__)


class _Meta(Protocol):
    @property
    def resourceVersion(self) -> str: ...  # noqa: N802  Kubernetes' spelling


class Kind(Protocol):
    """What every decoded object has."""

    @property
    def metadata(self) -> _Meta:
        """Object metadata."""


_T = TypeVar("_T", bound=Kind)


class Store(Protocol[_T]):
    """Who is told about objects. Called in order, from the event loop; must not raise."""

    def replace(self, objects: list[_T]) -> None:
        """Take the whole truth after a list: what is not here does not exist."""

    def apply(self, event: str, item: _T) -> None:
        """Take one change; `event` is ADDED, MODIFIED or DELETED."""


class _ListMeta(msgspec.Struct):
    resourceVersion: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _RawList(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] = []


class _RawEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct):
    metadata: _ListMeta


_bookmark = msgspec.json.Decoder(_Bookmark)


@dataclass(slots=True)
class Backoff:
    """Waiting times after errors: .8 s doubling to 30 s with jitter, back to the start after two healthy minutes."""

    random: random.Random
    first_seconds: float = 0.8
    longest_seconds: float = 30.0
    healthy_seconds: float = 120.0
    _next: float = 0.0
    _last_error: float = -1e9

    def next(self, now: float, at_least: float = 0.0) -> float:
        """Seconds to wait after an error at `now` (monotonic)."""
        if now - self._last_error > self.healthy_seconds:
            self._next = self.first_seconds
        self._last_error = now
        wait = self._next * (1.0 + self.random.random())
        self._next = min(self.longest_seconds, self._next * 2)
        return max(wait, at_least)


@dataclass(slots=True)
class Reflector(Generic[_T]):
    """Keeps a `Store` equal to one collection of the API server. `run` ends only by cancellation.

    `synced` is set after the first list was delivered. `last_contact` is the loop time of the last sign of life.
    """

    transport: Transport
    path: str
    kind: type[_T]
    store: Store[_T]
    selectors: dict[str, str] = field(default_factory=dict)
    silence_seconds: float = SILENCE_SECONDS
    rng: random.Random = field(default_factory=random.Random)
    on_error: Callable[[str, KubeError], None] | None = None
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    last_contact: float = 0.0
    lists: int = 0
    undecodable: int = 0
    _version: str = ""
    _event: msgspec.json.Decoder[_RawEvent] = field(default_factory=lambda: msgspec.json.Decoder(_RawEvent))

    async def run(self) -> None:
        """List, watch, and list again only where watching on is impossible."""
        backoff = Backoff(self.rng)
        decoder = msgspec.json.Decoder(self.kind)
        while True:
            try:
                if not self._version:
                    await self._list(decoder)
                await self._watch(decoder)
            except ExpiredError:
                self._version = ""
                await asyncio.sleep(backoff.next(self._now()))
            except SilentError as error:
                self._report(error)
                await asyncio.sleep(backoff.first_seconds * self.rng.random())
            except KubeError as error:
                # Refused connections, 429 and broken streams: the version is still good, so watch again, never list.
                self._report(error)
                at_least = (error.retry_after_seconds or 0.0) if isinstance(error, ApiError) else 0.0
                await asyncio.sleep(backoff.next(self._now(), at_least))

    async def _list(self, decoder: msgspec.json.Decoder[_T]) -> None:
        self.lists += 1
        objects: list[_T] = []
        params = {**self.selectors, "limit": PAGE}
        raw_decoder = msgspec.json.Decoder(_RawList)
        while True:
            try:
                page = raw_decoder.decode(await self.transport.request("GET", self.path, params=params))
            except ExpiredError:
                if "continue" not in params:
                    raise
                params, objects = dict(self.selectors), []  # the list grew old between its pages: all at once
                continue
            except msgspec.DecodeError as error:  # a proxy's page instead of a list
                raise OutcomeUnknownError(f"list {self.path}: {error}") from error
            for raw in page.items:
                self._collect(decoder, raw, objects)
            if not page.metadata.continue_:
                break
            params["continue"] = page.metadata.continue_
        self._version = page.metadata.resourceVersion
        self.last_contact = self._now()
        self.store.replace(objects)
        self.synced.set()

    def _collect(self, decoder: msgspec.json.Decoder[_T], raw: msgspec.Raw, objects: list[_T]) -> None:
        try:
            objects.append(decoder.decode(raw))
        except msgspec.DecodeError as error:  # one object nobody can read must not hide the others
            self._undecodable(error)

    async def _watch(self, decoder: msgspec.json.Decoder[_T]) -> None:
        timeout_seconds = self.rng.randint(MIN_WATCH_SECONDS, 2 * MIN_WATCH_SECONDS)
        params = {
            **self.selectors,
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(timeout_seconds),
        }
        begun, events = self._now(), 0
        async with contextlib.aclosing(self.transport.lines(self.path, params, self.silence_seconds)) as stream:
            async for lines in stream:
                self.last_contact = self._now()
                for line in lines:
                    events += 1
                    self._deliver(decoder, line)
        if not events and self._now() - begun < SHORT_WATCH_SECONDS:
            raise OutcomeUnknownError(f"watch {self.path}: ended at once without an event")

    def _deliver(self, decoder: msgspec.json.Decoder[_T], line: bytes) -> None:
        try:
            event = self._event.decode(line)
            if event.type == "BOOKMARK":
                self._version = _bookmark.decode(event.object).metadata.resourceVersion
                return
            if event.type == "ERROR":
                status = msgspec.json.decode(event.object, type=Status)
                raise api_error(status.code, status.reason, status.message)
            item = decoder.decode(event.object)
        except msgspec.DecodeError as error:
            self._undecodable(error)
            return
        self.store.apply(event.type, item)
        self._version = item.metadata.resourceVersion

    def _undecodable(self, error: msgspec.DecodeError) -> None:
        self.undecodable += 1
        _log.warning("%s: an object cannot be read and is left out: %s", self.path, error)

    def _report(self, error: KubeError) -> None:
        _log.info("%s: %s", self.path, error)
        if self.on_error is not None:
            self.on_error(self.path, error)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
