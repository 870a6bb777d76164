"""Progress of what takes long: a bar at a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import track

LOG_SECONDS: Final = 10.0
_Item = TypeVar("_Item")


def shown(items: Iterable[_Item], what: str, total: int) -> Iterator[_Item]:
    """The items as they come, told of on the standard error."""
    if sys.stderr.isatty():
        yield from track(items, what, total, console=Console(stderr=True))
        return
    said = time.monotonic()
    for number, item in enumerate(items, start=1):
        if time.monotonic() - said >= LOG_SECONDS:
            said = time.monotonic()
            sys.stderr.write(f"{what}: {number} of {total}\n")
        yield item
