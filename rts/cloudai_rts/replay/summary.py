"""What a replay came to: violations, tardiness, slowdown, utilisation, energy; and its fitness (EDD 5.5, model 4.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.fleet import Fleet
from cloudai_rts.nodeclass import RULES
from cloudai_rts.replay.engine import Course, fleet_of
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.world import World

MIN_SLACK_SECONDS: Final = 1.0
TARDINESS_WEIGHT: Final = 0.10
RESPONSE_WEIGHT: Final = 0.01


@dataclass(frozen=True, slots=True)
class EddWeights:
    """w1..w4 of EDD 5.5."""

    sla: float = 0.4
    utilisation: float = 0.3
    energy: float = 0.2
    overload: float = 0.1


USUAL: Final = EddWeights()


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one replay. Shares in 0..1, times in seconds, energy in joules.

    `floor` is the share of deadlines that even the fastest machine could not have met alone; `gpu_utilisation` the
    share of the GPUs' time in which a job held them, 0 where there are none.
    """

    nodes: int
    jobs: int
    judged: int
    violations: float
    floor: float
    tardiness: float
    log_response: float
    p95_slowdown: float
    makespan_seconds: float
    utilisation: float
    useful_utilisation: float
    gpu_utilisation: float
    gpu_hours_per_job: float
    energy_joules: float
    overload_seconds: float
    idle_gpu_hours_while_deferred: float
    deferrals: int

    def fitness(self) -> float:
        """Higher is better: -(violations + .10 mean clipped tardiness + .01 mean ln(response / slack))."""
        return -(self.violations + TARDINESS_WEIGHT * self.tardiness + RESPONSE_WEIGHT * self.log_response)

    def edd_fitness(self, reference: "Summary", weights: EddWeights = USUAL) -> float:
        """w1 SLA + w2 Utilisation - w3 EnergyNorm - w4 OverloadNorm; the norms against the incumbent's own replay."""
        energy = self.energy_joules / reference.energy_joules if reference.energy_joules else 0.0
        floor = 0.01 * max(reference.makespan_seconds, 1.0) * reference.nodes
        overload = self.overload_seconds / max(reference.overload_seconds, floor)
        gained = weights.sla * (1.0 - self.violations) + weights.utilisation * self.useful_utilisation
        return gained - weights.energy * energy - weights.overload * overload


def violated(jobs: Sequence[Job], course: Course) -> FloatArray:
    """1 for each job that missed its deadline (or never finished), 0 for one that met it, NaN for one without."""
    due = np.array([np.nan if job.due is None else job.due for job in jobs])
    late = ~(course.finish <= due)
    return np.where(np.isnan(due), np.nan, late.astype(np.float64))


def overrun(jobs: Sequence[Job], course: Course) -> FloatArray:
    """Tardiness of each job, lateness over what it was allowed: 0..1, 1 if it never ended, NaN without a deadline."""
    due = np.array([np.nan if job.due is None else job.due for job in jobs])
    slack = np.maximum(due - np.array([job.known.arrival for job in jobs]), MIN_SLACK_SECONDS)
    tardiness = np.where(np.isnan(course.finish), 1.0, np.clip((course.finish - due) / slack, 0.0, 1.0))
    return np.where(np.isnan(due), np.nan, tardiness)


def floor(world: World, jobs: Sequence[Job], machines: Fleet | None = None) -> FloatArray:
    """1 for each job that even the fastest suitable machine, idle, could not have finished in time.

    `machines` are those that were there, where that is not all of the world's.
    """
    unmeetable = np.full(len(jobs), np.nan)
    fleet = fleet_of(world) if machines is None else machines
    fastest: dict[tuple[object, ...], float] = {}
    for index, job in enumerate(jobs):
        if job.due is None:
            continue
        kind = job.true_type or job.known.type
        key = (kind, *job.amounts.items(), job.admitted)
        if key not in fastest:
            usable = fleet.could_fit(job.amounts) & world.admits(job)
            fastest[key] = float(world.own[kind][usable].min()) if usable.any() else np.inf
        unmeetable[index] = float(job.known.arrival + job.work * fastest[key] > job.due)
    return unmeetable


