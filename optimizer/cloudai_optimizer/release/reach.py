"""What values have been lately, as the measure of how far they may go today.

Of two stretches of a day each, the one that runs and the one before it, the lowest and the highest of every value is
kept. A value within a quarter of its range of all four moved no further in any 24 hours, wherever they begin: they
lie within two such stretches. One document of a day ago would allow a quarter on either side of it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from cloudai_kube import timestamp
from cloudai_kube.errors import FormatError
from cloudai_rts.parameters import HINGE, Document

DAY_SECONDS: Final = 86_400.0
WEIGHTS: Final = ("Lateness", "Risk", "AffinityW", "PenaltyW", "Theta")
_Entry = TypeVar("_Entry", bound=msgspec.Struct)
_Pick = Callable[[Sequence[float]], float]


@dataclass(frozen=True, slots=True)
class Span:
    """The least and the greatest that each value has been since `low.createdAt`."""

    low: Document
    high: Document


@dataclass(frozen=True, slots=True)
class Reach:
    """The stretch that runs, and the one before it."""

    current: Span
    before: Span | None = None

    def origins(self) -> list[Document]:
        """What a new document must be near to, each of them."""
        spans = [self.current] if self.before is None else [self.current, self.before]
        return [document for span in spans for document in (span.low, span.high)]

    def scored(self) -> list[Document]:
        """Those that have affinities and penalties, which are kept where somebody reads them."""
        return [document for document in self.origins() if document.PenaltyVector]


def begun(document: Document, at: str) -> Reach:
    """Nothing was known before this document."""
    return Reach(_span(document, at))


def noted(
    reach: Reach | None, in_force: Document, documents: Sequence[Document], at: str, only_named: bool = False
) -> Reach:
    """The reach after a release of these documents in the place of the one in force; `at` in RFC 3339.

    `only_named`: what the new documents do not name is forgotten at once, to save room.
    """
    found = begun(in_force, at) if reach is None else reach
    if _seconds_between(found.current.low.createdAt, at) >= DAY_SECONDS:
        found = Reach(_span(in_force, at), found.current)
    current = found.current
    for document in documents:
        current = Span(_each(min, current.low, document), _each(max, current.high, document))
    if only_named:
        return Reach(_named(current, documents), None if found.before is None else _named(found.before, documents))
    return Reach(current, found.before)


def _span(document: Document, at: str) -> Span:
    runtime = msgspec.structs.replace(document.Runtime, Counts={})
    bare = Document(createdAt=at, Runtime=runtime, Tau=document.Tau)
    bare = msgspec.structs.replace(bare, **{group: getattr(document, group) for group in WEIGHTS})
    if document.model == HINGE:  # nobody else reads the scores, and they take much room
        bare = msgspec.structs.replace(
            bare, AffinityMatrix=document.AffinityMatrix, PenaltyVector=document.PenaltyVector
        )
    return Span(bare, bare)


def _named(span: Span, documents: Sequence[Document]) -> Span:
    """The span without what none of the documents names, and without scores, which take the most room."""
    types = {name for document in documents for name in {*document.Tau, *document.Runtime.U, *document.Runtime.Sigma}}

    def reduced(document: Document) -> Document:
        runtime = document.Runtime
        u, sigma, declared, allowed, tau = (
            {name: value for name, value in row.items() if name in types}
            for row in (runtime.U, runtime.Sigma, runtime.DeclaredOf, runtime.AllowedOf, document.Tau)
        )
        less = msgspec.structs.replace(runtime, U=u, Sigma=sigma, DeclaredOf=declared, AllowedOf=allowed)
        less = msgspec.structs.replace(less, Identity={}, Declared={}, Allowed={})
        return msgspec.structs.replace(document, Tau=tau, Runtime=less, AffinityMatrix={}, PenaltyVector={})

    return Span(reduced(span.low), reduced(span.high))


def _each(pick: _Pick, kept: Document, new: Document) -> Document:
    """The lower, or the higher, of each value. Factors that one of them does not know are 0 there.

    A value that is away for a while stays as it was: a node that comes back does not begin anew.
    """
    old, runtime = kept.Runtime, new.Runtime
    near = msgspec.structs.replace(
        old,
        Kappa=pick([old.Kappa, runtime.Kappa]),
        Mu=pick([old.Mu, runtime.Mu]),
        U={
            name: _row(pick, old.U.get(name, {}), runtime.U.get(name, {}), 0.0) for name in sorted({*old.U, *runtime.U})
        },
        V=_row(pick, old.V, runtime.V, 0.0),
        Sigma=_row(pick, old.Sigma, runtime.Sigma),
        Declared=_entries(pick, old.Declared, runtime.Declared),
        DeclaredOf=_row(pick, old.DeclaredOf, runtime.DeclaredOf, 0.0),
        Allowed=_entries(pick, old.Allowed, runtime.Allowed),
        AllowedOf=_row(pick, old.AllowedOf, runtime.AllowedOf, 0.0),
        Identity=_entries(pick, old.Identity, runtime.Identity),
        Shape={
            name: _row(pick, old.Shape.get(name, {}), runtime.Shape.get(name, {}), 0.0)
            for name in sorted({*old.Shape, *runtime.Shape})
        },
    )
    weights = {group: _entry(pick, getattr(kept, group), getattr(new, group)) for group in WEIGHTS}
    found = msgspec.structs.replace(kept, Runtime=near, Tau=_row(pick, kept.Tau, new.Tau), **weights)
    if new.model != HINGE:
        return msgspec.structs.replace(found, AffinityMatrix={}, PenaltyVector={})
    matrix = {
        name: _row(pick, kept.AffinityMatrix.get(name, {}), new.AffinityMatrix.get(name, {}))
        for name in sorted({*kept.AffinityMatrix, *new.AffinityMatrix})
    }
    return msgspec.structs.replace(
        found, AffinityMatrix=matrix, PenaltyVector=_row(pick, kept.PenaltyVector, new.PenaltyVector)
    )


def _row(
    pick: _Pick, old: Mapping[str, float], new: Mapping[str, float], unknown: float | None = None
) -> dict[str, float]:
    """A name that is not in the new one stays; a new one counts from `unknown`, or as it is where that is None."""
    return {
        **old,
        **{
            name: pick([value, old.get(name, value if unknown is None else unknown)])
            for name, value in sorted(new.items())
        },
    }


def _entries(pick: _Pick, old: Mapping[str, _Entry], new: Mapping[str, _Entry]) -> dict[str, _Entry]:
    return {**old, **{name: _entry(pick, old.get(name, one), one) for name, one in new.items()}}


def _entry(pick: _Pick, old: _Entry, new: _Entry) -> _Entry:
    values = zip(msgspec.structs.astuple(old), msgspec.structs.astuple(new), strict=True)
    return type(new)(*(pick(both) for both in values))


def _seconds_between(earlier: str, later: str) -> float:
    try:
        return timestamp.parse(later) - timestamp.parse(earlier)
    except FormatError:  # a document that a person wrote
        return math.inf
