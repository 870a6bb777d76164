"""How an epoch of the optimizer ended: noted on the ConfigMap of the parameters, read by the operator."""

import msgspec


class EpochNote(msgspec.Struct, frozen=True):
    """`at` is RFC 3339; `result` one word or `failed: <error>`; `reason` for people."""

    at: str
    result: str
    reason: str = ""
