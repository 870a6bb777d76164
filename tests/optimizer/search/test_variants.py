"""Islands share what they find; mutation adapts to a search that stands still."""

import numpy as np
import pytest
from tests.optimizer.search.test_genetic import hill

from cloudai_optimizer.search.genetic import GENERATIONS, USUAL, Generation
from cloudai_optimizer.search.variants import AdaptiveMutation, islands


@pytest.mark.parametrize(
    ("best", "rate"), [([], 0.1), ([5.0, 5.0], 0.1), ([1.0, 2.0, 3.0], 0.1), ([3.0, 3.0, 3.0], 0.3)]
)
def test_more_genes_mutate_while_nothing_gets_better(best: list[float], rate: float) -> None:
    """Three times as many once two generations have gained nothing."""
    history = [Generation(number, value, 0.0, 0.0) for number, value in enumerate(best, 1)]
    assert AdaptiveMutation().rate_after(history) == pytest.approx(rate)
    assert USUAL.rate_after(history) == 0.1


def test_islands_share_what_they_find() -> None:
    """Four islands of five: together as many members as one population, and the best of all is known."""
    found = islands(np.random.default_rng(1), [np.full(6, 0.5)], 20, 4, USUAL)
    assert len(found.ask()) == 20
    for _ in range(GENERATIONS):
        found.tell(hill(found.ask()))
    best = [one.best_fitness for one in found.searches]
    assert float(hill(found.best[None])[0]) == max(best)
    assert min(best) > float(hill(np.full((1, 6), 0.5))[0])
    assert [one.number for one in found.history] == list(range(1, GENERATIONS + 1))
