"""The genetic algorithm finds the top of a hill, forgets nothing, and is the same for the same seed."""

import numpy as np

from cloudai_optimizer.search.genetic import GENERATIONS, GeneticSearch

TOP = np.array([0.8, 0.2, 0.5, 0.9, 0.1, 0.6])


def hill(population: np.ndarray) -> np.ndarray:
    """Height of each member; 0 is the top."""
    return np.asarray(-((population - TOP) ** 2).sum(axis=1))


def climb(seed: int, generations: int = GENERATIONS) -> GeneticSearch:
    """A search of ten generations from the middle."""
    search = GeneticSearch(np.random.default_rng(seed), [np.full(6, 0.5)])
    for _ in range(generations):
        search.tell(hill(search.ask()))
    return search


def test_it_climbs() -> None:
    """The best of each generation never falls, and ends far above the start."""
    for seed in range(5):
        best = [generation.best for generation in climb(seed).history]
        assert best == sorted(best)
        assert best[-1] > 0.4 * float(hill(np.full((1, 6), 0.5))[0])


def test_same_seed_same_search() -> None:
    """Bit for bit."""
    assert np.array_equal(climb(3).best, climb(3).best)
    assert not np.array_equal(climb(3).best, climb(4).best)


def test_genes_stay_in_bounds() -> None:
    """Reflected, not piled up at the edge."""
    search = climb(1, generations=30)
    assert (search.ask() >= 0).all()
    assert (search.ask() <= 1).all()


def test_a_fitness_that_is_no_number_never_wins() -> None:
    """NaN and infinity count as worst."""
    search = GeneticSearch(np.random.default_rng(1), [np.full(6, 0.5)])
    fitness = hill(search.ask())
    fitness[0], fitness[1] = np.nan, np.inf
    search.tell(fitness)
    assert np.isfinite(search.best_fitness)