def summarise(
    world: World,
    jobs: Sequence[Job],
    course: Course,
    skip: int = 0,
    unmeetable: FloatArray | None = None,
    machines: Fleet | None = None,
) -> Summary:
    """Figures over all jobs but the first `skip` (while the fleet fills up). `unmeetable` is `floor`, if at hand.

    `machines` are those that were there, where that is not all of the world's.
    """
    present = np.ones(len(world.nodes), np.bool_) if machines is None else machines.present
    kept = slice(skip, None)
    arrival = np.array([job.known.arrival for job in jobs])[kept]
    due = np.array([np.nan if job.due is None else job.due for job in jobs])[kept]
    work = np.array([job.work for job in jobs])[kept]
    gpus = np.array([job.known.gpu for job in jobs])[kept]
    cpus = np.array([job.cpu_used for job in jobs])[kept]
    finish, start = course.finish[kept], course.start[kept]
    late = violated(jobs, course)[kept]
    judged = ~np.isnan(late)
    slack = np.maximum(due - arrival, MIN_SLACK_SECONDS)
    response = np.where(np.isnan(finish), 10.0, np.maximum(finish - arrival, 1e-3) / slack)
    run = np.where(np.isnan(finish), 0.0, finish - start)
    span = max(course.end - (arrival[0] if len(arrival) else 0.0), 1e-9)
    cores = float(world.cores[present].sum())
    useful = float((work * cpus)[judged & (late == 0)].sum())
    done = int(np.count_nonzero(~np.isnan(finish)))
    return Summary(
        nodes=int(present.sum()),
        jobs=len(arrival),
        judged=int(judged.sum()),
        violations=_mean(late[judged]),
        floor=_mean((floor(world, jobs) if unmeetable is None else unmeetable)[kept][judged]),
        tardiness=_mean(overrun(jobs, course)[kept][judged]),
        log_response=_mean(np.log(response[judged])),
        p95_slowdown=_percentile((finish - arrival) / work, 95.0),
        makespan_seconds=span,
        utilisation=course.busy_core_seconds / (cores * span),
        useful_utilisation=useful / (cores * span),
        gpu_utilisation=_gpu_seconds(jobs, course) / max(1e-9, span * _devices(world, present)),
        gpu_hours_per_job=float((run * gpus).sum()) / 3600.0 / max(1, done),
        energy_joules=float(joules(world, jobs, course)[kept].sum()),
        overload_seconds=course.overload_seconds,
        idle_gpu_hours_while_deferred=course.idle_gpu_seconds / 3600.0,
        deferrals=course.deferrals,
    )


def _gpu_seconds(jobs: Sequence[Job], course: Course) -> float:
    run = np.where(np.isnan(course.finish), 0.0, course.finish - course.start)
    return float((run * np.array([job.known.gpu for job in jobs])).sum())


def _devices(world: World, present: BoolArray) -> int:
    """GPUs, and slices of them, of the machines that are there."""
    own = np.array([node.gpu for node in world.nodes], np.int64)
    if world.devices:
        own += [sum(amount for name, amount in each.items() if RULES.is_accelerator(name)) for each in world.devices]
    return int(own[present].sum())


def joules(world: World, jobs: Sequence[Job], course: Course) -> FloatArray:
    """Energy that each job took; 0 of one that never ended."""
    run = np.where(np.isnan(course.finish), 0.0, course.finish - course.start)
    cpus, memory = np.array([job.cpu_used for job in jobs]), np.array([job.known.memory for job in jobs])
    return np.asarray(run * _watts(world, course.node, cpus, memory, np.array([job.known.gpu for job in jobs])))


def _watts(world: World, node: IntArray, cpus: FloatArray, memory: FloatArray, gpus: FloatArray) -> FloatArray:
    """Power of each job where it ran: that of its GPUs as it was measured there, else as usual."""
    if not len(world.gpu_watts):
        return world.energy.watts(cpus, memory, gpus)
    own = np.asarray(world.gpu_watts, np.float64)[node]
    return world.energy.watts(cpus, memory, np.zeros(len(gpus))) + np.asarray(gpus * own, np.float64)


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _percentile(values: FloatArray, percent: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, percent)) if len(known) else float("nan")
