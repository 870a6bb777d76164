"""What one user's words know of their tasks, from moments about what was expected of them before."""

import math
from dataclasses import dataclass
from typing import Final

from cloudai_rts.arrays import FloatArray

ERRORS: Final = 2.0
"""A share stays what it was taken for unless it is off by more than so many of its standard errors."""
UNSURE: Final = 2.0
"""Runs with the error of cold words that are added to a share's standard error: few runs often agree by chance."""
MIN_RUNS: Final = 10.0
"""So many it takes to tell a share; more of a tenant's do not count for what is usual."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over one user's runs: of off, words, off^2, off x words and words^2; `runs` before odd ones count less."""

    runs: float
    mass: float
    off: float
    words: float
    square: float
    product: float
    spread: float

    @classmethod
    def of(cls, off: FloatArray, words: FloatArray, weight: FloatArray, runs: float) -> "Moments":
        """Those of some runs."""
        terms = (1.0, off, words, off**2, off * words, words**2)
        return cls(runs, *(float((weight * term).sum()) for term in terms))

    def share(self, prior: float, cold_sd: float) -> float:
        """How much of off^2 the words know, the prior as far as chance explains the difference to it (garrote)."""
        if self.runs < MIN_RUNS or self.square <= 0:
            return prior
        slope = self.product / self.square
        left = max(0.0, self.spread - slope * self.product) + UNSURE * cold_sd**2
        error = ERRORS * math.sqrt(left / (self.mass * self.square))
        away = slope - prior
        clear = 0.0 if abs(away) <= error else 1.0 - (error / away) ** 2
        return max(0.0, min(1.0, prior + away * clear))

    def error(self, share: float, shift: float = 0.0) -> float:
        """Sum of the squared errors of the words, with a bias `shift` more, if they know that share.

        That is what words and off have not in common, less what nobody knew.
        """
        product = self.product + shift * self.off
        spread = self.spread + 2.0 * shift * self.words + shift**2 * self.mass
        apart = spread - 2.0 * share * product + share**2 * self.square
        return max(0.0, apart - share * (1.0 - share) * self.square)
