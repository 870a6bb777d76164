"""What a ConfigMap can hold: of what is known about types, users and images, the least founded goes first."""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from cloudai_rts.parameters import EVERYBODY, Document, IdentityRecord, Indication

MAX_BYTES: Final = 900 * 1024
"""Below the API server's limit of 1 MiB for the whole object, metadata and all."""
SHARES: Final = (1.0, 0.5, 0.25, 0.1, 0.02)
"""How much is kept, in the order in which it is tried."""
ALWAYS_TYPES: Final = 64
_Known = TypeVar("_Known", Indication, IdentityRecord)
_Row = TypeVar("_Row")


def trimmed(document: Document, share: float) -> Document:
    """Keep this share of the users, identities and types, those with the largest counts.

    A few types always stay. With the least share the cells of AffinityMatrix go: the learned run times hold the same
    knowledge.
    """
    if share >= 1.0:
        return document
    runtime = document.Runtime
    types = _types(document, share)
    less = msgspec.structs.replace(
        runtime,
        Declared=_largest(runtime.Declared, share),
        Allowed=_largest(runtime.Allowed, share),
        Identity=_largest(runtime.Identity, share),
        DeclaredOf=_of(runtime.DeclaredOf, types),
        AllowedOf=_of(runtime.AllowedOf, types),
        U=_of(runtime.U, types),
        Sigma=_of(runtime.Sigma, types),
        Counts=_of(runtime.Counts, types),
    )
    matrix = _of(document.AffinityMatrix, types) if share > SHARES[-1] else {}
    return msgspec.structs.replace(document, Runtime=less, Tau=_of(document.Tau, types), AffinityMatrix=matrix)


def _types(document: Document, share: float) -> set[str]:
    """The types with the most samples."""
    runtime = document.Runtime
    counts = {name: sum(runtime.Counts.get(name, {}).values()) for name in {*document.Tau, *runtime.U, *runtime.Sigma}}
    most = max(ALWAYS_TYPES, round(share * len(counts)))
    return set(sorted(counts, key=lambda name: (-counts[name], name))[:most])


def _of(rows: Mapping[str, _Row], types: set[str]) -> dict[str, _Row]:
    return {name: row for name, row in rows.items() if name in types}


def _largest(known: Mapping[str, _Known], share: float) -> dict[str, _Known]:
    kept = sorted(known, key=lambda name: (name != EVERYBODY, -known[name].N))[: round(share * len(known))]
    return {name: known[name] for name in known if name in set(kept)}
