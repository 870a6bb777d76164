"""Everything that is learned from records, as a document: run times first, then what the `hinge` rule reads.

No release moves a value further than its step (contracts): poisoning the history takes effect only over a long time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from cloudai_kube import timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.node_use import NodeUse
from cloudai_optimizer.fit import affinity, identity, memory, runtime, scatter, tenancy, theta
from cloudai_optimizer.fit.affinity import Tallies
from cloudai_optimizer.fit.backfit import SHRINK_CLASS
from cloudai_optimizer.fit.indication import Expected, Words, heard, indications, says_something
from cloudai_optimizer.fit.memory import Memory
from cloudai_optimizer.fit.runtime import RuntimeFit
from cloudai_optimizer.fit.samples import Samples, collect
from cloudai_optimizer.release import limits
from cloudai_optimizer.release.reach import Reach
from cloudai_rts import history
from cloudai_rts.arrays import FloatArray
from cloudai_rts.history import SUCCEEDED, Record
from cloudai_rts.parameters import HINGE, Document, HistoryWindow, IdentityRecord, RuntimeModel
from cloudai_rts.prediction import COLD_ALLOWED, COLD_DECLARED, NODE_LOG_SD
from cloudai_rts.replay.energy import USUAL, EnergyRates
from cloudai_rts.task import MAX_LOG_SD, MIN_LOG_SD

PASSES: Final = 2
ROUNDING: Final = 0.002


@dataclass(frozen=True, slots=True)
class Learned:
    """The document with everything learned in it, what its scores rest on, and how well it explains the runs.

    `before` is what was in force, from which steps count.
    """

    document: Document
    before: Document
    tallies: Tallies
    use: NodeUse
    quality: dict[str, float]


def from_records(
    records: Sequence[Record],
    incumbent: Document,
    cores: Mapping[str, float],
    use: NodeUse,
    reach: Reach | None = None,
    now: float = math.inf,
    remembered_runs: float = memory.REMEMBERED,
    energy: EnergyRates = USUAL,
) -> Learned:
    """Fit everything. `cores` by node; `use` is what was measured of the nodes; `now` in seconds since the epoch.

    The result stays within a step of the `incumbent` and within a day's `reach`. What the window lacks counts as
    `remembered_runs` at most; `energy` stands for watts that nobody measured.
    """
    samples = collect(records, cores)
    known = incumbent.Runtime.ReferenceClass
    reference = runtime.reference_of(samples, known)
    samples = tenancy.balanced(samples, np.zeros(0), SHRINK_CLASS)
    cells = memory.remember(samples, incumbent.Runtime, read_until(incumbent), reference, remembered_runs)
    samples = tenancy.balanced(samples, cells.runs, SHRINK_CLASS)
    first = runtime.fit(samples, reference_class=known, known_cells=cells)
    runtimes = runtime.anchored(first, samples, known, incumbent.Runtime.U)
    for _ in range(PASSES):  # what users are wrong by and how fast nodes are depend on each other
        each = _each_task(samples, runtimes)
        if np.isnan(each.base).all():
            break
        runtimes = runtime.fit(samples, each.base, known, first.log_tau, cells)
        runtimes = runtime.anchored(runtimes, samples, known, incumbent.Runtime.U)
    terms = runtime.model_terms(samples, runtime.with_types(samples, runtimes))
    model = _model(known or (samples.classes[runtimes.reference] if samples.classes else ""), runtimes, terms, each)
    scattered = scatter.shape(samples, each.expected.log + runtimes.log_node_factor(samples), each.log_sd)
    model = msgspec.structs.replace(model, Shape=scattered)
    tallies = affinity.tally(records)
    use = affinity.with_proxy(use, records, energy)
    fitted = theta.fit(*_regression(records, samples, first))
    # Tau belongs to both rules: the intercept is folded into it only where `hinge` is the one that reads it.
    folds = incumbent.model == HINGE
    tau = {name: value * (fitted.tau_factor if folds else 1.0) for name, value in terms["Tau"].items()}
    document = msgspec.structs.replace(
        incumbent,
        Runtime=model,
        Tau=tau,
        Theta=fitted.theta if folds else fitted.unfolded(),
        Window=_window(records, now),
    )
    document = _limited(document, incumbent, reach, cores, cells, samples)
    expected = np.where(np.isnan(each.base), runtimes.log_tau[samples.type], each.base)
    quality = {
        "R2": runtime.r_squared(samples, expected + runtimes.log_node_factor(samples)),
        "R2TauAlone": runtime.r_squared(samples, first.log_tau[samples.type]),
        "ResidualSd": float(np.std(runtimes.residual)) if len(samples) else 0.0,
    }
    lately = [] if reach is None else reach.scored()
    document = limits.scores_near(affinity.scored(document, tallies, use), incumbent, lately)
    return Learned(document, incumbent, tallies, use, quality)


@dataclass(frozen=True, slots=True)
class _EachTask:
    """Knowledge of each task beyond its type (3.1a): users' words, identities, and `base`, ln seconds by sample.

    That is NaN where only the type is known. `expected` is what is known of each in the end, `log_sd` its spread as the
    scheduler has it, that of nodes included.
    """

    declared: Words
    allowed: Words
    identities: dict[str, IdentityRecord]
    base: FloatArray
    expected: Expected
    log_sd: FloatArray


def _model(reference: str, runtimes: RuntimeFit, terms: Mapping[str, dict[str, Any]], each: _EachTask) -> RuntimeModel:
    return RuntimeModel(
        ReferenceClass=reference,
        Kappa=runtimes.kappa,
        Mu=runtimes.mu,
        U=terms["U"],
        V=terms["V"],
        Sigma=terms["Sigma"],
        Counts=terms["Counts"],
        Declared=each.declared.users,
        DeclaredOf=each.declared.types,
        Allowed=each.allowed.users,
        AllowedOf=each.allowed.types,
        Identity=each.identities,
    )


def _each_task(samples: Samples, runtimes: RuntimeFit) -> _EachTask:
    """First tasks just like it, then what was declared, then the time allowed, each as it adds to what came before."""
    work, types = samples.log_runtime - runtimes.log_node_factor(samples), runtime.with_types(samples, runtimes)
    same = identity.identities(samples, work, types.log_tau)
    expected = identity.expected(samples, same, types.log_tau, types.sigma)
    is_same = expected.sd < types.sigma[samples.type]
    declared = indications(samples, work, samples.log_declared, expected, COLD_DECLARED)
    expected = heard(samples, samples.log_declared, declared, expected)
    allowed = indications(samples, work, samples.log_allowed, expected, COLD_ALLOWED)
    expected = heard(samples, samples.log_allowed, allowed, expected)
    by_words = says_something(samples, samples.log_declared, declared)
    by_words |= says_something(samples, samples.log_allowed, allowed)
    # History's own spread holds that of nodes, as the scheduler has it (`prediction.estimate`).
    log_sd = np.where(by_words, np.hypot(expected.sd, NODE_LOG_SD), expected.sd)
    base = np.where(is_same | by_words, expected.log, np.nan)
    return _EachTask(declared, allowed, same, base, expected, np.clip(log_sd, MIN_LOG_SD, MAX_LOG_SD))


def keep_weights(document: Document, weights: Document) -> Document:
    """What was learned, with the weights of another document."""
    return msgspec.structs.replace(
        document,
        Lateness=weights.Lateness,
        Risk=weights.Risk,
        AffinityW=weights.AffinityW,
        PenaltyW=weights.PenaltyW,
    )


def read_until(incumbent: Document) -> float:
    """The end of the last run that a document knows, seconds since the epoch; minus infinity if it does not say."""
    try:
        return -math.inf if incumbent.Window is None else timestamp.parse(incumbent.Window.To) + 0.001
    except FormatError:  # written by a person: all is new
        return -math.inf


def _window(records: Sequence[Record], now: float) -> HistoryWindow | None:
    """What was read. A clock that is ahead must not hide from the next epoch what ends until then."""
    ends = history.ends(records)
    if not ends:
        return None
    return HistoryWindow(timestamp.millis(min(ends)), timestamp.millis(min(now, max(ends))), len(ends))


def _limited(
    document: Document,
    incumbent: Document,
    reach: Reach | None,
    cores: Mapping[str, float],
    cells: Memory,
    samples: Samples,
) -> Document:
    """Within a release's step and a day's; machines that nobody remembers are forgotten."""
    known = _present(incumbent, cores)
    near = limits.learned_within(limits.kept(document, known), known, 1.0)
    for origin in [] if reach is None else reach.origins():
        near = limits.learned_within(near, origin, limits.DAY_STEPS)
    return _honest(near, document, incumbent, cells, samples)


def _honest(near: Document, learned: Document, incumbent: Document, cells: Memory, samples: Samples) -> Document:
    """Counts only of runs that really say what is published: where a limit cut u short, they say something else."""
    counts = {name: dict(row) for name, row in near.Runtime.Counts.items()}
    for c, name in enumerate(samples.types):
        for n, node_class in enumerate(samples.classes):
            wished = learned.Runtime.U.get(name, {}).get(node_class)
            if wished is None or abs(near.Runtime.U[name][node_class] - wished) < ROUNDING:
                continue
            before = incumbent.Runtime.Counts.get(name, {}).get(node_class, 0.0)
            counts.setdefault(name, {})[node_class] = before if cells.runs[c, n] > 0 else 0.0
    return msgspec.structs.replace(near, Runtime=msgspec.structs.replace(near.Runtime, Counts=counts))


def _present(document: Document, cores: Mapping[str, float]) -> Document:
    v = {name: value for name, value in document.Runtime.V.items() if name in cores}
    return msgspec.structs.replace(document, Runtime=msgspec.structs.replace(document.Runtime, V=v))


def _regression(records: Sequence[Record], samples: Samples, runtimes: RuntimeFit) -> tuple[FloatArray, FloatArray]:
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
    tau = runtimes.tau()[samples.type[[index for index, _ in ended]]]
    actual = np.array([record.runtime for _, record in ended])
    return features, actual / tau - 1.0


def _ratio(requested: float, available: float) -> float:
    if requested <= 0:
        return 0.0
    return requested / available if available > 0 else float("nan")
