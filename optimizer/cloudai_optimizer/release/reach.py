"""What values have been lately, as the measure of how far they may go today.

Of two stretches of a day each, the one that runs and the one before it, the lowest and the highest of every value is
kept. A value within a quarter of its range of all four moved no further in any 24 hours, wherever they begin: they
lie within two such stretches. One document of a day ago would allow a quarter on either side of it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec.inspect import FloatType

from cloudai_kube import timestamp
from cloudai_kube.errors import FormatError
from cloudai_optimizer.release import capacity, quantities
from cloudai_optimizer.release.quantities import LEARNED, SCORES, WEIGHTS, Quantity, Trim
from cloudai_rts.parameters import HINGE, Document, RuntimeModel

DAY_SECONDS: Final = 86_400.0
BOUNDED: Final = tuple(quantity for quantity in LEARNED if quantity.path != (quantities.RUNTIME, "Counts"))
"""Counts of runs are free, so nobody asks how far they went."""
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
    reach = begun(in_force, at) if reach is None else reach
    if _seconds_between(reach.current.low.createdAt, at) >= DAY_SECONDS:
        reach = Reach(_span(in_force, at), reach.current)
    current = reach.current
    for document in documents:
        current = Span(_each(min, current.low, document), _each(max, current.high, document))
    if only_named:
        return Reach(_named(current, documents), None if reach.before is None else _named(reach.before, documents))
    return Reach(current, reach.before)


def _span(document: Document, at: str) -> Span:
    table = (*BOUNDED, *WEIGHTS, *_scores(document))
    runtime = msgspec.structs.replace(RuntimeModel(), ReferenceClass=document.Runtime.ReferenceClass)
    bare = quantities.changed(
        Document(createdAt=at, Runtime=runtime), quantities.each(table, lambda quantity: quantity.of(document))
    )
    return Span(bare, bare)


def _scores(document: Document) -> tuple[Quantity, ...]:
    """Under `hinge` alone somebody reads the scores, and they take much room."""
    return SCORES if document.model == HINGE else ()


def _named(span: Span, documents: Sequence[Document]) -> Span:
    """The span without what none of the documents names, and without scores, which take the most room."""
    types = {name for document in documents for name in {*document.Tau, *document.Runtime.U, *document.Runtime.Sigma}}

    def reduced(document: Document) -> Document:
        def less(quantity: Quantity) -> Any:  # noqa: ANN401  see Quantity.of
            whole = quantity.of(document)
            if quantity.trim is Trim.LEAST_SEEN:
                return {}
            return capacity.of_types(whole, types) if quantity.trim is Trim.TYPES else whole

        return quantities.changed(document, {**quantities.each(BOUNDED, less), **quantities.each(SCORES, lambda _: {})})

    return Span(reduced(span.low), reduced(span.high))


def _each(pick: _Pick, lately: Document, new: Document) -> Document:
    """The lower, or the higher, of each value. Factors that one of them does not know are 0 there.

    A value that is away for a while stays as it was: a node that comes back does not begin anew.
    """

    def picked(quantity: Quantity) -> Any:  # noqa: ANN401  see Quantity.of
        def meet(_kind: FloatType, value: float, before: float | None) -> float:
            origin = quantity.unknown if before is None else before
            return value if origin is None else pick([value, origin])

        return quantity.met(new, lately, meet, keeps_other=True)

    table = (*BOUNDED, *WEIGHTS, *_scores(new))
    forgotten: dict[tuple[str, ...], Any] = {quantity.path: {} for quantity in SCORES if new.model != HINGE}
    return quantities.changed(lately, {**quantities.each(table, picked), **forgotten})


def _seconds_between(earlier: str, later: str) -> float:
    try:
        return timestamp.parse(later) - timestamp.parse(earlier)
    except FormatError:  # a document that a person wrote
        return math.inf
