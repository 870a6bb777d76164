"""What a ConfigMap can hold: of what is known about single users and images, the least founded goes first."""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from cloudai_rts.parameters import DeclaredError, Document, IdentityRecord

MAX_BYTES: Final = 900 * 1024
"""Below the API server's limit of 1 MiB for the whole object, metadata and all."""
SHARES: Final = (1.0, 0.5, 0.25, 0.1, 0.0)
"""How much is kept, in the order in which it is tried."""
_Known = TypeVar("_Known", DeclaredError, IdentityRecord)


def trimmed(document: Document, share: float) -> Document:
    """Keep this share of the users and identities, those with the largest counts.

    With a share of 0 the cells of AffinityMatrix go too: the learned run times hold the same knowledge.
    """
    if share >= 1.0:
        return document
    runtime = document.Runtime
    less = msgspec.structs.replace(
        runtime, Declared=_largest(runtime.Declared, share), Identity=_largest(runtime.Identity, share)
    )
    matrix = document.AffinityMatrix if share > 0 else {}
    return msgspec.structs.replace(document, Runtime=less, AffinityMatrix=matrix)


def _largest(known: Mapping[str, _Known], share: float) -> dict[str, _Known]:
    kept = sorted(known, key=lambda name: (name != "", -known[name].N))[: round(share * len(known))]
    return {name: known[name] for name in known if name in set(kept)}
