"""The rule of the source document, checked against arithmetic done by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_rts import hinge
from cloudai_rts.hinge import HingeNodes
from cloudai_rts.parameters import AffinityTerms, Document, ThetaTerms
from cloudai_rts.task import Task

GIB = float(1 << 30)
DOCUMENT = Document()


def nodes(**columns: list[float]) -> HingeNodes:
    """Candidates; what is not named is 0."""
    size = len(next(iter(columns.values())))
    names = ("cpu", "memory", "gpu", "load", "affinity", "penalty")
    return HingeNodes(**{name: np.array(columns.get(name, [0.0] * size), np.float64) for name in names})


def task(deadline: float | None = 200.0, **fields: float) -> Task:
    """tau 100 s, 2 cores, 8 GiB, 1 GPU, arrived at 0."""
    values: dict[str, Any] = {"cpu": 2.0, "memory": 8 * GIB, "gpu": 1.0, "reference_runtime": 100.0, **fields}
    return replace(Task("gpu-training", 0.0, 0.0, gpu_resource="nvidia.com/gpu", deadline=deadline), **values)


def test_run_time_by_hand() -> None:
    """EDD 3.5: 100 (1 + .1 x 2/8 + .1 x 8/32 + .3 x 1/4 + .2 x .5) = 122.5."""
    found = hinge.predict_runtime(task(), nodes(cpu=[8], memory=[32 * GIB], gpu=[4], load=[0.5]), DOCUMENT.Theta)
    assert found[0] == pytest.approx(100 * (1 + 0.025 + 0.025 + 0.075 + 0.1))
    assert found[0] == pytest.approx(122.5)


def test_risk_of_a_late_task_by_hand() -> None:
    """EDD 3.6-3.8: F = 0 + 122.5, D = 120, Delta = 2.5; 10 x 2.5 + 1 x .5 - 1.5 + .25 = 24.25."""
    candidates = nodes(cpu=[8], memory=[32 * GIB], gpu=[4], load=[0.5], affinity=[1.5], penalty=[0.25])
    assert hinge.score(task(deadline=120.0), candidates, DOCUMENT, now=0.0).risk[0] == pytest.approx(24.25)


def test_risk_of_a_task_in_time_is_its_load() -> None:
    """Delta is 0 when the task would be in time: only beta L stays."""
    candidates = nodes(cpu=[8], memory=[32 * GIB], gpu=[4], load=[0.5])
    assert hinge.score(task(deadline=200.0), candidates, DOCUMENT, now=0.0).risk[0] == pytest.approx(0.5)


def test_waiting_counts() -> None:
    """A task that has waited 90 s finishes at now + E: 90 + 122.5 - 200 = 12.5 s late, risk 125.5."""
    candidates = nodes(cpu=[8], memory=[32 * GIB], gpu=[4], load=[0.5])
    assert hinge.score(task(), candidates, DOCUMENT, now=90.0).risk[0] == pytest.approx(125.5)


def test_precision_at_real_epoch_times() -> None:
    """Seconds since the epoch are so large that adding first would lose the milliseconds."""
    base = 1_790_000_000.0
    late = task(deadline=base + 120.0, arrival=base)
    candidates = nodes(cpu=[8], memory=[32 * GIB], gpu=[4], load=[0.5])
    assert hinge.score(late, candidates, DOCUMENT, now=base).risk[0] == pytest.approx(25.5, abs=1e-6)


@pytest.mark.parametrize(("field", "column"), [("cpu", "cpu"), ("memory", "memory"), ("gpu", "gpu")])
def test_a_request_of_zero_weighs_nothing(field: str, column: str) -> None:
    """Ruling: request 0 gives ratio 0 even where nothing is available, never 0/0."""
    theta = ThetaTerms(1, 1, 1, 0)
    free = task(cpu=0.0, memory=0.0, gpu=0.0)
    found = hinge.predict_runtime(free, nodes(**{column: [0.0]}), theta)
    assert found[0] == pytest.approx(100.0), field


@given(
    st.lists(
        st.tuples(
            st.floats(0, 64, allow_subnormal=False),
            st.floats(0, 1e12),
            st.floats(0, 8, allow_subnormal=False),
            st.floats(0, 5),
        ),
        min_size=1,
        max_size=8,
    ),
    st.floats(0, 64),
    st.floats(0, 8),
)
def test_no_nan_whatever_is_available(rows: list[tuple[float, ...]], cpu: float, gpu: float) -> None:
    """Zero availability gives neither NaN nor infinity, not even with weights of 0."""
    cpus, memory, gpus, load = ([row[i] for row in rows] for i in range(4))
    scores = hinge.score(task(cpu=cpu, gpu=gpu), nodes(cpu=cpus, memory=memory, gpu=gpus, load=load), DOCUMENT, now=0.0)
    assert np.isfinite(scores.risk).all()


def test_nodes_that_were_never_tried() -> None:
    """Known: 2.0 at speed 1, so .5 of it is not speed; a class twice as fast is worth .5 + 1.5 x 2, the penalty 1."""
    document = Document(
        AffinityW=AffinityTerms(A1=1.5, A2=2.0, A3=0.5),
        AffinityMatrix={"t": {"old": 2.0}},
        PenaltyVector={"old": 1.0},
    )
    affinity, penalty = hinge.learned_scores("t", ["old", "fast"], np.array([0.0, -math.log(2)]), document)
    assert affinity.tolist() == pytest.approx([2.0, 3.5])
    assert penalty.tolist() == [1.0, 1.0]


def test_nothing_learned_says_nothing() -> None:
    """Without a matrix all nodes of one speed are alike."""
    affinity, penalty = hinge.learned_scores("t", ["a", "b"], np.zeros(2), Document())
    assert affinity[0] == affinity[1]
    assert penalty.tolist() == [0.0, 0.0]
