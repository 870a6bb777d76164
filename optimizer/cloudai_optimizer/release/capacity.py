"""What a ConfigMap can hold: of what is known about types, users and images, the least founded goes first."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from cloudai_optimizer.release import quantities
from cloudai_optimizer.release.quantities import LEARNED, SCORES, Quantity, Trim
from cloudai_rts.parameters import EVERYBODY, Document

MAX_BYTES: Final = 900 * 1024
"""Below the API server's limit of 1 MiB for the whole object, metadata and all."""
SHARES: Final = (1.0, 0.5, 0.25, 0.1, 0.02)
"""How much is kept, in the order in which it is tried."""
ALWAYS_TYPES: Final = 64


def trimmed(document: Document, share: float) -> Document:
    """Keep this share of the users, identities and types, those with the largest counts. A few types always stay."""
    if share >= 1.0:
        return document
    types = _types(document, share)

    def less(quantity: Quantity) -> Any:  # noqa: ANN401  see Quantity.of
        whole = quantity.of(document)
        if quantity.trim is Trim.NEVER:
            return whole
        if quantity.trim is Trim.LEAST_SEEN:
            return _most_seen(whole, share)
        return {} if quantity.trim is Trim.CELLS and share <= SHARES[-1] else of_types(whole, types)

    return quantities.changed(document, quantities.each((*LEARNED, *SCORES), less))


def of_types(rows: Mapping[str, Any], types: Iterable[str]) -> dict[str, Any]:
    """The rows of these types."""
    return {name: rows[name] for name in rows if name in types}


def _types(document: Document, share: float) -> set[str]:
    """The types with the most samples."""
    runtime = document.Runtime
    counts = {name: sum(runtime.Counts.get(name, {}).values()) for name in {*document.Tau, *runtime.U, *runtime.Sigma}}
    most = max(ALWAYS_TYPES, round(share * len(counts)))
    return set(sorted(counts, key=lambda name: (-counts[name], name))[:most])


def _most_seen(records: Mapping[str, Any], share: float) -> dict[str, Any]:
    most = sorted(records, key=lambda name: (name != EVERYBODY, -records[name].N))[: round(share * len(records))]
    return of_types(records, set(most))
