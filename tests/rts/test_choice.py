"""Argmin with fair ties, and round-robin."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_rts import choice
from cloudai_rts.choice import Rotation
from cloudai_rts.errors import UndecidableError


@given(st.integers(2, 12), st.integers(1, 5))
def test_equal_nodes_are_shared_evenly(nodes: int, rounds: int) -> None:
    """After k rounds over n equal nodes each was chosen k times."""
    rotation, slots = Rotation(), np.arange(nodes)
    chosen = Counter(choice.lowest(np.zeros(nodes), slots, rotation) for _ in range(nodes * rounds))
    assert set(chosen.values()) == {rounds}


@given(st.permutations(list(range(6))))
def test_ties_do_not_depend_on_the_order_of_nodes(order: list[int]) -> None:
    """Whatever order the nodes come in, the equal best ones get equal shares and the others nothing."""
    risk = np.array([1.0 if node < 3 else 2.0 for node in order])
    rotation = Rotation()
    chosen = Counter(order[choice.lowest(risk, np.arange(6), rotation)] for _ in range(30))
    assert chosen == {0: 10, 1: 10, 2: 10}


def test_the_lowest_wins() -> None:
    """A clear winner is chosen each time."""
    rotation = Rotation()
    assert {choice.lowest(np.array([3.0, 1.0, 2.0]), np.array([4, 7, 9]), rotation) for _ in range(5)} == {7}


def test_nan_and_infinity_never_win() -> None:
    """Unusable scores are left out; if all are unusable, RTS cannot decide."""
    slots = np.arange(3)
    assert choice.lowest(np.array([np.nan, -np.inf, 5.0]), slots, Rotation()) == 2
    with pytest.raises(UndecidableError):
        choice.lowest(np.array([np.nan, np.inf, -np.inf]), slots, Rotation())


def test_runner_up() -> None:
    """The best of the others, None if there is none."""
    assert choice.runner_up(np.array([3.0, 1.0, 2.0]), np.arange(3), 1) == (2, 2.0)
    assert choice.runner_up(np.array([1.0]), np.arange(1), 0) is None
