"""Replays of policies by case, and what is read off them."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cloudai_rts.replay.summary import Summary

TUNED: Final = "tuned"
WORDLESS: Final = "without users' words"
COLD: Final = "cold"
UNDECLARED: Final = "without declarations"
UNTIMED: Final = "without time allowed"
UNFRAGMENTED: Final = "without fragmentation"
UNKEPT: Final = "without reservations"
FORGETTING: Final = "tuned without memory"
BY_HISTORY: Final = "hinge by history alone"
ORACLE: Final = "oracle"


@dataclass(frozen=True)
class Case:
    """One replay."""

    shape: str
    load: float
    seed: int
    policy: str


@dataclass(frozen=True)
class OfGpus:
    """The tasks with one number of GPUs: how many, the share that was late, mean and longest wait (seconds)."""

    tasks: int
    late: float
    wait: float
    longest: float


@dataclass(frozen=True)
class Result:
    """What came of it, in all and by number of GPUs."""

    summary: Summary
    gpus: dict[int, OfGpus]

    def late(self, gpus: int) -> float:
        """Share of late ones among tasks with so many GPUs, NaN without such tasks."""
        return self.gpus[gpus].late if gpus in self.gpus else math.nan


Results = Mapping[Case, Result]


@dataclass(frozen=True)
class Seen:
    """The replays of one setting at one load."""

    shape: str
    load: float
    seeds: Sequence[int]
    results: Results

    def has(self, policy: str) -> bool:
        """Whether a policy was replayed."""
        return all(Case(self.shape, self.load, seed, policy) in self.results for seed in self.seeds)

    def of(self, policy: str) -> list[Result]:
        """By seed."""
        return [self.results[Case(self.shape, self.load, seed, policy)] for seed in self.seeds]

    def mean(self, policy: str, figure: str = "violations") -> float:
        """Over the seeds; NaN where that policy was not replayed."""
        if not self.has(policy):
            return math.nan
        return float(statistics.mean(getattr(result.summary, figure) for result in self.of(policy)))

    def gaps(
        self, policy: str, other: str = "lateness", figure: str = "violations", scale: float = 100.0
    ) -> list[float]:
        """By how much a policy's figure is above that of another, seed by seed; of shares in points."""
        pairs = zip(self.of(policy), self.of(other), strict=True)
        return [scale * (getattr(own.summary, figure) - getattr(base.summary, figure)) for own, base in pairs]

    def gpus(self, policy: str, count: int) -> list[OfGpus]:
        """The tasks with so many GPUs, by seed."""
        return [result.gpus.get(count, OfGpus(0, 0.0, 0.0, 0.0)) for result in self.of(policy)]
