"""GPUs that are free and of no use to anybody."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloudai_rts.fragmentation import REMEMBERED, GpuRequest, RequestMix, Room

PLENTY = 1_000_000


def mix(*requests: GpuRequest) -> RequestMix:
    """A mix of requests."""
    found = RequestMix()
    for request in requests:
        found.note(request)
    return found


def only_gpus(*gpus: int) -> RequestMix:
    """A mix that asks for next to nothing besides GPUs."""
    return mix(*(GpuRequest(asked, 1, 1) for asked in gpus))


def room(*gpus: int, cpu: int = PLENTY, memory: int = PLENTY) -> Room:
    """Nodes with so many free GPUs."""
    size = len(gpus)
    return Room(np.array(gpus), np.full(size, cpu), np.full(size, memory))


def test_worked_out_by_hand() -> None:
    """Half of the tasks ask for 1, half for 4: three free GPUs are lost to the latter, 3 x .5; four to none."""
    known = only_gpus(1, 4)
    # One GPU taken of 4 leaves 3 (1.5 lost), of 8 leaves 7 (3 of them lost to the latter), of 2 leaves 1: .5 less.
    assert known.added(room(4, 8, 2), GpuRequest(1, 1, 1)).tolist() == [1.5, 1.5, 0.0]


def test_a_task_without_gpus_may_strand_some() -> None:
    """Four GPUs, 16 cores; each task takes one and 4 cores: 2 cores less lose one GPU, on 18 cores none."""
    known = mix(GpuRequest(1, 4_000, 1))
    ask = GpuRequest(0, 2_000, 0)
    assert known.added(room(4, cpu=16_000), ask).tolist() == [1.0]
    assert known.added(room(4, cpu=18_000), ask).tolist() == [0.0]


def test_memory_counts_too() -> None:
    """GPUs without memory beside them are of no use."""
    known = mix(GpuRequest(1, 1, 10))
    assert known.added(room(4, memory=20), GpuRequest(0, 0, 10)).tolist() == [1.0]
    assert known.added(room(4, memory=50), GpuRequest(0, 0, 10)).tolist() == [0.0]


def test_without_experience_nothing_is_said() -> None:
    """The first tasks are placed without regard to it."""
    assert mix().added(room(1, 8), GpuRequest(1, 1, 1)).tolist() == [0.0, 0.0]


def test_old_requests_are_forgotten() -> None:
    """Only the last ones count."""
    known = only_gpus(8, *[1] * (REMEMBERED + 32))
    assert known.added(room(9), GpuRequest(1, 1, 1))[0] == 0.0


@given(
    st.lists(st.tuples(st.integers(1, 100), st.integers(0, 64_000), st.integers(0, 1_000)), max_size=100),
    st.integers(0, 16),
    st.integers(0, 64_000),
    st.integers(0, 16),
)
def test_never_negative_never_more_than_there_is(
    asked: list[tuple[int, int, int]], free: int, cpu: int, gpus: int
) -> None:
    """0 <= added <= GPUs that stay free, whatever came before."""
    taken = min(gpus, free)
    known = mix(*(GpuRequest(*one) for one in asked))
    added = float(known.added(room(free, cpu=cpu), GpuRequest(taken, cpu // 2, 0))[0])
    assert 0.0 <= added <= free - taken + 1e-9


def test_one_tenant_does_not_decide_what_usually_comes() -> None:
    """Hundreds of requests of one tenant that wait weigh as its share: tasks of others are still known."""
    known = RequestMix()
    for tenant in range(4):
        for _ in range(8):
            known.note(GpuRequest(4, 1, 1), f"tenant-{tenant}")
    for _ in range(REMEMBERED):
        known.note(GpuRequest(1, 1, 1), "flood")
    lost = known.added(room(4), GpuRequest(1, 1, 1))[0]
    assert lost > 0.6 * 4 * 0.75  # three of four GPUs become useless to nearly three quarters of the mix
