"""Small worlds."""

from collections.abc import Sequence

import numpy as np
import pytest

from cloudai_rts.contract import CPU, PODS
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.world import World
from cloudai_rts.task import GIB, Task
from cloudai_rts.traces import FleetNode


def nodes(count: int, cpu: float = 4.0) -> list[FleetNode]:
    """Equal nodes without GPUs."""
    return [FleetNode(f"n{i}", cpu, 64 * GIB, 0, "", 0, 110) for i in range(count)]


def world(count: int = 1, own: Sequence[float] = (), phi: float = 0.5, mu: float = 2.0) -> World:
    """A world with one type `t`; `own` are the machines' factors."""
    factors = np.array(own) if len(own) else np.ones(count)
    fleet = nodes(len(factors))
    return World(fleet, {"t": factors}, {"t": phi}, np.full(len(fleet), 4.0), np.zeros(len(fleet)), mu)


def job(name: str, arrival: float = 0.0, work: float = 100.0, cpu: float = 1.0, due: float | None = None) -> Job:
    """A job of type `t`."""
    known = Task("t", cpu, GIB, arrival=arrival, reference_runtime=work, deadline=due)
    return Job(name, known, {CPU: round(cpu * 1000), PODS: 1}, work, cpu, due)


@pytest.fixture
def lone_world() -> World:
    """One node of four cores."""
    return world()
