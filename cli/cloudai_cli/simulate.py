"""What if: the same tasks on the same machines under several policies, decided by the production code."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np

from cloudai_cli.scenario import Scenario, TraceScenario
from cloudai_rts import products
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.parameters import HINGE, LATENESS, Document, RuntimeModel
from cloudai_rts.policy import ROUND_ROBIN
from cloudai_rts.replay.chooser import (
    EDF_BEST_NODE,
    LEAST_ALLOCATED,
    MOST_ALLOCATED,
    Chooser,
    RtsChooser,
    ScoreChooser,
)
from cloudai_rts.replay.engine import Course, Replay
from cloudai_rts.replay.interval import half_width, half_width_over_tasks
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.summary import Summary, joules, overrun, summarise, violated
from cloudai_rts.traces import FleetNode, Speeds, TraceTask

POLICIES: Final = (LATENESS, HINGE, ROUND_ROBIN, LEAST_ALLOCATED, MOST_ALLOCATED, EDF_BEST_NODE)
COLD: Final = f"{LATENESS} (cold)"
LEARNED: Final = f"{LATENESS} (learned)"
"""With `--learn`: what the product does on its first day, and after what it has seen since."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a policy: its heading, the field of the summary, and the factor to its unit.

    `of_tasks`: each task has one too, and `of_class` tells that of several; the others are of the fleet's course.
    """

    title: str
    field: str
    scale: float = 1.0
    of_class: Callable[[FloatArray], np.floating[Any]] = np.mean
    of_tasks: bool = True


FIGURES: Final = {
    "violations": Figure("missed, %", "violations", 100.0),
    "tardiness": Figure("tardiness, %", "tardiness", 100.0),
    "p95_slowdown": Figure("p95 slowdown", "p95_slowdown", of_class=partial(np.percentile, q=95.0)),
    "makespan_hours": Figure("makespan, h", "makespan_seconds", 1 / 3600.0, of_tasks=False),
    "utilisation": Figure("CPU utilisation, %", "utilisation", 100.0, of_tasks=False),
    "gpu_utilisation": Figure("GPU utilisation, %", "gpu_utilisation", 100.0, of_tasks=False),
    "gpu_hours_per_job": Figure("GPU-h a task", "gpu_hours_per_job"),
    "energy_kwh": Figure("energy, kWh", "energy_joules", 1 / 3.6e6, of_class=np.sum),
}
OF_DEADLINES: Final = ("violations", "tardiness")
OF_TASKS: Final = tuple(name for name, figure in FIGURES.items() if figure.of_tasks)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy under one seed.

    `tasks` are the figures by task, in the units of the summary; NaN where a task has none: without a deadline, or
    never ended. `response` is the time from arrival to end over what was allowed. `classes` are the tasks' positions by
    type, and by number of GPUs. `arrival` in seconds of the replay's clock, `gpus` in devices, by task.
    """

    policy: str
    seed: int
    summary: Summary
    tasks: dict[str, FloatArray]
    classes: dict[str, IntArray]
    response: FloatArray
    course: Course
    arrival: FloatArray
    gpus: FloatArray


def shown(policies: Sequence[str], learns: bool) -> list[str]:
    """The rows of the table: where something is learned, `lateness` stands there without it and with it."""
    return [row for name in policies for row in ((COLD, LEARNED) if learns and name == LATENESS else (name,))]


def known_speeds(speeds: Speeds, document: Document) -> Document:
    """The document with a table of speeds as what was learned; products stand for node classes."""
    u: dict[str, dict[str, float]] = {}
    for (task_type, product), factor in sorted(speeds.items()):
        if product and factor > 0:
            u.setdefault(task_type, {})[product] = math.log(factor)
    model: RuntimeModel = msgspec.structs.replace(document.Runtime, U=u)
    return msgspec.structs.replace(document, Runtime=model)


def expected_speeds(tasks: Sequence[TraceTask], nodes: Sequence[FleetNode]) -> Speeds:
    """The truth of a simulation without a table of speeds: what data sheets let expect of the fleet's GPUs.

    Factor 1 is a middling one of them. Nothing where fewer than two products are known.
    """
    factors = {node.gpu_product: products.log_factor(node.gpu_product) for node in nodes if node.gpu}
    known = {product: factor for product, factor in factors.items() if factor is not None}
    if len(known) < 2:
        return {}
    middle = statistics.fmean(known.values())
    types = {task.type for task in tasks if task.gpu}
    return {(name, product): math.exp(factor - middle) for name in types for product, factor in known.items()}


def run(scenario: Scenario, policy: str, seed: int) -> Outcome:
    """Replay once."""
    if isinstance(scenario, TraceScenario) and scenario.learned is not None and policy != COLD:
        scenario = replace(scenario, document=scenario.learned)
    world, jobs = scenario.world(), scenario.jobs(seed)
    course = Replay(world, jobs, chooser(policy, scenario.document)).run()
    arrival = np.array([job.known.arrival for job in jobs])
    due = np.array([np.nan if job.due is None else job.due for job in jobs]) - arrival
    late = violated(jobs, course)
    tasks = {
        "violations": late,
        "tardiness": overrun(jobs, course),
        "p95_slowdown": (course.finish - arrival) / np.array([job.work for job in jobs]),
        "gpu_hours_per_job": (course.finish - course.start) * np.array([job.known.gpu for job in jobs]) / 3600.0,
        "energy_kwh": joules(world, jobs, course),
    }
    summary = summarise(world, jobs, course)
    gpus = np.array([job.known.gpu for job in jobs])
    return Outcome(policy, seed, summary, tasks, _classes(jobs), (course.finish - arrival) / due, course, arrival, gpus)


