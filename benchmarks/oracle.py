"""The oracle: it knows each task's true work, each machine's true speed, and the best weights in hindsight.

It decides by the same rule, on one task after the other. Of `WEIGHTS` sets of weights, drawn around the defaults, that
one counts which missed the fewest deadlines of these very tasks.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from cloudai_rts.parameters import Document, LatenessTerms
from cloudai_rts.replay.chooser import RtsChooser
from cloudai_rts.replay.engine import Course, Replay
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.summary import violated
from cloudai_rts.replay.world import World

WEIGHTS: Final = 17
SPREAD: Final = 0.7
"""Log sd of the drawn weights around the defaults."""
SURE: Final = 0.1
"""Log sd of a run time that is known but for what comes to the machine meanwhile."""
_DRAWN: Final = {
    "Alpha": (1.0, 200.0),
    "Psi": (0.05, 5.0),
    "Beta": (0.02, 10.0),
    "Eta": (0.05, 10.0),
    "Zeta": (0.02, 10.0),
    "Delta": (0.02, 1.0),
    "LoadScale": (0.2, 5.0),
}


def told(jobs: Sequence[Job]) -> list[Job]:
    """The jobs as they are when nothing about them is hidden."""
    return [
        replace(job, known=replace(job.known, type=job.true_type, reference_runtime=job.work, log_sd=SURE))
        for job in jobs
    ]


def best(world: World, jobs: Sequence[Job], document: Document, seed: int) -> Course:
    """The course under the weights that turn out best."""
    rng = np.random.default_rng(seed)
    candidates = [document.Lateness, *(_drawn(document.Lateness, rng) for _ in range(WEIGHTS - 1))]
    courses = [_course(world, jobs, msgspec.structs.replace(document, Lateness=weights)) for weights in candidates]
    return min(courses, key=lambda course: float(np.nanmean(violated(jobs, course))))


def _drawn(weights: LatenessTerms, rng: np.random.Generator) -> LatenessTerms:
    values = {
        name: float(np.clip(getattr(weights, name) * np.exp(rng.normal(0.0, SPREAD)), low, high))
        for name, (low, high) in _DRAWN.items()
    }
    return msgspec.structs.replace(weights, **values)


def _course(world: World, jobs: Sequence[Job], document: Document) -> Course:
    return Replay(world, jobs, RtsChooser(document)).run()
