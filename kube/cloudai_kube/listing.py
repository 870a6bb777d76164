"""A whole collection of the API server, page by page and in slices, so that no list holds the event loop."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import msgspec

from cloudai_kube import nesting
from cloudai_kube.errors import ExpiredError, OutcomeUnknownError
from cloudai_kube.transport import Transport

PAGE: Final = "500"
"""As client-go's pager. Objects of 1.5 MB, the most that etcd takes, are rare: a page is a few megabytes."""
SLICE_SECONDS: Final = 0.01
EXPIRED_MOST: Final = 3
"""Lists that grow old between their pages are begun anew so often."""

Json = bytes | msgspec.Raw
_T = TypeVar("_T")


class ListMeta(msgspec.Struct):
    """Metadata of a list."""

    resourceVersion: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _RawList(msgspec.Struct):
    metadata: ListMeta
    items: list[msgspec.Raw] = []


@dataclass(slots=True)
class Listing(Generic[_T]):
    """What a collection held at `version`."""

    version: str = ""
    items: list[_T] = field(default_factory=list)


@dataclass(slots=True)
class Breath:
    """Gives other work its turn: await `take` between the objects of a long loop."""

    since: float = field(default_factory=time.perf_counter)

    async def take(self) -> None:
        """Let the event loop run if this slice has lasted long enough."""
        if time.perf_counter() - self.since > SLICE_SECONDS:
            await asyncio.sleep(0)
            self.since = time.perf_counter()


async def read(
    transport: Transport, path: str, decode: Callable[[Json], _T | None], selectors: Mapping[str, str] | None = None
) -> Listing[_T]:
    """List everything under `path`. `decode` gives None for an item that is to be left out; it must not raise.

    Raises `KubeError`.
    """
    for remaining in reversed(range(EXPIRED_MOST)):
        try:
            return await _read_once(transport, path, decode, selectors or {})
        except ExpiredError:
            if not remaining:
                raise
    raise OutcomeUnknownError(f"list {path}: it grew old between its pages {EXPIRED_MOST} times")


async def _read_once(
    transport: Transport, path: str, decode: Callable[[Json], _T | None], selectors: Mapping[str, str]
) -> Listing[_T]:
    listing: Listing[_T] = Listing()
    params = {**selectors, "limit": PAGE}
    breath = Breath()
    while True:
        page = await _page(path, await transport.request("GET", path, params=params))
        for raw in page.items:
            item = decode(raw)
            if item is not None:
                listing.items.append(item)
            await breath.take()
        if not page.metadata.continue_:
            listing.version = page.metadata.resourceVersion
            return listing
        params["continue"] = page.metadata.continue_


async def _page(path: str, content: bytes) -> _RawList:
    try:
        try:
            return msgspec.json.decode(content, type=_RawList)
        except RecursionError:
            return msgspec.json.decode(await asyncio.to_thread(nesting.cut, content), type=_RawList)
    except msgspec.DecodeError as error:  # a proxy's page instead of a list
        raise OutcomeUnknownError(f"list {path}: {error}") from error