def chooser(policy: str, document: Document) -> Chooser:
    """The decider behind a policy's name."""
    if policy in {COLD, LEARNED}:
        policy = LATENESS
    if policy in {LATENESS, HINGE}:
        return RtsChooser(msgspec.structs.replace(document, model=policy))
    if policy == ROUND_ROBIN:
        return RtsChooser(document, ROUND_ROBIN)
    return ScoreChooser(policy, document)


def rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Means by policy, and the paired differences to the first policy with half of their 95 % intervals.

    Intervals of what each task has a figure of are over blocks of tasks, of the course's and of p95 over seeds. All
    numbers are percent, hours or kWh, as the names say; None where there is none.
    """
    policies = list(dict.fromkeys(outcome.policy for outcome in outcomes))
    of = {policy: [outcome for outcome in outcomes if outcome.policy == policy] for policy in policies}
    return [_row(policy, of[policy], of[policies[0]]) for policy in policies]


def _row(policy: str, own: Sequence[Outcome], reference: Sequence[Outcome]) -> dict[str, Any]:
    gaps = {name: _gaps(own, reference, figure) for name, figure in FIGURES.items()}
    everybody = np.arange(len(own[0].response))
    over_tasks = {name: _half_width(name, own, reference, everybody) for name in OF_TASKS}
    of_mean = {name for name in OF_TASKS if FIGURES[name].of_class in {np.mean, np.sum}}
    widths = {name: over_tasks[name] if name in of_mean else half_width(values) for name, values in gaps.items()}
    classes = own[0].classes
    means = {name: _finite(_mean(own, figure)) for name, figure in FIGURES.items()}
    differences = {name: _finite(statistics.mean(values)) for name, values in gaps.items()}
    floor: float | None = 100.0 * statistics.mean(outcome.summary.floor for outcome in own)
    if not own[0].summary.judged:  # nobody has a deadline, so nobody meets or misses one
        floor = None
        for figures in (means, differences, widths):
            figures.update(dict.fromkeys(OF_DEADLINES))
    return {
        "policy": policy,
        **means,
        "differences": differences,
        "half_widths": widths,
        "judged": own[0].summary.judged,
        "floor": floor,
        "class_sizes": {name: len(at) for name, at in classes.items()},
        "by_class": {name: {class_name: _of(name, own, at) for class_name, at in classes.items()} for name in OF_TASKS},
        "half_widths_by_class": {
            name: {class_name: _half_width(name, own, reference, at) for class_name, at in classes.items()}
            for name in OF_TASKS
        },
    }


def _of(name: str, outcomes: Sequence[Outcome], at: IntArray) -> float | None:
    """A figure of the tasks at these positions; None where none of them has one."""
    figure = FIGURES[name]
    known = [values[np.isfinite(values)] for values in (outcome.tasks[name][at] for outcome in outcomes)]
    by_seed = [figure.scale * float(figure.of_class(values)) for values in known if len(values)]
    return statistics.mean(by_seed) if by_seed else None


def _half_width(name: str, own: Sequence[Outcome], reference: Sequence[Outcome], at: IntArray) -> float | None:
    """Half of the 95 % interval of a figure's difference over tasks; None of a percentile, or of too few tasks."""
    figure = FIGURES[name]
    if figure.of_class not in {np.mean, np.sum}:
        return None
    gap = (_by_task(name, own) - _by_task(name, reference))[at]
    if name == "gpu_hours_per_job" and np.isnan(gap).any():  # what never ended is no part of the mean of either
        return None
    width = half_width_over_tasks(gap)
    return None if width is None else width * figure.scale * (len(at) if figure.of_class is np.sum else 1)


def _by_task(name: str, outcomes: Sequence[Outcome]) -> FloatArray:
    """The mean over the seeds."""
    return np.asarray(np.mean(np.stack([outcome.tasks[name] for outcome in outcomes]), axis=0), np.float64)


def _mean(outcomes: Sequence[Outcome], figure: Figure) -> float:
    return statistics.mean(_values(outcomes, figure))


def _values(outcomes: Sequence[Outcome], figure: Figure) -> list[float]:
    return [float(asdict(outcome.summary)[figure.field]) * figure.scale for outcome in outcomes]


def _gaps(own: Sequence[Outcome], reference: Sequence[Outcome], figure: Figure) -> list[float]:
    """Differences seed by seed: both ran the same tasks."""
    pairs = zip(_values(own, figure), _values(reference, figure), strict=True)
    return [left - right for left, right in pairs]


def _finite(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if math.isfinite(value) else None


def _classes(jobs: Sequence[Job]) -> dict[str, IntArray]:
    """Positions of the tasks by type, and by number of GPUs."""
    classes: dict[str, list[int]] = {}
    for index, job in enumerate(jobs):
        classes.setdefault(job.true_type or job.known.type, []).append(index)
        classes.setdefault(f"{job.known.gpu:.0f} GPU", []).append(index)
    return {name: np.array(positions, np.int64) for name, positions in sorted(classes.items())}
