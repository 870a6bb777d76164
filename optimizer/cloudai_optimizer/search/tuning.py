"""Search of the weights and the guard's word on what it finds: tuned on some windows of history, judged on others."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from cloudai_optimizer.fit.learn import Learned
from cloudai_optimizer.judge import guard
from cloudai_optimizer.judge.guard import Verdict
from cloudai_optimizer.release import limits
from cloudai_optimizer.release.reach import Reach
from cloudai_optimizer.rules import Rules
from cloudai_optimizer.search import fitness, genes, pareto, variants
from cloudai_optimizer.search.fitness import Evaluation, Stage
from cloudai_optimizer.search.genetic import Generation, GeneticSearch, Search
from cloudai_rts.arrays import FloatArray
from cloudai_rts.history import Record
from cloudai_rts.machine import Machine
from cloudai_rts.parameters import Document, defaults
from cloudai_rts.replay import recorded

SHARE_OF_TASKS: Final = 30
"""A window for tuning has this part of the tasks: hundreds of replays of it must not take longer than what follows."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best weights that were found (in a whole document), how they were found, and whether they may be used."""

    document: Document
    generations: list[Generation]
    verdict: Verdict


def tune(
    records: Sequence[Record],
    machines: Sequence[Machine],
    learned: Learned,
    reach: Reach | None,
    rules: Rules,
    rng: np.random.Generator,
    executor: Executor,
    progress: Callable[[Generation], None] = lambda _generation: None,
) -> Tuned:
    """Tune the weights on every other window; let the guard judge them on the windows in between."""
    before = learned.document
    works = recorded.recover(records, before, machines)
    longest = min(rules.window_tasks, max(rules.least_window_tasks, len(works) // SHARE_OF_TASKS))
    tuned = recorded.split(works, rules.windows, longest)[0::2]
    judged = recorded.split(works, rules.windows, rules.guard_tasks)[1::2]
    tuning, held_out = (fitness.stage(machines, windows, learned, rules.energy) for windows in (tuned, judged))
    seeds = [genes.encode(before, before), genes.encode(_default_weights(before), before)]
    evaluation = Evaluation(executor, tuning, rules.fitness, rules.edd_weights)
    best, generations = _best(evaluation, rules, seeds, rng, progress)
    candidate = genes.decode(best, before)
    for origin in [] if reach is None else reach.origins():
        candidate = limits.weights_within_a_day(candidate, origin)
    lately = [] if reach is None else reach.scored()
    candidate = limits.scores_near(fitness.scored(candidate, learned), learned.before, lately)
    return Tuned(candidate, generations, _judged(executor, held_out, before, candidate, rules))


def _best(
    evaluation: Evaluation,
    rules: Rules,
    seeds: Sequence[FloatArray],
    rng: np.random.Generator,
    progress: Callable[[Generation], None],
) -> tuple[FloatArray, list[Generation]]:
    """The genes that the search ends with, and how it went."""
    search: Search = GeneticSearch(rng, seeds, rules.population, rules.mutation)
    if rules.islands > 1:
        search = variants.islands(rng, seeds, rules.population, rules.islands, rules.mutation)
    for _ in range(rules.generations):
        scores = evaluation.of(search.ask())
        selected = pareto.selection(scores) if rules.fitness == fitness.PARETO else scores[:, 0]
        progress(search.tell(selected, scores[:, 0]))
    if rules.fitness == fitness.PARETO:
        members, points = evaluation.archive()
        return members[pareto.pick(points, rules.energy_weight)], search.history
    return search.best, search.history


def _judged(executor: Executor, held_out: Stage, before: Document, candidate: Document, rules: Rules) -> Verdict:
    """The guard's word. With energy in the fitness it accepts what saves some and misses no more deadlines."""
    old, new = fitness.judge(executor, held_out, [before, candidate])
    if rules.fitness == fitness.PARETO and rules.energy_weight > 0:
        saved = 1.0 - new.energy_joules() / max(old.energy_joules(), 1e-9)
        if saved >= guard.MIN_ENERGY_SAVED:
            return guard.judge(old.late, new.late, -guard.MIN_GAIN)
    return guard.judge(old.late, new.late)


def _default_weights(document: Document) -> Document:
    built_in = defaults()
    return msgspec.structs.replace(
        document,
        Lateness=built_in.Lateness,
        Risk=built_in.Risk,
        AffinityW=built_in.AffinityW,
        PenaltyW=built_in.PenaltyW,
    )
