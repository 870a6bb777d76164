"""What became of the demo's Tasks under one policy. Pure: from the objects of the API server to figures."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloudai_kube import timestamp
from cloudai_rts import contract

REJECTED: Final = "Rejected"
REFUSALS: Final = 3
GRACE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt as a bar of the picture; times in seconds after the first arrival; `decided`: when it was placed."""

    task: str
    task_type: str
    node: str
    start: float
    end: float
    outcome: str
    late: bool
    gpu: bool = False
    decided: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """Figures of one phase."""

    policy: str
    tasks: int
    complete: int
    met: int
    pods: int
    bound_by_us: int
    by_rts: int
    deferred: int
    rejections: int
    nodes: dict[str, int]
    met_by_type: dict[str, tuple[int, int]]
    runs: tuple[Run, ...]
    problems: tuple[str, ...]


def evaluate(policy: str, tasks: Sequence[dict[str, Any]], pods: Sequence[dict[str, Any]], deferred: int) -> Result:
    """Compute the figures of one phase from its Tasks and pods."""
    begun = min(timestamp.parse(task["metadata"]["creationTimestamp"]) for task in tasks)
    runs = [run for task in tasks for run in _runs(task, begun)]
    met_by_type: dict[str, tuple[int, int]] = {}
    for task in tasks:
        kind = task["spec"]["type"]
        met, count = met_by_type.get(kind, (0, 0))
        met_by_type[kind] = (met + is_true(task, "DeadlineMet"), count + 1)
    incomplete = [task["metadata"]["name"] for task in tasks if not is_true(task, "Complete")]
    strangers = [name_of(pod) for pod in pods if not _bound_by_us(pod)]
    problems = []
    if incomplete:
        problems.append(f"not complete: {', '.join(incomplete[:8])}")
    if strangers:
        problems.append(f"pods not bound by us: {', '.join(strangers[:8])}")
    return Result(
        policy=policy,
        tasks=len(tasks),
        complete=len(tasks) - len(incomplete),
        met=sum(met for met, _ in met_by_type.values()),
        pods=len(pods),
        bound_by_us=len(pods) - len(strangers),
        by_rts=sum(decision(pod).get("policy") == "rts" for pod in pods),
        deferred=deferred,
        rejections=sum(run.outcome == REJECTED for run in runs),
        nodes=dict(Counter(run.node for run in runs if run.outcome != REJECTED)),
        met_by_type=met_by_type,
        runs=tuple(runs),
        problems=tuple(problems),
    )


def is_true(task: dict[str, Any], kind: str) -> bool:
    """Whether a condition of a Task is True."""
    conditions: list[dict[str, Any]] = task.get("status", {}).get("conditions", [])
    return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions)


def decision(pod: dict[str, Any]) -> dict[str, Any]:
    """The decision annotation of a pod; empty without one."""
    text = pod["metadata"].get("annotations", {}).get(contract.ANNOTATION_DECISION)
    told: dict[str, Any] = json.loads(text) if text else {}
    return told


def name_of(manifest: dict[str, Any]) -> str:
    """Name of any object."""
    return str(manifest["metadata"]["name"])


def _bound_by_us(pod: dict[str, Any]) -> bool:
    return bool(pod["metadata"].get("labels", {}).get(contract.LABEL_BOUND_BY) == contract.SCHEDULER_NAME)


def _runs(task: dict[str, Any], begun: float) -> list[Run]:
    runs = []
    for attempt in task.get("status", {}).get("attempts", []):
        if not attempt.get("completionTime") or not attempt.get("node"):
            continue
        end = timestamp.parse(attempt["completionTime"]) - begun
        start = timestamp.parse(attempt["startTime"]) - begun if attempt.get("startTime") else end
        late = not is_true(task, "DeadlineMet")
        told = attempt.get("decision", {}).get("decidedAt")
        decided = timestamp.parse(told) - begun if told else start
        gpu = bool(task["spec"].get("gpus"))
        outcome = attempt.get("outcome", "")
        runs.append(Run(name_of(task), task["spec"]["type"], attempt["node"], start, end, outcome, late, gpu, decided))
    return runs


def stayed(runs: Sequence[Run]) -> list[Run]:
    """Runs that were sent to a node more than a second after it had refused three of their kind (GPU or not)."""
    misplaced = []
    for kind in {(run.node, run.gpu) for run in runs if run.outcome == REJECTED}:
        own = sorted((run for run in runs if (run.node, run.gpu) == kind), key=lambda run: run.end)
        refused = [run.end for run in own if run.outcome == REJECTED]
        if len(refused) >= REFUSALS:
            misplaced += [run for run in own if run.decided > refused[REFUSALS - 1] + GRACE_SECONDS]
    return misplaced
