"""List and watch one kind of object: a cache that follows the API server as client-go's reflector does.

None of the Python clients survives a half-open connection, an expired version and a 429 alike. The rules (when to list
again, when only to watch again, how long to wait) are those of client-go's `tools/cache/reflector.go`.

No object may end or block the process, whatever a tenant wrote into it: what is nested too deeply is cut, an object
that cannot be read or that a store cannot handle is left out and told of, and all others go on.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from cloudai_kube import listing, nesting
from cloudai_kube.errors import (
    ApiError,
    ExpiredError,
    InvariantError,
    KubeError,
    OutcomeUnknownError,
    SilentError,
    api_error,
)
from cloudai_kube.listing import Json
from cloudai_kube.objects import Meta
from cloudai_kube.transport import Status, Transport

SILENCE_SECONDS: Final = 75.0
"""Bookmarks come about every 60 s: a stream that says nothing for longer is dead."""
MIN_WATCH_SECONDS: Final = 300
SHORT_WATCH_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Kind(Protocol):
    """What every decoded object has."""

    @property
    def metadata(self) -> Meta:
        """Object metadata."""


_T = TypeVar("_T", bound=Kind)
_Kind_contra = TypeVar("_Kind_contra", bound=Kind, contravariant=True)


class Store(Protocol[_Kind_contra]):
    """Is told about objects, in order, from the event loop. What it raises about one object parks that object."""

    def retain(self, listed: list[Meta]) -> None:
        """Forget all objects but these, which a list has shown; `apply` follows for each that can be read."""

    def apply(self, event: str, item: _Kind_contra) -> None:
        """Take one change; `event` is ADDED, MODIFIED or DELETED."""


class _Header(msgspec.Struct):
    metadata: Meta


class _RawEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct):
    metadata: listing.ListMeta


_bookmark = msgspec.json.Decoder(_Bookmark)
_header = msgspec.json.Decoder(_Header)


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


def silent(reflectors: Mapping[str, "Reflector[Any]"], silence_seconds: float, now: float) -> str | None:
    """Which of these have had no sign of life for twice as long (loop time); None if all have."""
    names = [name for name, reflector in reflectors.items() if now - reflector.last_contact > 2 * silence_seconds]
    return f"no sign of life from: {', '.join(names)}" if names else None


@dataclass(slots=True)
class Reflector(Generic[_T]):
    """Keeps a `Store` equal to one collection of the API server. `run` ends only by cancellation.

    `synced` is set after the first list was delivered. `last_contact` is the loop time of the last sign of life.
    `decode` may read more of an object than its `kind` has. `on_parked` is told of an object that could not be handled.
    """

    transport: Transport
    path: str
    kind: type[_T]
    store: Store[_T]
    selectors: dict[str, str] = field(default_factory=dict)
    silence_seconds: float = SILENCE_SECONDS
    rng: random.Random = field(default_factory=random.Random)
    decode: Callable[[Json], _T] | None = None
    on_error: Callable[[str, KubeError], None] | None = None
    on_parked: Callable[[Meta, Exception], None] | None = None
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    last_contact: float = 0.0
    lists: int = 0
    parked: int = 0
    _version: str = ""
    _event: msgspec.json.Decoder[_RawEvent] = field(default_factory=lambda: msgspec.json.Decoder(_RawEvent))

    async def run(self) -> None:
        """List, watch, and list again only where watching on is impossible."""
        backoff = Backoff(self.rng)
        decode = self.decode or msgspec.json.Decoder(self.kind).decode
        while True:
            try:
                if not self._version:
                    await self._list(decode)
                await self._watch(decode)
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

    async def _list(self, decode: Callable[[Json], _T]) -> None:
        self.lists += 1
        metas: list[Meta] = []

        def take(raw: Json) -> _T | None:
            try:
                item = decode(raw)
            except Exception as error:  # noqa: BLE001  one object that cannot be read must not hide the others
                meta = self._park(raw, error)
                metas.extend([meta] if meta is not None else [])
                return None
            metas.append(item.metadata)
            return item

        listed = await listing.read(self.transport, self.path, take, self.selectors)
        self.last_contact = self._now()
        self.store.retain(metas)
        breath = listing.Breath()
        for item in listed.items:
            self._apply("ADDED", item)
            await breath.take()
        self._version = listed.version
        self.last_contact = self._now()
        self.synced.set()

    async def _watch(self, decode: Callable[[Json], _T]) -> None:
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
            breath = listing.Breath()
            async for lines in stream:
                self.last_contact = self._now()
                for line in lines:
                    events += 1
                    await self._deliver(decode, line)
                    await breath.take()
        if not events and self._now() - begun < SHORT_WATCH_SECONDS:
            raise OutcomeUnknownError(f"watch {self.path}: ended at once without an event")

    async def _deliver(self, decode: Callable[[Json], _T], line: bytes) -> None:
        try:
            event = self._event.decode(line)
        except RecursionError:
            event = self._event.decode(await asyncio.to_thread(nesting.cut, line))
        except msgspec.DecodeError as error:
            self.parked += 1
            _log.warning("%s: an event cannot be read and is left out: %s", self.path, error)
            return
        if event.type == "BOOKMARK":
            self._version = _bookmark.decode(event.object).metadata.resourceVersion
        elif event.type == "ERROR":
            status = msgspec.json.decode(event.object, type=Status)
            raise api_error(status.code, status.reason, status.message)
        else:
            self._take(decode, event.type, event.object)

    def _take(self, decode: Callable[[Json], _T], event: str, raw: Json) -> None:
        try:
            item = decode(raw)
        except Exception as error:  # noqa: BLE001  one object that cannot be read must not stop the others
            meta = self._park(raw, error)
            if meta is None:
                return
            self._version = meta.resourceVersion
            if event == "DELETED":
                self._apply(event, msgspec.convert({"metadata": msgspec.to_builtins(meta)}, self.kind))
            return
        self._apply(event, item)
        self._version = item.metadata.resourceVersion

    def _apply(self, event: str, item: _T) -> None:
        try:
            self.store.apply(event, item)
        except InvariantError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it holds, the others go on
            _log.exception("%s: %s/%s cannot be handled", self.path, item.metadata.namespace, item.metadata.name)
            self._tell(item.metadata, error)

    def _park(self, raw: Json, error: Exception) -> Meta | None:
        """Tell of an object that cannot be read; None if not even its name can."""
        _log.warning("%s: an object cannot be read and is left out: %s", self.path, error)
        try:
            meta = _header.decode(raw).metadata
        except (msgspec.DecodeError, RecursionError):
            self.parked += 1
            return None
        self._tell(meta, error)
        return meta

    def _tell(self, meta: Meta, error: Exception) -> None:
        self.parked += 1
        if self.on_parked is not None:
            self.on_parked(meta, error)

    def _report(self, error: KubeError) -> None:
        _log.info("%s: %s", self.path, error)
        if self.on_error is not None:
            self.on_error(self.path, error)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
