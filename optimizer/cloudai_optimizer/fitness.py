"""Fitness of candidates: each replayed over the same windows, on as many processors as there are."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np

from cloudai_optimizer import genes, window
from cloudai_optimizer.window import Machine, Work
from cloudai_rts.arrays import FloatArray
from cloudai_rts.parameters import Document
from cloudai_rts.replay.chooser import RtsChooser
from cloudai_rts.replay.engine import Course, Replay
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.summary import Summary, summarise, violated
from cloudai_rts.replay.world import World

EDD: str = "edd"
DEFAULT: str = "default"


@dataclass(frozen=True, slots=True)
class Stage:
    """What candidates are tried on: the machines, and windows of recorded work. Truth is the `fitted` document."""

    machines: Sequence[Machine]
    windows: Sequence[Sequence[Work]]
    fitted: Document

    def world(self) -> World:
        """The machines under the fitted model."""
        return window.world_of(self.machines, self.fitted, [work for part in self.windows for work in part])


def replay(stage: Stage, document: Document) -> list[tuple[World, list[Job], Course]]:
    """Replay every window under a document."""
    world = stage.world()
    found = []
    for works in stage.windows:
        jobs = window.jobs(works, document)
        found.append((world, jobs, Replay(world, jobs, RtsChooser(document)).run()))
    return found


def summaries(stage: Stage, document: Document) -> list[Summary]:
    """Figures of every window."""
    return [summarise(world, jobs, course) for world, jobs, course in replay(stage, document)]


def late(stage: Stage, document: Document) -> FloatArray:
    """Violations task by task over all windows: 1, 0, NaN."""
    return np.concatenate([violated(jobs, course) for _, jobs, course in replay(stage, document)])


def evaluate(stage: Stage, incumbent: Document, kind: str, reference: Sequence[Summary], member: FloatArray) -> float:
    """Fitness of one member of the population: the mean over the windows."""
    found = summaries(stage, genes.decode(member, incumbent))
    if kind == EDD:
        values = [one.edd_fitness(base) for one, base in zip(found, reference, strict=True)]
    else:
        values = [one.fitness() for one in found]
    return float(np.mean(values)) if values else float("-inf")


def evaluate_all(
    executor: Executor, stage: Stage, incumbent: Document, kind: str, reference: Sequence[Summary], members: FloatArray
) -> FloatArray:
    """Fitness of a whole population. Same result whatever the executor."""
    one = partial(evaluate, stage, incumbent, kind, reference)
    distinct, place = np.unique(members, axis=0, return_inverse=True)  # the elite comes again in every generation
    chunk = max(1, len(distinct) // 8)
    values = np.array(list(executor.map(one, list(distinct), chunksize=chunk)))
    return np.asarray(values[place.ravel()], np.float64)
