"""What if: the same tasks on the same machines under several policies, decided by the production code."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
import numpy as np

from cloudai_cli.scenario import Scenario
from cloudai_rts.arrays import FloatArray
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
from cloudai_rts.replay.engine import Course, Replay
from cloudai_rts.replay.interval import half_width
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.summary import Summary, summarise, violated
from cloudai_rts.traces import Speeds

POLICIES: Final = (LATENESS, HINGE, ROUND_ROBIN, LEAST_ALLOCATED, MOST_ALLOCATED, EDF_BEST_NODE)
FIGURES: Final = {
    "violations": "missed, %",
    "tardiness": "tardiness, %",
    "p95_slowdown": "p95 slowdown",
    "makespan_seconds": "makespan, h",
    "utilisation": "utilisation, %",
    "gpu_hours_per_job": "GPU-h a task",
    "energy_joules": "energy, kWh",
}
_SCALE: Final = {"violations": 100.0, "tardiness": 100.0, "utilisation": 100.0, "makespan_seconds": 1 / 3600.0}
_JOULES_PER_KWH: Final = 3.6e6


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy under one seed; `response` is each task's time from arrival to end over what it was allowed."""

    policy: str
    seed: int
    summary: Summary
    late_by_class: dict[str, float]
    response: FloatArray


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
    return Outcome(policy, seed, summarise(there, jobs, course), _by_class(jobs, course), response)


def chooser(policy: str, document: Document) -> Chooser:
    """Who decides under a policy's name."""
    if policy in {LATENESS, HINGE}:
        return RtsChooser(msgspec.structs.replace(document, model=policy))
    if policy == ROUND_ROBIN:
        return RtsChooser(document, ROUND_ROBIN)
    return ScoreChooser(policy, document)


def rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Means by policy, with the paired difference in missed deadlines to the first policy and its 95 % half-width."""
    policies = list(dict.fromkeys(outcome.policy for outcome in outcomes))
    reference = [outcome for outcome in outcomes if outcome.policy == policies[0]]
    found = []
    for policy in policies:
        own = [outcome for outcome in outcomes if outcome.policy == policy]
        gaps = _gaps(own, reference, "violations")
        figures = {name: _mean(own, name) for name in FIGURES}
        classes = sorted({name for outcome in own for name in outcome.late_by_class})
        found.append(
            {
                "policy": policy,
                **figures,
                "difference": statistics.mean(gaps),
                "half_width": half_width(gaps),
                "half_widths": {name: half_width(_gaps(own, reference, name)) for name in FIGURES},
                "floor": 100.0 * statistics.mean(outcome.summary.floor for outcome in own),
                "missed_by_class": {
                    name: 100.0 * statistics.mean(outcome.late_by_class.get(name, 0.0) for outcome in own)
                    for name in classes
                },
            }
        )
    return found


def _mean(outcomes: Sequence[Outcome], figure: str) -> float:
    return statistics.mean(_values(outcomes, figure))


def _values(outcomes: Sequence[Outcome], figure: str) -> list[float]:
    scale = 1.0 / _JOULES_PER_KWH if figure == "energy_joules" else _SCALE.get(figure, 1.0)
    return [float(asdict(outcome.summary)[figure]) * scale for outcome in outcomes]


def _gaps(own: Sequence[Outcome], reference: Sequence[Outcome], figure: str) -> list[float]:
    """Differences seed by seed: both ran the same tasks."""
    pairs = zip(_values(own, figure), _values(reference, figure), strict=True)
    return [one - other for one, other in pairs]


def _by_class(jobs: Sequence[Job], course: Course) -> dict[str, float]:
    """Share of missed deadlines by type, and by number of GPUs."""
    late = violated(jobs, course)
    found: dict[str, list[float]] = {}
    for job, missed in zip(jobs, late.tolist(), strict=True):
        if not math.isnan(missed):
            found.setdefault(job.true_type or job.known.type, []).append(missed)
            found.setdefault(f"{job.known.gpu:.0f} GPU", []).append(missed)
    return {name: statistics.mean(values) for name, values in sorted(found.items())}
