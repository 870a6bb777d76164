"""Two aims at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_optimizer.search import pareto

POINTS = np.array([[3.0, 5.0], [2.0, 3.0], [1.0, 1.0], [1.0, 4.0], [0.0, 6.0]])
"""Quality, energy: the first three are the front, the fourth is behind the second, the last behind all."""


def test_fronts_by_hand() -> None:
    """A candidate that is beaten in both aims comes later."""
    assert pareto.ranks(POINTS).tolist() == [0, 0, 0, 1, 2]


@pytest.mark.parametrize(("weight", "chosen"), [(0.0, 0), (1.0, 2), (0.5, 1)])
def test_the_point_that_somebody_wants(weight: float, chosen: int) -> None:
    """Quality alone, energy alone, and the middle of a bent front."""
    bent = POINTS.copy()
    bent[1] = [2.5, 2.0]
    assert pareto.pick(bent, weight) == chosen


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 2)), min_size=1, max_size=30))
def test_selection_prefers_better_fronts(points: list[tuple[float, float]]) -> None:
    """Whatever the crowding."""
    array = np.array(points)
    rank, chosen = pareto.ranks(array), pareto.selection(array)
    for one in range(len(array)):
        for other in range(len(array)):
            if rank[one] < rank[other]:
                assert chosen[one] > chosen[other]
