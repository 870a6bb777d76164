"""The genetic algorithm of the source document, as ask and tell: who evaluates the candidates is not its business.

Population 20, 10 generations, tournament of 3, uniform crossover with probability .7 (half of the genes swapped),
Gaussian mutation of one gene in ten, the best two survive.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray

SIZE: Final = 20
GENERATIONS: Final = 10
TOURNAMENT: Final = 3
CROSSOVER: Final = 0.7
MUTATION_RATE: Final = 0.1
MUTATION_SD: Final = 0.15
ELITE: Final = 2
NEIGHBOUR_SD: Final = 0.1


@dataclass(frozen=True, slots=True)
class Generation:
    """Best, mean and worst fitness of one generation."""

    number: int
    best: float
    mean: float
    worst: float


@dataclass(slots=True)
class GeneticSearch:
    """Maximises a fitness over [0, 1]^n. `seeds` are members of the first population; the rest are their neighbours."""

    rng: np.random.Generator
    seeds: Sequence[FloatArray]
    size: int = SIZE
    mutation_rate: float = MUTATION_RATE
    mutation_sd: float = MUTATION_SD
    adaptive: bool = False
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

    def tell(self, fitness: FloatArray) -> Generation:
        """Take their fitness and breed the next generation."""
        usable = np.where(np.isfinite(fitness), fitness, -np.inf)
        order = np.argsort(-usable, kind="stable")
        if usable[order[0]] > self.best_fitness:
            self.best_fitness = float(usable[order[0]])
            self.best = self._population[order[0]].copy()
        finite = usable[np.isfinite(usable)]
        shown = Generation(
            len(self.history) + 1,
            float(finite.max()) if len(finite) else -np.inf,
            float(finite.mean()) if len(finite) else -np.inf,
            float(finite.min()) if len(finite) else -np.inf,
        )
        self.history.append(shown)
        children = [self._population[index] for index in order[:ELITE]]
        while len(children) < self.size:
            children.extend(self._pair(usable))
        self._population = np.stack(children[: self.size])
        return shown

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
        hit = self.rng.random(len(genes)) < self.mutation_rate * self._pressure()
        return _reflected(np.where(hit, genes + self.rng.normal(0.0, self.mutation_sd, len(genes)), genes))

    def _pressure(self) -> float:
        """M4's adaptive mutation: more of it while nothing gets better."""
        if not self.adaptive or len(self.history) < 3:
            return 1.0
        stalled = self.history[-1].best <= self.history[-3].best + 1e-12
        return 3.0 if stalled else 1.0


def _reflected(genes: FloatArray) -> FloatArray:
    """Values beyond a bound come back from it: clipping would pile them up there."""
    inside = np.abs(np.mod(genes + 1.0, 2.0) - 1.0)
    return np.clip(np.where(genes > 1.0, 2.0 - genes, inside), 0.0, 1.0)
