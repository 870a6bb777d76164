"""Types of tasks and their deadlines."""

import math

import numpy as np
import pytest

from cloudai_rts.task import SURE_SDS, Task, deadline_of, infer_type

GIB = 1 << 30


@pytest.mark.parametrize(
    ("cpu", "memory_gib", "gpu", "expected"),
    [
        (1, 2, 0, "cpu-light"),
        (8, 16, 0, "cpu-heavy"),
        (4, 48, 0, "memory-heavy"),
        (0.1, 8, 0, "memory-heavy"),
        (2, 8, 1, "gpu-inference"),
        (6, 24, 1, "gpu-training"),
        (4, 16, 2, "gpu-training"),
        (16, 16, 1, "mixed"),
        (0, 0, 0, "cpu-light"),
    ],
)
def test_inference(cpu: float, memory_gib: float, gpu: float, expected: str) -> None:
    """What the requests look like, one of the six standard types."""
    assert infer_type(cpu, memory_gib * GIB, gpu) == expected


def test_deadline() -> None:
    """EDD 3.4: D = A + k tau."""
    assert deadline_of(1000.0, 1.5, 200.0) == 1300.0


def test_what_a_task_takes_at_least() -> None:
    """With heavy tails the mean is far above what most tasks take: only 5 of 100 are shorter than this."""
    known = Task("t", 1.0, 1.0, reference_runtime=1000.0, log_sd=1.5)
    sizes = 1000.0 * np.exp(np.random.default_rng(1).normal(-0.5 * 1.5**2, 1.5, 20_000))
    assert np.mean(sizes < known.least_runtime()) == pytest.approx(0.05, abs=0.005)
    assert known.least_runtime() < 0.05 * known.reference_runtime


def test_what_is_learned_of_run_times_says_what_they_take_at_least() -> None:
    """Where the lower quantiles are known they count, in the band of the task's spread only."""
    known, other = (Task("t", 1.0, 1.0, reference_runtime=1000.0, log_sd=log_sd) for log_sd in (1.5, 0.1))
    shape = {"more": {"0.02": 1.0, "0.1": 1.0}}
    assert known.least_runtime(shape) == pytest.approx(1000.0 * math.exp((1.0 - SURE_SDS) * 1.5 - 0.5 * 1.5**2))
    assert other.least_runtime(shape) == other.least_runtime()
