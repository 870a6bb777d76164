"""The genetic algorithm of the source document, as ask and tell: who evaluates the candidates is not its business.

Population 20, 10 generations, tournament of 3, uniform crossover with probability .7 (half of the genes swapped),
Gaussian mutation of one gene in ten, the best two survive.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from cloudai_rts.arrays import FloatArray

SIZE: Final = 20
GENERATIONS: Final = 10
TOURNAMENT: Final = 3
CROSSOVER: Final = 0.7
ELITE: Final = 2
NEIGHBOUR_SD: Final = 0.1


@dataclass(frozen=True, slots=True)
class Mutation:
    """Share of the genes that mutate, and how far: sd in gene space (the source document's is .1, the model's .15)."""

    rate: float = 0.1
    sd: float = 0.15

    def rate_after(self, _history: Sequence["Generation"]) -> float:
        """The rate after these generations: always the same."""
        return self.rate


USUAL: Final = Mutation()


@dataclass(frozen=True, slots=True)
class Generation:
    """Best, mean and worst fitness of one generation."""

    number: int
    best: float
    mean: float
    worst: float


def generation(number: int, fitness: FloatArray) -> Generation:
    """Figures of one generation."""
    finite = fitness[np.isfinite(fitness)]
    if not len(finite):
        return Generation(number, -np.inf, -np.inf, -np.inf)
    return Generation(number, float(finite.max()), float(finite.mean()), float(finite.min()))


class Search(Protocol):
    """What proposes candidates and learns how good they are."""

    @property
    def best(self) -> FloatArray:
        """The best member so far."""

    @property
    def history(self) -> list[Generation]:
        """All generations so far."""

    def ask(self) -> FloatArray:
        """The candidates to evaluate, [members, genes]."""

    def tell(self, fitness: FloatArray, shown: FloatArray | None = None) -> Generation:
        """Take their fitness; `shown` is what the log says, where that is not fitness."""


@dataclass(slots=True)
class GeneticSearch:
    """Maximises a fitness over [0, 1]^n. `seeds` are members of the first population; the rest are their neighbours."""

    rng: np.random.Generator
    seeds: Sequence[FloatArray]
    size: int = SIZE
    mutation: Mutation = USUAL
    best: FloatArray = field(init=False)
    best_fitness: float = -np.inf
    history: list[Generation] = field(default_factory=list)
    _population: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        known = [np.clip(seed, 0.0, 1.0) for seed in self.seeds][: self.size]
        others = []
        for index in range(self.size - len(known)):
            parent = known[index % len(known)]
            wide = index % 3 == 2  # every third one is far away, or the search would only polish what there is
            spread = self.rng.random(len(parent)) if wide else parent + self.rng.normal(0, NEIGHBOUR_SD, len(parent))
            others.append(_reflected(np.asarray(spread)))
        self._population = np.stack([*known, *others])
        self.best = self._population[0].copy()

    def ask(self) -> FloatArray:
        """The candidates to evaluate, [size, genes]."""
        return self._population

    def tell(self, fitness: FloatArray, shown: FloatArray | None = None) -> Generation:
        """Take their fitness and breed the next generation. `shown` is what the log says, where that is not fitness."""
        usable = np.where(np.isfinite(fitness), fitness, -np.inf)
        order = np.argsort(-usable, kind="stable")
        if usable[order[0]] > self.best_fitness:
            self.best_fitness = float(usable[order[0]])
            self.best = self._population[order[0]].copy()
        figures = generation(len(self.history) + 1, usable if shown is None else shown)
        self.history.append(figures)
        children = [self._population[index] for index in order[:ELITE]]
        while len(children) < self.size:
            children.extend(self._pair(usable))
        self._population = np.stack(children[: self.size])
        return figures

    def receive(self, migrant: FloatArray) -> None:
        """A member from elsewhere takes the place of the last child."""
        self._population[-1] = migrant

    def _pair(self, fitness: FloatArray) -> tuple[FloatArray, FloatArray]:
        mother, father = self._select(fitness).copy(), self._select(fitness).copy()
        if self.rng.random() < CROSSOVER:
            swapped = self.rng.random(len(mother)) < 0.5
            mother[swapped], father[swapped] = father[swapped], mother[swapped].copy()
        return self._mutate(mother), self._mutate(father)

    def _select(self, fitness: FloatArray) -> FloatArray:
        chosen = self.rng.integers(0, len(fitness), TOURNAMENT)
        winner = self._population[chosen[np.argmax(fitness[chosen])]]
        return np.asarray(winner, np.float64)

    def _mutate(self, genes: FloatArray) -> FloatArray:
        hit = self.rng.random(len(genes)) < self.mutation.rate_after(self.history)
        return _reflected(np.where(hit, genes + self.rng.normal(0.0, self.mutation.sd, len(genes)), genes))


def _reflected(genes: FloatArray) -> FloatArray:
    """Values beyond a bound come back from it: clipping would pile them up there."""
    inside = np.abs(np.mod(genes + 1.0, 2.0) - 1.0)
    return np.clip(np.where(genes > 1.0, 2.0 - genes, inside), 0.0, 1.0)
