"""How sure a mean of few numbers is: half of the 95 % interval by Student's t."""

import math
import statistics
from collections.abc import Sequence
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray

_T975: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip
_Z975: Final = 1.95996
BLOCK: Final = 20
MIN_BLOCKS: Final = 5


def quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t; beyond the table by the first terms of its expansion (error below .001)."""
    if freedom <= len(_T975):
        return _T975[freedom - 1]
    first, second = _Z975**3 + _Z975, 5.0 * _Z975**5 + 16.0 * _Z975**3 + 3.0 * _Z975
    return _Z975 + first / (4.0 * freedom) + second / (96.0 * freedom**2)


def half_width(values: Sequence[float]) -> float | None:
    """Half of the 95 % interval of the mean; None where fewer than two values, or infinite ones, say nothing of it."""
    if len(values) < 2 or not all(math.isfinite(value) for value in values):
        return None
    return quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def half_width_over_tasks(values: FloatArray) -> float | None:
    """Half of the 95 % interval of the mean over tasks in order of arrival; NaN: a task that does not count.

    None for fewer than five blocks.
    """
    means = block_means(values[np.isfinite(values)])
    return None if len(means) < MIN_BLOCKS else half_width(means.tolist())


def block_means(values: FloatArray) -> FloatArray:
    """Means of blocks of neighbouring tasks: neighbours share their fate, so blocks are what is independent."""
    blocks = len(values) // BLOCK
    return np.asarray(values[: blocks * BLOCK].reshape(blocks, BLOCK).mean(axis=1), np.float64)
