"""Drawn workloads have the patterns they promise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloudai_rts import traces
from cloudai_rts.replay.workload import DAY_SECONDS, STANDARD_KINDS, Shape, draw
from cloudai_rts.traces import FleetNode

NODES = traces.read_fleet((Path(__file__).parents[3] / "config/reference-fleet.csv").read_text(encoding="utf-8"))
STANDARD = Shape(kinds=STANDARD_KINDS)


def arrivals(shape: Shape, count: int, seed: int = 1) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """When tasks come, seconds."""
    return np.array([task.arrival_s for task in draw(seed, count, shape, NODES).tasks])


def test_the_six_types_and_the_same_again() -> None:
    """All of them, in order of arrival; a seed is a workload."""
    first = draw(3, 400, STANDARD, NODES)
    assert {task.type for task in first.tasks} == set(STANDARD_KINDS)
    assert np.all(np.diff([task.arrival_s for task in first.tasks]) >= 0)
    again = draw(3, 400, STANDARD, NODES)
    assert (again.tasks, again.called, again.cpu_used.tolist()) == (first.tasks, first.called, first.cpu_used.tolist())
    assert draw(4, 400, STANDARD, NODES).tasks != first.tasks


@pytest.mark.parametrize(("gpus", "cores", "gib"), [(1, 8.0, 32), (0, 4.0, 8), (8, 2.0, 200)])
def test_every_task_fits_somewhere(gpus: int, cores: float, gib: int) -> None:
    """On small machines tasks are smaller: one that fits nowhere would wait for ever."""
    small = [FleetNode(f"n{i}", cores, gib << 30, gpus, "X" if gpus else "", 0, 110) for i in range(3)]
    big_memory = FleetNode("memory", 1.0, 512 << 30, 0, "", 0, 110)
    nodes = [*small, big_memory]
    for task in draw(5, 1000, STANDARD, nodes).tasks:
        assert any(
            task.cpu <= node.cpu and task.memory_bytes <= node.memory_bytes and task.gpu <= node.gpu for node in nodes
        ), task


def test_bursts() -> None:
    """Gaps vary more than those of a Poisson process, and neighbours are alike."""
    gaps = np.diff(arrivals(STANDARD, 20_000))
    assert gaps.std() / gaps.mean() > 1.1
    means = gaps[: len(gaps) // 20 * 20].reshape(-1, 20).mean(axis=1)
    assert means.std() / means.mean() > 1.5 / np.sqrt(20)


def test_heavy_tails() -> None:
    """With a log sd of 1.9 a hundredth of the tasks is a large part of the work; the mean stays."""
    tasks = draw(1, 20_000, replace(STANDARD, size_log_sd=1.9), NODES).tasks
    sizes = np.sort([task.reference_runtime_s / STANDARD_KINDS[task.type].runtime for task in tasks])
    assert sizes[-200:].sum() > 0.25 * sizes.sum()
    assert sizes.mean() == pytest.approx(1.0, rel=0.35)


def test_every_day_has_a_cycle() -> None:
    """Over several days the rate rises and falls once each day."""
    at = arrivals(replace(STANDARD, day_amplitude=0.8), 40_000)
    days = max(1, round(at[-1] / DAY_SECONDS))
    assert days > 2
    share = at / at[-1] * days % 1.0
    busy = np.histogram(share, bins=4, range=(0.0, 1.0))[0]
    assert busy[:2].sum() > 1.3 * busy[2:].sum()
    for day in range(days):
        own = share[(at / at[-1] * days).astype(int) == day]
        assert (own < 0.5).sum() > 1.2 * (own >= 0.5).sum()
