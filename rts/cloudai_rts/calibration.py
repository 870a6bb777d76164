"""How run times really scatter around their prediction: what users are told is true in the long run (equation (2b)).

(2) takes ln of a run time for normal with the spread that is known of the task. Words may be better than their spread
says, tails heavier. So an epoch notes where the quantiles of (ln real - ln predicted) / sigma really lie, by bands of
sigma. Probabilities that users read go by those, and so do the ends for which room is kept and the hopeless tasks. The
choice of a node does not: the order of nodes is the same either way.
"""

import bisect
import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray

LEVELS: Final = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
"""Probabilities of the quantiles that are kept."""
NAMES: Final = tuple(f"{level:g}" for level in LEVELS)
BANDS: Final = (0.2, 0.4, 0.8)
"""Upper ends of the bands of sigma; the last band has none."""
LAST_BAND: Final = "more"
NORMAL: Final = tuple(NormalDist().inv_cdf(level) for level in LEVELS)
_LEAST_GAP: Final = 0.01
"""Between two quantiles: each may have been moved by itself."""
Row = Mapping[str, float]
"""How far each quantile, by its name, lies from the normal one."""
Shape = Mapping[str, Row]
"""Rows by band."""
NORMAL_SHAPE: Final[Shape] = {}
"""Nothing is known but (2)."""


def band(log_sd: float) -> str:
    """Name of the band of a spread."""
    return next((f"{end:g}" for end in BANDS if log_sd < end), LAST_BAND)


def normal_score(deviation: float, log_sd: float, shape: Shape) -> float:
    """How far off a deviation (in sigma) is, in sd of a normal quantity that is exceeded as often."""
    row = shape.get(band(log_sd))
    return _interpolated(deviation, _quantiles(row), NORMAL) if row else deviation


def log_quantile(score: float, log_sd: float, shape: Shape) -> float:
    """How far above ln E the run time lies that is exceeded as often as a normal quantity exceeds `score` sd.

    E is a mean, and its logarithm lies half a variance above the mean of the logarithms.
    """
    return _deviation(score, shape.get(band(log_sd))) * log_sd - 0.5 * log_sd**2


def log_quantiles(score: float, log_sd: FloatArray, shape: Shape) -> FloatArray:
    """The same for many spreads, of the same length."""
    by_band = [_deviation(score, shape.get(name)) for name in (*(f"{end:g}" for end in BANDS), LAST_BAND)]
    return np.array(by_band)[np.searchsorted(BANDS, log_sd, side="right")] * log_sd - 0.5 * log_sd**2


def _deviation(score: float, row: Row | None) -> float:
    return _interpolated(score, NORMAL, _quantiles(row)) if row else score


def _quantiles(row: Row) -> tuple[float, ...]:
    """Where they lie, in ascending order."""
    quantiles: list[float] = []
    for name, normal in zip(NAMES, NORMAL, strict=True):
        least = quantiles[-1] + _LEAST_GAP if quantiles else -math.inf
        quantiles.append(max(least, normal + row.get(name, 0.0)))
    return tuple(quantiles)


def _interpolated(value: float, known: tuple[float, ...], wanted: tuple[float, ...]) -> float:
    """Linear between the quantiles; beyond the first and the last as far from them as there."""
    if value <= known[0]:
        return wanted[0] + (value - known[0])
    if value >= known[-1]:
        return wanted[-1] + (value - known[-1])
    at = bisect.bisect_right(known, value)
    share = (value - known[at - 1]) / (known[at] - known[at - 1])
    return wanted[at - 1] + share * (wanted[at] - wanted[at - 1])
