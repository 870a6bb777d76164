"""Everything that is learned from records, as a document: run times first, then what the `hinge` rule reads.

No release moves a value further than its step (contracts): whoever poisons the history must do so for a long time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from cloudai_optimizer.fit import affinity, declared, runtime, theta
from cloudai_optimizer.fit.affinity import Tallies
from cloudai_optimizer.fit.runtime import MAX_U, MAX_V, RuntimeFit
from cloudai_optimizer.fit.samples import Samples, collect
from cloudai_rts.arrays import FloatArray
from cloudai_rts.history import SUCCEEDED, Record
from cloudai_rts.parameters import HINGE, Document, RuntimeModel, ThetaTerms

STEP_U: Final = 1.0
STEP_V: Final = 0.6
STEP_SIGMA: Final = 0.2
STEP_TAU: Final = 2.0
STEP_THETA: Final = 0.5
STEP_KAPPA: Final = 0.5
STEP_MU: Final = 2.0
"""A tenth of each range, and a factor of two for tau; a cell's first value may be anything within its bounds."""


@dataclass(frozen=True, slots=True)
class Learned:
    """The document with everything learned in it, what it was learned from, and how well it explains that."""

    document: Document
    samples: Samples
    fit: RuntimeFit
    tallies: Tallies
    energy: Mapping[str, float]
    quality: dict[str, float]


def from_records(
    records: Sequence[Record], incumbent: Document, cores: Mapping[str, float], energy: Mapping[str, float]
) -> Learned:
    """Fit everything. `cores` by node; `energy` is what each node draws, in any one unit, empty if not measured."""
    samples = collect(records, cores)
    known = incumbent.Runtime.ReferenceClass
    first = runtime.fit(samples, reference_class=known)
    errors = declared.declared_errors(samples, first.log_node_factor(samples))
    same = declared.identities(samples, first.log_node_factor(samples), first.log_tau)
    base = declared.base(samples, errors, same, first.sigma)
    found = runtime.fit(samples, base, known, first.log_tau) if not np.isnan(base).all() else first
    terms = runtime.model_terms(samples, found)
    old = incumbent.Runtime
    model = RuntimeModel(
        ReferenceClass=samples.classes[found.reference] if samples.classes else known,
        Kappa=round(_near(found.kappa, old.Kappa, STEP_KAPPA), 4),
        Mu=round(_near(found.mu, old.Mu, STEP_MU), 4),
        U=_table_near(terms["U"], old.U, STEP_U),
        V=_row_near(terms["V"], {name: v for name, v in old.V.items() if name in cores}, STEP_V, MAX_V),
        Sigma=_row_near(terms["Sigma"], old.Sigma, STEP_SIGMA),
        Counts=terms["Counts"],
        Declared=errors,
        Identity=same,
    )
    tau = {name: round(_within(value, incumbent.Tau.get(name), STEP_TAU), 3) for name, value in terms["Tau"].items()}
    tallies = affinity.tally(records)
    fitted = theta.fit(*_regression(records, samples, first))
    # Tau belongs to both rules: the intercept is folded into it only where `hinge` is the one that reads it.
    folds = incumbent.model == HINGE
    tau = {name: round(value * (fitted.tau_factor if folds else 1.0), 3) for name, value in tau.items()}
    document = msgspec.structs.replace(
        incumbent,
        Runtime=model,
        Tau={**incumbent.Tau, **tau},
        Theta=_theta_near(fitted.theta if folds else fitted.unfolded(), incumbent.Theta),
    )
    expected = np.where(np.isnan(base), found.log_tau[samples.type], base)
    quality = {
        "R2": runtime.r_squared(samples, expected + found.log_node_factor(samples)),
        "R2TauAlone": runtime.r_squared(samples, first.log_tau[samples.type]),
        "ResidualSd": float(np.std(found.residual)) if len(samples) else 0.0,
    }
    return Learned(affinity.scored(document, tallies, energy), samples, found, tallies, energy, quality)


def keep_weights(document: Document, weights: Document) -> Document:
    """What was learned, with the weights of another document."""
    return msgspec.structs.replace(
        document,
        Lateness=weights.Lateness,
        Risk=weights.Risk,
        AffinityW=weights.AffinityW,
        PenaltyW=weights.PenaltyW,
    )


def _regression(records: Sequence[Record], samples: Samples, found: RuntimeFit) -> tuple[FloatArray, FloatArray]:
    """Features and target of EDD 4.3: request over what was available, load at the start; actual / tau - 1."""
    ordered = sorted(records, key=lambda record: (record.finish, record.pod_uid))
    ended = [(index, record) for index, record in enumerate(ordered) if record.outcome == SUCCEEDED]
    features = np.array(
        [
            [
                _ratio(record.cpu, record.available.cpu),
                _ratio(record.memory, record.available.memoryBytes),
                _ratio(record.gpu, record.available.gpu),
                record.load,
            ]
            for _, record in ended
        ],
        np.float64,
    ).reshape(-1, 4)
    tau = np.exp(found.log_tau[samples.type[[index for index, _ in ended]]])
    actual = np.array([record.runtime for _, record in ended])
    return features, actual / tau - 1.0


def _ratio(requested: float, available: float) -> float:
    if requested <= 0:
        return 0.0
    return requested / available if available > 0 else float("nan")


def _near(value: float, before: float, step: float) -> float:
    return min(before + step, max(before - step, value))


def _within(value: float, before: float | None, factor: float) -> float:
    return value if before is None else min(before * factor, max(before / factor, value))


def _row_near(
    new: Mapping[str, float], old: Mapping[str, float], step: float, limit: float = MAX_U
) -> dict[str, float]:
    """New values within a step of the old ones and within their bounds; what is not seen any more stays as it was."""
    near = {name: _near(value, old.get(name, value), step) for name, value in new.items()}
    return {**old, **{name: round(min(limit, max(-limit, value)), 3) for name, value in near.items()}}


def _table_near(
    new: Mapping[str, Mapping[str, float]], old: Mapping[str, Mapping[str, float]], step: float
) -> dict[str, dict[str, float]]:
    names = {*new, *old}
    return {name: _row_near(new.get(name, {}), old.get(name, {}), step) for name in sorted(names)}


def _theta_near(new: ThetaTerms, old: ThetaTerms) -> ThetaTerms:
    values = zip(msgspec.structs.astuple(new), msgspec.structs.astuple(old), strict=True)
    return ThetaTerms(*(round(_near(value, before, STEP_THETA), 4) for value, before in values))
