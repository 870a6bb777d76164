"""Figures and fitness of a replay, worked out by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.rts.replay.conftest import job, world

from cloudai_rts.replay.chooser import LEAST_ALLOCATED, ScoreChooser
from cloudai_rts.replay.energy import EnergyRates
from cloudai_rts.replay.engine import Course, Replay
from cloudai_rts.replay.summary import EddWeights, Summary, floor, joules, overrun, summarise, violated

JOBS = [
    job("met", work=100.0, due=150.0),
    job("late", work=100.0, due=80.0),
    job("never", arrival=50.0, work=100.0, due=250.0),
    job("free", work=50.0),
]


def course(*ends: float) -> Course:
    """Everything began at 0 on the first node."""
    finish = np.array(ends)
    nothing = np.full(len(ends), np.nan)
    node = np.where(np.isnan(finish), -1, 0)
    return Course(np.zeros(len(ends)), finish, node, nothing, nothing, nothing, 3, 7200.0, 30.0, 250.0, 400.0)


ENDS = course(120.0, 100.0, float("nan"), 60.0)


def figures(**changed: Any) -> Summary:
    """Of the course above."""
    return replace(summarise(world(), JOBS, ENDS), **changed)


def test_deadlines() -> None:
    """Missed by 20 of 80 s; never ended counts as wholly late; without a deadline nobody judges."""
    assert violated(JOBS, ENDS).tolist() == pytest.approx([0.0, 1.0, 1.0, np.nan], nan_ok=True)
    assert overrun(JOBS, ENDS).tolist() == pytest.approx([0.0, 0.25, 1.0, np.nan], nan_ok=True)
    assert floor(world(), JOBS).tolist() == pytest.approx([0.0, 1.0, 0.0, np.nan], nan_ok=True)


def test_figures() -> None:
    """Four cores over 400 s; useful is what met its deadline."""
    found = figures()
    assert (found.jobs, found.judged, found.nodes, found.deferrals) == (4, 3, 1, 3)
    assert found.violations == pytest.approx(2 / 3)
    assert found.floor == pytest.approx(1 / 3)
    assert found.tardiness == pytest.approx(1.25 / 3)
    assert found.log_response == pytest.approx((np.log(120 / 150) + np.log(100 / 80) + np.log(10.0)) / 3)
    assert found.p95_slowdown == pytest.approx(np.percentile([1.2, 1.0, 1.2], 95))
    assert found.makespan_seconds == 400.0
    assert found.utilisation == pytest.approx(250.0 / 1600.0)
    assert found.gpu_utilisation == 0.0
    assert found.useful_utilisation == pytest.approx(100.0 / 1600.0)
    assert found.idle_gpu_hours_while_deferred == 2.0


def test_fitness() -> None:
    """-(violations + .10 tardiness + .01 mean ln(response / slack))."""
    found = figures(violations=0.2, tardiness=0.3, log_response=-0.5)
    assert found.fitness() == pytest.approx(-(0.2 + 0.03 - 0.005))


@pytest.mark.parametrize(
    ("energy", "overload", "expected"),
    [
        (50.0, 30.0, 0.4 * 0.8 + 0.3 * 0.1 - 0.2 * 0.5 - 0.1 * 1.5),
        (0.0, 0.0, 0.4 * 0.8 + 0.3 * 0.1),
    ],
)
def test_the_fitness_of_the_source(energy: float, overload: float, expected: float) -> None:
    """w1 SLA + w2 Utilisation - w3 EnergyNorm - w4 OverloadNorm: norms against the incumbent's own replay."""
    incumbent = figures(energy_joules=100.0, overload_seconds=20.0)
    found = figures(violations=0.2, useful_utilisation=0.1, energy_joules=energy, overload_seconds=overload)
    assert found.edd_fitness(incumbent) == pytest.approx(expected)
    other = EddWeights(1.0, 0.0, 0.0, 0.0)
    assert found.edd_fitness(incumbent, other) == pytest.approx(0.8)


def test_norms_without_a_measure() -> None:
    """An incumbent without overload counts as overloaded for 1 % of the time of its nodes; without energy 0/0 is 0."""
    incumbent = figures(energy_joules=0.0, overload_seconds=0.0, makespan_seconds=500.0, nodes=4)
    found = figures(violations=0.0, useful_utilisation=0.0, energy_joules=9.0, overload_seconds=10.0)
    assert found.edd_fitness(incumbent) == pytest.approx(0.4 - 0.1 * 10.0 / 20.0)


def test_use_of_gpus() -> None:
    """The time in which jobs held them over what there was; slices of another resource count as devices."""
    machines = replace(world(), nodes=[replace(node, gpu=4) for node in world().nodes])
    jobs = [replace(one, known=replace(one.known, gpu=2.0)) for one in JOBS]
    assert summarise(machines, jobs, ENDS).gpu_utilisation == pytest.approx(2 * (120 + 100 + 60) / (4 * 400.0))
    more = replace(machines, devices=[{"nvidia.com/mig-1g.5gb": 3} for _ in machines.nodes])
    assert summarise(more, jobs, ENDS).gpu_utilisation == pytest.approx(2 * (120 + 100 + 60) / (7 * 400.0))


def test_energy_of_each_job() -> None:
    """Cores at 10 W and GPUs as measured on the node where it ran; what never ended took nothing."""
    there = replace(world(2), energy=EnergyRates(10.0, 0.0, 100.0), gpu_watts=[40.0, 70.0])
    jobs = [replace(one, known=replace(one.known, gpu=2.0)) for one in JOBS[:3]]
    where = replace(course(100.0, 50.0, float("nan")), node=np.array([0, 1, -1]))
    assert joules(there, jobs, where).tolist() == pytest.approx([100.0 * 90.0, 50.0 * 150.0, 0.0])


def test_the_first_jobs_may_be_left_out() -> None:
    """While the fleet fills up nothing is typical."""
    jobs = [job(f"j{i}", arrival=float(i), work=1.0, due=100.0) for i in range(6)]
    found = summarise(world(), jobs, Replay(world(), jobs, ScoreChooser(LEAST_ALLOCATED)).run(), skip=4)
    assert (found.jobs, found.judged) == (2, 2)
