"""What a release may change, in one table.

It says where each quantity stands in the document, what it counts from where it was not known, how far a release moves
it, and in which order it goes where room is short. Ranges are those of the document's own types, and a release moves a
value by a tenth of its range at most.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

import msgspec
from msgspec.inspect import DictType, FloatType, StructType, Type, type_info

from cloudai_rts.parameters import EVERYBODY, Document, Indication, RuntimeModel
from cloudai_rts.prediction import COLD_ALLOWED, COLD_DECLARED

STEP: Final = 0.1
"""The part of its range by which a release moves a value."""
STEP_TAU: Final = 2.0
"""Factor by which a release moves a type's run time."""
COUNT: Final = 1e12
"""A value that may be so large is a count of runs: no limit holds it."""
RUNTIME: Final = "Runtime"
Meet = Callable[[FloatType, float, float | None], float]
"""From the new value and what stands in its place in another document (None: nothing) to the value that is kept."""


class Trim(Enum):
    """In which way a quantity becomes smaller where a document does not fit its ConfigMap."""

    NEVER = auto()
    LEAST_SEEN = auto()
    """Entries of the fewest runs go."""
    TYPES = auto()
    """Rows of the types with the fewest runs go."""
    CELLS = auto()
    """Such rows, and at last all: the learned run times hold the same knowledge."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One learned value, row, table or record of the document, by its path."""

    path: tuple[str, ...]
    unknown: float | None = None
    """What a value counts from that was not known; None: as it comes, it concerns only those who brought it."""
    known: Mapping[str, Indication] = field(default_factory=dict)
    """Entries that count as known from the start."""
    trim: Trim = Trim.NEVER
    digits: int | None = 3
    factor: float | None = None
    """Of a value on a logarithmic scale: what a release multiplies or divides it by at most."""
    step: float | None = None
    """Where it is not a tenth of the range."""

    def of(self, document: Document) -> Any:  # noqa: ANN401  a number, or a nest of dictionaries and records of them
        """Where it stands in a document."""
        value: Any = document
        for name in self.path:
            value = getattr(value, name)
        return value

    def met(self, new: Document, other: Document, meet: Meet, *, keeps_other: bool = False) -> Any:  # noqa: ANN401
        """Every value of `new` met with that of another document; `keeps_other`: with what only that one has."""
        return _met(_kind(self.path), self.of(new), self.of(other), meet, keeps_other)

    def within(self, kind: FloatType, value: float, before: float | None, steps: float) -> float:
        """A value no further than so many steps from what it was. Counts are free."""
        if _high(kind) >= COUNT:
            return value
        origin = self.unknown if before is None else before
        near = value if origin is None else self._near(kind, value, origin, steps)
        return near if self.digits is None else round(near, self.digits)

    def _near(self, kind: FloatType, value: float, origin: float, steps: float) -> float:
        if self.factor is not None:
            reach = math.pow(self.factor, steps)
            return min(origin * reach, max(origin / reach, value))
        step = steps * (STEP * (_high(kind) - _low(kind)) if self.step is None else self.step)
        return min(origin + step, max(origin - step, value))


LEARNED: Final = (
    Quantity(("Theta",), digits=4),
    Quantity(("Tau",), factor=STEP_TAU, trim=Trim.TYPES),
    Quantity((RUNTIME, "Kappa"), digits=4),
    Quantity((RUNTIME, "Mu"), digits=4),
    Quantity((RUNTIME, "U"), unknown=0.0, trim=Trim.TYPES),
    Quantity((RUNTIME, "V"), unknown=0.0),
    Quantity((RUNTIME, "Sigma"), trim=Trim.TYPES),
    Quantity((RUNTIME, "Counts"), trim=Trim.TYPES),
    Quantity((RUNTIME, "Declared"), known={EVERYBODY: COLD_DECLARED}, trim=Trim.LEAST_SEEN),
    Quantity((RUNTIME, "DeclaredOf"), unknown=0.0, trim=Trim.TYPES),
    Quantity((RUNTIME, "Allowed"), known={EVERYBODY: COLD_ALLOWED}, trim=Trim.LEAST_SEEN),
    Quantity((RUNTIME, "AllowedOf"), unknown=0.0, trim=Trim.TYPES),
    Quantity((RUNTIME, "Identity"), trim=Trim.LEAST_SEEN),
    Quantity((RUNTIME, "Shape"), unknown=0.0),
)
WEIGHTS: Final = tuple(Quantity((group,), digits=None) for group in ("Lateness", "Risk", "AffinityW", "PenaltyW"))
"""Groups of weights that the search varies; it steps on a logarithmic scale of its own (`genes`)."""
AFFINITY: Final = Quantity(("AffinityMatrix",), trim=Trim.CELLS)
PENALTY: Final = Quantity(("PenaltyVector",), step=1.0)
"""Negative only with a weight of energy: the step is a tenth of the usual range, 0 to 10."""
SCORES: Final = (AFFINITY, PENALTY)
"""Scores that follow from the weights and from counts of runs; only `hinge` reads them."""


def changed(document: Document, values: Mapping[tuple[str, ...], Any]) -> Document:
    """The document with other values under these paths."""
    inner = {path[1]: value for path, value in values.items() if path[0] == RUNTIME}
    outer = {path[0]: value for path, value in values.items() if path[0] != RUNTIME}
    runtime: RuntimeModel = msgspec.structs.replace(document.Runtime, **inner)
    return msgspec.structs.replace(document, Runtime=runtime, **outer)


def each(quantities: Iterable[Quantity], value: Callable[[Quantity], Any]) -> dict[tuple[str, ...], Any]:
    """Values by path, for `changed`."""
    return {quantity.path: value(quantity) for quantity in quantities}


def bounds(group: str, name: str) -> tuple[float, float]:
    """The range of a value, by the document's own types."""
    kind = _kind((group, name))
    if not isinstance(kind, FloatType):
        raise TypeError(f"{group}.{name} is no single number")
    return _low(kind), _high(kind)


def _kind(path: tuple[str, ...]) -> Type:
    kind: Type = _DOCUMENT
    for name in path:
        if not isinstance(kind, StructType):
            raise TypeError(f"{'.'.join(path)} does not stand in the document")
        kind = next(part.type for part in kind.fields if part.name == name)
    return kind


_DOCUMENT: Final = type_info(Document)


def _met(kind: Type, new: Any, other: Any, meet: Meet, keeps_other: bool) -> Any:  # noqa: ANN401  see Quantity.of
    if isinstance(kind, FloatType):
        return meet(kind, new, other)
    if isinstance(kind, StructType):
        values = (
            _met(part.type, getattr(new, part.name), getattr(other, part.name, None), meet, keeps_other)
            for part in kind.fields
        )
        return type(new)(*values)
    if not isinstance(kind, DictType):
        raise TypeError(f"no rule for a value of {type(kind).__name__}")
    rest = other or {}
    own = {name: _met(kind.value_type, value, rest.get(name), meet, keeps_other) for name, value in new.items()}
    return {**rest, **own} if keeps_other else own


def _low(kind: FloatType) -> float:
    return -math.inf if kind.ge is None else kind.ge


def _high(kind: FloatType) -> float:
    return math.inf if kind.le is None else kind.le
