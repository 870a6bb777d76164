"""What tenants say about the same thing (a cell, a type, a load), and how far one of them may be off the others."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_optimizer.fit.estimator import MEDIAN_TO_SD
from cloudai_rts.arrays import FloatArray, IntArray

FEW: Final = 3
"""So many voices it takes to tell which of them is off."""


@dataclass(frozen=True, slots=True)
class Voices:
    """Means that are about the same thing (a cell, a type), and what they weigh. `about` numbers those things."""

    mean: FloatArray
    weight: FloatArray
    about: IntArray

    @classmethod
    def of(cls, values: FloatArray, weight: FloatArray, own: IntArray, about: IntArray) -> "Voices":
        """One voice for each number in `own` (by sample)."""
        mass: FloatArray = np.bincount(own, weights=weight, minlength=len(about)).astype(np.float64)
        total = np.bincount(own, weights=weight * values, minlength=len(about))
        return cls(np.divide(total, mass, out=np.zeros(len(about)), where=mass > 0), mass, about)

    def and_of(self, mean: FloatArray, weight: FloatArray, about: IntArray) -> "Voices":
        """These voices and others."""
        return Voices(
            np.concatenate([self.mean, mean]),
            np.concatenate([self.weight, weight]),
            np.concatenate([self.about, about]),
        )

    def count(self) -> IntArray:
        """Voices that weigh anything, by thing."""
        return np.bincount(self.about, weights=self.weight > 0).astype(np.int64)

    def evened(self) -> "Voices":
        """Where there are three, none weighs more than the second heaviest: one alone must not be the measure."""
        order = np.lexsort((self.weight, self.about))
        last = np.cumsum(np.bincount(self.about)) - 1
        second = self.weight[order][np.maximum(last - 1, 0)]
        most = np.where(self.count() < FEW, np.inf, second)[self.about]
        return Voices(self.mean, np.minimum(self.weight, most), self.about)

    def usual(self, values: FloatArray) -> FloatArray:
        """Weighted median over the voices on each thing."""
        order = np.lexsort((values, self.about))
        about, weight = self.about[order], self.weight[order]
        whole = np.bincount(about, weights=weight)
        before = np.concatenate([[0.0], np.cumsum(whole)[:-1]])
        reached = np.cumsum(weight) - before[about] >= whole[about] / 2 - 1e-12
        first = np.full(len(whole), len(order) - 1)
        np.minimum.at(first, about[reached], np.flatnonzero(reached))
        return np.asarray(values[order][first])


def off_the_usual(voices: Voices, own: IntArray, sd: FloatArray, share: FloatArray, most: float) -> FloatArray:
    """By sample: what is beyond `most` sd of its voice's distance to the usual, or of the voices among each other.

    The larger a voice's part of it all, the less the others can say against it; one that is alone may say everything.
    """
    if not len(own):
        return sd
    votes = voices.evened()
    usual = votes.usual(voices.mean)[voices.about]
    apart = MEDIAN_TO_SD * votes.usual(np.abs(voices.mean - usual))[voices.about]
    mine = voices.weight[own]
    others = np.bincount(voices.about, weights=voices.weight)[voices.about][own] - mine
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = sd * np.sqrt(1.0 / mine + 1.0 / np.maximum(others, 0.0))
        room = most * np.maximum(chance, apart[own]) / (1.0 - share)
    distance = (voices.mean - usual)[own]
    return np.where(np.isfinite(room), distance - np.clip(distance, -room, room), 0.0)
