"""The guard: a candidate is accepted only if held-out tasks say, with confidence, that it is better (model 4.5).

The same tasks under both parameter sets: paired differences, averaged over blocks of neighbouring tasks because
neighbours share their fate; the lower end of a one-sided 90 % interval must be a gain of at least .2 points.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray
from cloudai_rts.replay.interval import MIN_BLOCKS, block_means

MIN_GAIN: Final = 0.002
MIN_ENERGY_SAVED: Final = 0.01
_T90: Final = (3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383, 1.372)
Z90: Final = 1.2816


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to accept, the mean gain (share of tasks that are no longer late) and the lower bound of it."""

    accepted: bool
    gain: float
    lower_bound: float
    tasks: int
    reason: str


def judge(incumbent: FloatArray, candidate: FloatArray, min_gain: float = MIN_GAIN) -> Verdict:
    """Compare violations (1, 0, NaN) task by task, in order of arrival."""
    known = ~np.isnan(incumbent) & ~np.isnan(candidate)
    difference = incumbent[known] - candidate[known]
    means = block_means(difference)
    blocks = len(means)
    if blocks < MIN_BLOCKS:
        return Verdict(
            False, 0.0, 0.0, len(difference), f"not judged: only {len(difference)} held-out tasks have a deadline"
        )
    gain = float(means.mean())
    error = float(means.std(ddof=1)) / math.sqrt(blocks)
    bound = gain - quantile90(blocks - 1) * error
    accepted = bound >= min_gain
    words = "better" if accepted else "not proven better"
    return Verdict(
        accepted, gain, bound, len(difference), f"{words}: {100 * gain:+.2f} points, at least {100 * bound:+.2f} (90 %)"
    )


def quantile90(freedom: int) -> float:
    """One-sided 90 % quantile of Student's t."""
    if freedom < 1:
        return math.inf
    if freedom <= len(_T90):
        return _T90[freedom - 1]
    return Z90 * (1.0 + (1.0 + Z90**2) / (4.0 * freedom))
