"""How far one release, and one day, may move what is in force: a poisoned history must not turn a cluster over.

A release moves a value by at most a tenth of its range (tau by a factor of two; of weights, which are searched on a
logarithmic scale, by a tenth of that), a day by at most a quarter. What was not known counts from what it was taken
for: factors of classes and nodes from 0, everybody's words from what cold ones are worth, what they are off by in a
type from 0, scores from those of a usual machine. What else was not known (tau and spread of a type that nobody ran, a
user, an identity) concerns those who brought it, and is taken as it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec
from msgspec.inspect import FloatType

from cloudai_optimizer.release import quantities
from cloudai_optimizer.release.quantities import LEARNED, SCORES, WEIGHTS, Quantity, Trim
from cloudai_rts.hinge import MAX_AFFINITY
from cloudai_rts.parameters import EVERYBODY, Document, IdentityRecord, Indication

DAY_STEPS: Final = 2.5
"""Steps of a release that a day may add up to."""
FADING: Final = 0.995
"""Half of it is left after 139 releases: about a day with a release every ten minutes."""
REMEMBERED: Final = 2_000
"""Identities, and users, in one document: each takes about 100 bytes of the 900 KiB that a ConfigMap may have."""
_Known = TypeVar("_Known", Indication, IdentityRecord)


def kept(new: Document, old: Document) -> Document:
    """What was learned, and what is known already of types, classes, nodes that it does not name."""
    faded = _faded(old.Runtime.Counts, set(new.Runtime.U))
    known = quantities.changed(old, {(quantities.RUNTIME, "Counts"): faded})

    def whole(quantity: Quantity) -> Any:  # noqa: ANN401  see Quantity.of
        if quantity.trim is Trim.LEAST_SEEN:
            return _remembered(quantity.of(new), quantity.of(known))
        return quantity.met(new, known, lambda _kind, value, _before: value, keeps_other=True)

    return quantities.changed(new, quantities.each(LEARNED, whole))


def _faded(counts: Mapping[str, dict[str, float]], used: set[str]) -> dict[str, dict[str, float]]:
    """Types that nobody runs fade from release to release, so that those in use outlive them where room is short."""
    return {
        name: row if name in used else {key: round(FADING * count, 2) for key, count in row.items()}
        for name, row in counts.items()
    }


def _remembered(new: Mapping[str, _Known], old: Mapping[str, _Known]) -> dict[str, _Known]:
    """What the window shows, and what it does not show any more, the best known as far as there is room."""
    gone = {name: msgspec.structs.replace(record, N=round(FADING * record.N, 2)) for name, record in old.items()}
    whole = {**gone, **new}
    best = sorted(whole, key=lambda name: (name != EVERYBODY, name not in new, -whole[name].N, name))[:REMEMBERED]
    return {name: whole[name] for name in best}


def learned_within(new: Document, origin: Document, steps: float) -> Document:
    """What was learned, no further than so many steps from `origin`."""
    return _within(LEARNED, new, origin, steps)


def scores_within(new: Document, origin: Document, steps: float) -> Document:
    """AffinityMatrix and PenaltyVector (EDD 5.3, 5.4) no further than so many steps from those of `origin`.

    A cell that it does not have counts from a usual machine's: as fast as any, never late, never overloaded.
    """
    usual_affinity = min(MAX_AFFINITY, origin.AffinityW.A1 + origin.AffinityW.A2)
    usual_penalty = origin.PenaltyW.G3 - origin.PenaltyW.G4
    usual = zip(SCORES, (usual_affinity, usual_penalty), strict=True)
    return _within([replace(quantity, unknown=unknown) for quantity, unknown in usual], new, origin, steps)


def scores_near(new: Document, before: Document, lately: Iterable[Document]) -> Document:
    """Scores within a release's step of what was in force, and a day's of what they were `lately`."""
    near = scores_within(new, before, 1.0)
    for origin in lately:
        near = scores_within(near, origin, DAY_STEPS)
    return near


def weights_within_a_day(new: Document, origin: Document) -> Document:
    """Weights no further than a quarter of their range from those a day ago. Keeps the order of ordered ones."""
    return _within(WEIGHTS, new, origin, DAY_STEPS)


def _within(table: Iterable[Quantity], new: Document, origin: Document, steps: float) -> Document:
    def near(quantity: Quantity) -> Any:  # noqa: ANN401  see Quantity.of
        def meet(kind: FloatType, value: float, before: float | None) -> float:
            return quantity.within(kind, value, before, steps)

        known = {**quantity.known, **quantity.of(origin)} if quantity.known else quantity.of(origin)
        return quantity.met(new, quantities.changed(origin, {quantity.path: known}), meet)

    return quantities.changed(new, quantities.each(table, near))
