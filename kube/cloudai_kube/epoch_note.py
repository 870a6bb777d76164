"""How an epoch of the optimizer ended: noted on the ConfigMap of the parameters, read by the operator."""

from typing import Annotated

import msgspec
from msgspec import Meta


class EpochNote(msgspec.Struct, frozen=True):
    """`at` is RFC 3339; `result` one word or `failed: <error>`; `reason` for people.

    `dropped` counts what could not be used, by what it was and what was wrong with it; None: nothing was looked at.
    """

    at: str
    result: str
    reason: str = ""
    seconds: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    dropped: dict[str, Annotated[int, Meta(ge=0, le=10**15)]] | None = None
