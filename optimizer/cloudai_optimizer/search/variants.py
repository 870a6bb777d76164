"""Variants of the genetic algorithm (source document M4): a mutation that adapts, and islands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_optimizer.search.genetic import Generation, GeneticSearch, Mutation, generation
from cloudai_rts.arrays import FloatArray

MIGRATION_GENERATIONS: Final = 3
STALLED_GENERATIONS: Final = 3
STALLED_FACTOR: Final = 3.0
NO_GAIN: Final = 1e-12


@dataclass(frozen=True, slots=True)
class AdaptiveMutation(Mutation):
    """More genes mutate while nothing gets better."""

    def rate_after(self, history: Sequence[Generation]) -> float:
        """The rate, three times as high while the last generations have not got better."""
        stalled = (
            len(history) >= STALLED_GENERATIONS and history[-1].best <= history[-STALLED_GENERATIONS].best + NO_GAIN
        )
        return self.rate * (STALLED_FACTOR if stalled else 1.0)


@dataclass(slots=True)
class Islands:
    """M4's islands: populations that breed apart; every few generations the best of each moves on to the next."""

    searches: Sequence[GeneticSearch]
    history: list[Generation] = field(default_factory=list)

    @property
    def best(self) -> FloatArray:
        """The best member of all islands."""
        return max(self.searches, key=lambda search: search.best_fitness).best

    def ask(self) -> FloatArray:
        """The candidates of all islands."""
        return np.concatenate([search.ask() for search in self.searches])

    def tell(self, fitness: FloatArray, shown: FloatArray | None = None) -> Generation:
        """Every island breeds; then, now and then, the best move on."""
        figures = generation(len(self.history) + 1, fitness if shown is None else shown)
        self.history.append(figures)
        begin = 0
        for search in self.searches:
            search.tell(fitness[begin : begin + search.size])
            begin += search.size
        if figures.number % MIGRATION_GENERATIONS == 0:
            best = [search.best.copy() for search in self.searches]
            for index, search in enumerate(self.searches):
                search.receive(best[index - 1])
        return figures


def islands(
    rng: np.random.Generator, seeds: Sequence[FloatArray], size: int, count: int, mutation: Mutation
) -> Islands:
    """Share a population out; each island begins with all seeds."""
    sizes = [size // count + (index < size % count) for index in range(count)]
    return Islands([GeneticSearch(rng, seeds, share, mutation) for share in sizes])
