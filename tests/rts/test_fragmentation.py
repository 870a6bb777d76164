"""GPUs that are free and of no use to anybody."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloudai_rts.fragmentation import REMEMBERED, RequestMix


def mix(*gpus: int) -> RequestMix:
    """A mix of requests."""
    found = RequestMix()
    for asked in gpus:
        found.note(asked)
    return found


def test_worked_out_by_hand() -> None:
    """Half of the tasks ask for 1, half for 4: three free GPUs are lost to the latter, 3 x .5; four to none."""
    known = mix(1, 4)
    assert known.stranded(np.array([0.0, 3.0, 4.0, 8.0])).tolist() == [0.0, 1.5, 0.0, 0.0]
    # One GPU taken of 4 leaves 3 (1.5 lost), of 8 leaves 7 (none lost), of 2 leaves 1: .5 lost instead of 1.
    assert known.added(np.array([4.0, 8.0, 2.0]), 1.0).tolist() == [1.5, 0.0, 0.0]


def test_without_experience_nothing_is_said() -> None:
    """The first tasks are placed without regard to it."""
    assert mix().added(np.array([1.0, 8.0]), 1.0).tolist() == [0.0, 0.0]


def test_old_requests_are_forgotten() -> None:
    """Only the last ones count."""
    known = mix(8, *[1] * REMEMBERED)
    assert known.stranded(np.array([1.0]))[0] == 0.0


@given(st.lists(st.integers(1, 100), max_size=600), st.integers(0, 16), st.integers(1, 16))
def test_never_negative_never_more_than_there_is(asked: list[int], free: int, gpus: int) -> None:
    """0 <= added <= GPUs that stay free."""
    added = float(mix(*asked).added(np.array([float(free)]), float(gpus))[0])
    assert 0.0 <= added <= max(0, free - gpus) + 1e-9
