"""How far one release, and one day, may move what is in force: a poisoned history must not turn a cluster over.

A release moves a value by at most a tenth of its range (tau by a factor of two; of weights, which are searched on a
logarithmic scale, by a tenth of that), a day by at most a quarter. What was not known counts from what it was taken
for: factors of classes and nodes from 0, everybody's words from what cold ones are worth, what they are off by in a
type from 0, scores from those of a usual machine. What else was not known (tau and spread of a type that nobody ran, a
user, an identity) concerns those who brought it, and is taken as it is.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from cloudai_rts.hinge import MAX_AFFINITY
from cloudai_rts.parameters import EVERYBODY, Document, IdentityRecord, Indication, RuntimeModel, ThetaTerms
from cloudai_rts.prediction import COLD_ALLOWED, COLD_DECLARED

DAY_STEPS: Final = 2.5
"""Steps of a release that a day may add up to."""
_Known = TypeVar("_Known", Indication, IdentityRecord)
FADING: Final = 0.995
"""Half of it is left after 139 releases: about a day with a release every ten minutes."""
STEP_U: Final = 1.0
STEP_V: Final = 0.6
STEP_SIGMA: Final = 0.195
STEP_BIAS: Final = 1.0
STEP_SHARE: Final = 0.1
STEP_LOG_TAU: Final = 2.5
STEP_TAU: Final = 2.0
STEP_THETA: Final = 0.5
STEP_KAPPA: Final = 0.5
STEP_SHAPE: Final = 0.6
STEP_MU: Final = 2.0
STEP_SCORE: Final = 1.0
"""Of AffinityMatrix and PenaltyVector."""
REMEMBERED: Final = 2_000
"""Identities, and users, in one document: each takes about 100 bytes of the 900 KiB that a ConfigMap may have."""
_WEIGHT_RANGES: Final[Mapping[str, tuple[float, ...]]] = {
    "Lateness": (200.0, 5.0, 10.0, 10.0, 10.0, 0.98, 5.0, 5.0),
    "Risk": (1000.0, 100.0),
    "AffinityW": (10.0, 10.0, 10.0),
    "PenaltyW": (10.0, 10.0, 10.0, 10.0),
}
_WEIGHT_SHARE: Final = 0.25


def kept(new: Document, old: Document) -> Document:
    """What was learned, and what is known already of types, classes, nodes that it does not name."""
    runtime, known = new.Runtime, old.Runtime
    whole = msgspec.structs.replace(
        runtime,
        U=_rows_kept(runtime.U, known.U),
        V={**known.V, **runtime.V},
        Sigma={**known.Sigma, **runtime.Sigma},
        Counts=_rows_kept(runtime.Counts, _faded(known.Counts, set(runtime.U))),
        Declared=_remembered(runtime.Declared, known.Declared),
        DeclaredOf={**known.DeclaredOf, **runtime.DeclaredOf},
        Allowed=_remembered(runtime.Allowed, known.Allowed),
        AllowedOf={**known.AllowedOf, **runtime.AllowedOf},
        Identity=_remembered(runtime.Identity, known.Identity),
        Shape=_rows_kept(runtime.Shape, known.Shape),
    )
    return msgspec.structs.replace(new, Runtime=whole, Tau={**old.Tau, **new.Tau})


def _faded(counts: Mapping[str, dict[str, float]], used: set[str]) -> dict[str, dict[str, float]]:
    """Types that nobody runs fade from release to release, so that those in use outlive them where room is short."""
    return {
        name: row if name in used else {key: round(FADING * count, 2) for key, count in row.items()}
        for name, row in counts.items()
    }


def _remembered(new: Mapping[str, _Known], old: Mapping[str, _Known]) -> dict[str, _Known]:
    """What the window shows, and what it does not show any more, the best known as far as there is room."""
    gone = {name: msgspec.structs.replace(one, N=round(FADING * one.N, 2)) for name, one in old.items()}
    whole = {**gone, **new}
    best = sorted(whole, key=lambda name: (name != EVERYBODY, name not in new, -whole[name].N, name))[:REMEMBERED]
    return {name: whole[name] for name in best}


def _rows_kept(new: Mapping[str, dict[str, float]], old: Mapping[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {**old.get(name, {}), **new.get(name, {})} for name in sorted({*new, *old})}


def learned_within(new: Document, origin: Document, steps: float) -> Document:
    """What was learned, no further than so many steps from `origin`."""
    runtime, old = new.Runtime, origin.Runtime
    near: RuntimeModel = msgspec.structs.replace(
        runtime,
        Kappa=round(_near(runtime.Kappa, old.Kappa, steps * STEP_KAPPA), 4),
        Mu=round(_near(runtime.Mu, old.Mu, steps * STEP_MU), 4),
        U={name: _row_near(row, old.U.get(name, {}), steps * STEP_U, 0.0) for name, row in runtime.U.items()},
        V=_row_near(runtime.V, old.V, steps * STEP_V, 0.0),
        Sigma=_row_near(runtime.Sigma, old.Sigma, steps * STEP_SIGMA),
        Declared=_indications_near(runtime.Declared, old.Declared, COLD_DECLARED, steps),
        DeclaredOf=_row_near(runtime.DeclaredOf, old.DeclaredOf, steps * STEP_BIAS, 0.0),
        Allowed=_indications_near(runtime.Allowed, old.Allowed, COLD_ALLOWED, steps),
        AllowedOf=_row_near(runtime.AllowedOf, old.AllowedOf, steps * STEP_BIAS, 0.0),
        Identity={name: _identity_near(one, old.Identity.get(name), steps) for name, one in runtime.Identity.items()},
        Shape={
            name: _row_near(row, old.Shape.get(name, {}), steps * STEP_SHAPE, 0.0)
            for name, row in runtime.Shape.items()
        },
    )
    tau = {
        name: round(_within(value, origin.Tau.get(name), math.pow(STEP_TAU, steps)), 3)
        for name, value in new.Tau.items()
    }
    theta = zip(msgspec.structs.astuple(new.Theta), msgspec.structs.astuple(origin.Theta), strict=True)
    return msgspec.structs.replace(
        new,
        Runtime=near,
        Tau=tau,
        Theta=ThetaTerms(*(round(_near(value, before, steps * STEP_THETA), 4) for value, before in theta)),
    )


def scores_within(new: Document, origin: Document, steps: float) -> Document:
    """AffinityMatrix and PenaltyVector (EDD 5.3, 5.4) no further than so many steps from those of `origin`.

    A cell that it does not have counts from a usual machine's: as fast as any, never late, never overloaded.
    """
    affinity = min(MAX_AFFINITY, origin.AffinityW.A1 + origin.AffinityW.A2)
    matrix = {
        name: _row_near(row, origin.AffinityMatrix.get(name, {}), steps * STEP_SCORE, affinity)
        for name, row in new.AffinityMatrix.items()
    }
    usual = origin.PenaltyW.G3 - origin.PenaltyW.G4
    vector = _row_near(new.PenaltyVector, origin.PenaltyVector, steps * STEP_SCORE, usual)
    return msgspec.structs.replace(new, AffinityMatrix=matrix, PenaltyVector=vector)


def scores_near(new: Document, before: Document, lately: Iterable[Document]) -> Document:
    """Scores within a release's step of what was in force, and a day's of what they were `lately`."""
    near = scores_within(new, before, 1.0)
    for origin in lately:
        near = scores_within(near, origin, DAY_STEPS)
    return near


def weights_within_a_day(new: Document, origin: Document) -> Document:
    """Weights no further than a quarter of their range from those a day ago. Keeps the order of ordered ones."""
    changed: dict[str, object] = {}
    for group, ranges in _WEIGHT_RANGES.items():
        values, before = msgspec.structs.astuple(getattr(new, group)), msgspec.structs.astuple(getattr(origin, group))
        near = [
            _near(value, old, _WEIGHT_SHARE * size) for value, old, size in zip(values, before, ranges, strict=True)
        ]
        changed[group] = type(getattr(new, group))(*near)
    return msgspec.structs.replace(new, **changed)


def _near(value: float, before: float, step: float) -> float:
    return min(before + step, max(before - step, value))


def _within(value: float, before: float | None, factor: float) -> float:
    return value if before is None else min(before * factor, max(before / factor, value))


def _row_near(
    new: Mapping[str, float], old: Mapping[str, float], step: float, unknown: float | None = None
) -> dict[str, float]:
    return {
        name: round(_near(value, old.get(name, value if unknown is None else unknown), step), 3)
        for name, value in new.items()
    }


def _indications_near(
    new: Mapping[str, Indication], old: Mapping[str, Indication], cold: Indication, steps: float
) -> dict[str, Indication]:
    known = {EVERYBODY: cold, **old}
    return {name: _indication_near(one, known[name], steps) if name in known else one for name, one in new.items()}


def _indication_near(new: Indication, old: Indication, steps: float) -> Indication:
    bias, sd = _near(new.Bias, old.Bias, steps * STEP_BIAS), _near(new.Sd, old.Sd, steps * STEP_SIGMA)
    share = _near(new.Share, old.Share, steps * STEP_SHARE)
    return Indication(round(bias, 3), round(sd, 3), new.N, round(share, 3))


def _identity_near(new: IdentityRecord, old: IdentityRecord | None, steps: float) -> IdentityRecord:
    if old is None:
        return new
    log_tau, sd = _near(new.LogTau, old.LogTau, steps * STEP_LOG_TAU), _near(new.Sd, old.Sd, steps * STEP_SIGMA)
    return IdentityRecord(round(log_tau, 3), round(sd, 3), new.N)
