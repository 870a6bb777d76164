"""JSON that is nested too deeply: cut down to what can be read, so that one object cannot hide the others.

The API server stores objects up to 10,000 levels deep (`metadata.managedFields` takes any), and every decoder gives up
with a `RecursionError` long before. What lies that deep is read by nobody here.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

DEEPEST: Final = 100
"""Levels that are kept. The deepest field that is read, a requirement in a pod's affinity in a list, lies at 12."""
LARGE_BYTES: Final = 128 << 10
"""Larger objects may take tens of milliseconds to read."""
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_OPENING: Final = frozenset(b"[{")
_CLOSING: Final = frozenset(b"]}")

_T = TypeVar("_T")


def cut(content: bytes, deepest: int = DEEPEST) -> bytes:
    """Replace every value below `deepest` levels by null. Linear in the size; no recursion."""
    if content.count(b"{") + content.count(b"[") <= deepest:
        return content
    kept: list[bytes] = []
    depth, since = 0, 0
    for token in _TOKEN.finditer(content):
        first = content[token.start()]
        if first in _OPENING:
            depth += 1
            if depth == deepest + 1:
                kept += [content[since : token.start()], b"null"]
        elif first in _CLOSING:
            if depth == deepest + 1:
                since = token.end()
            depth -= 1
    kept.append(content[since:] if depth <= deepest else b"")
    return b"".join(kept)


def decode(content: bytes, kind: type[_T]) -> _T:
    """Decode JSON of any depth. Raises `msgspec.DecodeError`."""
    try:
        return msgspec.json.decode(content, type=kind)
    except RecursionError:
        return msgspec.json.decode(cut(content), type=kind)


async def aside(read: Callable[[bytes], _T], content: bytes) -> _T:
    """What `read` makes of it; what is large is read in a thread, so that the event loop goes on."""
    return read(content) if len(content) <= LARGE_BYTES else await asyncio.to_thread(read, content)


async def decode_aside(content: bytes, kind: type[_T]) -> _T:
    """As `decode`, of what may be large."""
    return await aside(lambda data: decode(data, kind), content)
