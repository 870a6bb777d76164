"""What if: the same tasks on the same machines under several policies, decided by the production code."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
import numpy as np

from cloudai_cli.scenario import Scenario
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.parameters import HINGE, LATENESS, Document, RuntimeModel
from cloudai_rts.placement import ROUND_ROBIN
from cloudai_rts.replay.chooser import (
    EDF_BEST_NODE,
    LEAST_ALLOCATED,
    MOST_ALLOCATED,
    Chooser,
    RtsChooser,
    ScoreChooser,
)
from cloudai_rts.replay.engine import Replay
from cloudai_rts.replay.interval import half_width, half_width_over_tasks
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.summary import Summary, overrun, summarise, violated
from cloudai_rts.traces import Speeds

POLICIES: Final = (LATENESS, HINGE, ROUND_ROBIN, LEAST_ALLOCATED, MOST_ALLOCATED, EDF_BEST_NODE)


@dataclass(frozen=True, slots=True)
class Figure:
    """What is told of a policy: its heading, the field of the summary, and the factor to its unit."""

    title: str
    field: str
    scale: float = 1.0


FIGURES: Final = {
    "violations": Figure("missed, %", "violations", 100.0),
    "tardiness": Figure("tardiness, %", "tardiness", 100.0),
    "p95_slowdown": Figure("p95 slowdown", "p95_slowdown"),
    "makespan_hours": Figure("makespan, h", "makespan_seconds", 1 / 3600.0),
    "utilisation": Figure("utilisation, %", "utilisation", 100.0),
    "gpu_hours_per_job": Figure("GPU-h a task", "gpu_hours_per_job"),
    "energy_kwh": Figure("energy, kWh", "energy_joules", 1 / 3.6e6),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy under one seed.

    By task, NaN without a deadline: `late` (1, 0), `overrun` (0..1), `response` (time from arrival to end over what
    was allowed); `gpu_hours`, NaN of one that never ended. `classes` are the tasks' positions by type, and by number
    of GPUs.
    """

    policy: str
    seed: int
    summary: Summary
    late: FloatArray
    overrun: FloatArray
    classes: dict[str, IntArray]
    response: FloatArray
    gpu_hours: FloatArray


def known_speeds(speeds: Speeds, document: Document) -> Document:
    """The document with a table of speeds as what was learned; products stand for node classes."""
    u: dict[str, dict[str, float]] = {}
    for (task_type, product), factor in sorted(speeds.items()):
        if product and factor > 0:
            u.setdefault(task_type, {})[product] = math.log(factor)
    model: RuntimeModel = msgspec.structs.replace(document.Runtime, U=u)
    return msgspec.structs.replace(document, Runtime=model)


def run(scenario: Scenario, policy: str, seed: int) -> Outcome:
    """Replay once."""
    there, jobs = scenario.world(), scenario.jobs(seed)
    course = Replay(there, jobs, chooser(policy, scenario.document)).run()
    due = np.array([np.nan if job.due is None else job.due - job.known.arrival for job in jobs])
    response = (course.finish - np.array([job.known.arrival for job in jobs])) / due
    late = violated(jobs, course)
    hours = (course.finish - course.start) * np.array([job.known.gpu for job in jobs]) / 3600.0
    return Outcome(
        policy, seed, summarise(there, jobs, course), late, overrun(jobs, course), _classes(jobs, late), response, hours
    )


def chooser(policy: str, document: Document) -> Chooser:
    """Who decides under a policy's name."""
    if policy in {LATENESS, HINGE}:
        return RtsChooser(msgspec.structs.replace(document, model=policy))
    if policy == ROUND_ROBIN:
        return RtsChooser(document, ROUND_ROBIN)
    return ScoreChooser(policy, document)


def rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Means by policy, and the paired differences to the first policy with half of their 95 % intervals.

    Intervals of deadlines missed, tardiness and GPU hours are over blocks of tasks, of the other figures over seeds.
    All numbers are percent, hours or kWh, as the names say; None where there is none.
    """
    policies = list(dict.fromkeys(outcome.policy for outcome in outcomes))
    of = {policy: [outcome for outcome in outcomes if outcome.policy == policy] for policy in policies}
    return [_row(policy, of[policy], of[policies[0]]) for policy in policies]


def _row(policy: str, own: Sequence[Outcome], reference: Sequence[Outcome]) -> dict[str, Any]:
    late, first_late = _by_task([one.late for one in own]), _by_task([one.late for one in reference])
    overruns = _by_task([one.overrun for one in own]) - _by_task([one.overrun for one in reference])
    hours = _by_task([one.gpu_hours for one in own]) - _by_task([one.gpu_hours for one in reference])
    gaps = {name: _gaps(own, reference, figure) for name, figure in FIGURES.items()}
    half_widths = {name: half_width(values) for name, values in gaps.items()}
    half_widths["violations"] = _percent(half_width_over_tasks(late - first_late))
    half_widths["tardiness"] = _percent(half_width_over_tasks(overruns))
    half_widths["gpu_hours_per_job"] = None if np.isnan(hours).any() else half_width_over_tasks(hours)
    classes = own[0].classes
    return {
        "policy": policy,
        **{name: _finite(_mean(own, figure)) for name, figure in FIGURES.items()},
        "differences": {name: _finite(statistics.mean(values)) for name, values in gaps.items()},
        "half_widths": half_widths,
        "floor": 100.0 * statistics.mean(outcome.summary.floor for outcome in own),
        "missed_by_class": {name: 100.0 * float(late[at].mean()) for name, at in classes.items()},
        "half_widths_by_class": {
            name: _percent(half_width_over_tasks((late - first_late)[at])) for name, at in classes.items()
        },
    }


def _by_task(values: Sequence[FloatArray]) -> FloatArray:
    """The mean over the seeds."""
    return np.asarray(np.mean(np.stack(values), axis=0), np.float64)


def _mean(outcomes: Sequence[Outcome], figure: Figure) -> float:
    return statistics.mean(_values(outcomes, figure))


def _values(outcomes: Sequence[Outcome], figure: Figure) -> list[float]:
    return [float(asdict(outcome.summary)[figure.field]) * figure.scale for outcome in outcomes]


def _gaps(own: Sequence[Outcome], reference: Sequence[Outcome], figure: Figure) -> list[float]:
    """Differences seed by seed: both ran the same tasks."""
    pairs = zip(_values(own, figure), _values(reference, figure), strict=True)
    return [one - other for one, other in pairs]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def _finite(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if math.isfinite(value) else None


def _classes(jobs: Sequence[Job], late: FloatArray) -> dict[str, IntArray]:
    """Positions of the tasks with a deadline by type, and by number of GPUs."""
    found: dict[str, list[int]] = {}
    for index in np.flatnonzero(~np.isnan(late)).tolist():
        job = jobs[index]
        found.setdefault(job.true_type or job.known.type, []).append(index)
        found.setdefault(f"{job.known.gpu:.0f} GPU", []).append(index)
    return {name: np.array(positions, np.int64) for name, positions in sorted(found.items())}
