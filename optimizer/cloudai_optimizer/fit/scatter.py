"""Where the quantiles of run times around their prediction really lie: `Runtime.Shape`, equation (2b)."""

from typing import Final

import numpy as np

from cloudai_optimizer.fit.samples import Samples
from cloudai_optimizer.fit.tenancy import LARGEST_SHARE
from cloudai_rts import calibration
from cloudai_rts.arrays import BoolArray, FloatArray
from cloudai_rts.calibration import LEVELS, NAMES, NORMAL

SHRINK_SHAPE: Final = 50.0
"""Runs that the normal quantiles stand for."""
MOST_OFF: Final = 3.0
_ROUNDS: Final = 20


def shape(samples: Samples, log_predicted: FloatArray, log_sd: FloatArray) -> dict[str, dict[str, float]]:
    """By band of `log_sd`: how far each quantile of (ln real - ln predicted) / sd lies from the normal one.

    `log_predicted` is the mean of the logarithms. Runs that did not succeed say nothing of it. Nobody's runs have more
    than a share of the weight in a band: everybody is told by it.
    """
    bands: dict[str, dict[str, float]] = {}
    names = np.array([calibration.band(value) for value in log_sd.tolist()])
    usable = ~samples.censored & np.isfinite(log_predicted)
    deviation = (samples.log_runtime - log_predicted) / log_sd
    for name in sorted(set(names[usable].tolist())):
        members = usable & (names == name)
        bands[name] = _row(deviation[members], _capped(samples, members))
    return bands


def _row(deviation: FloatArray, weight: FloatArray) -> dict[str, float]:
    """Offsets of the weighted quantiles, drawn to 0 where there are few runs."""
    order = np.argsort(deviation)
    ranks = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
    trust = weight.sum() / (weight.sum() + SHRINK_SHAPE)
    quantiles = np.interp(LEVELS, ranks, deviation[order])
    offsets = np.clip(trust * (quantiles - np.array(NORMAL)), -MOST_OFF, MOST_OFF)
    return {level: round(float(offset), 3) for level, offset in zip(NAMES, offsets, strict=True)}


def _capped(samples: Samples, members: BoolArray) -> FloatArray:
    """One for each run of a band, less for those of a tenant that has more than its share.

    As many runs as are assumed of all count in any case: where two namespaces share a cluster, one of which hardly runs
    anything, the other must not be unheard.
    """
    tenants, tenant = np.unique(samples.tenant[members], return_inverse=True)
    share = max(LARGEST_SHARE, 1.0 / len(tenants))
    runs = np.bincount(tenant).astype(np.float64)
    counted = runs.copy()
    for _ in range(_ROUNDS):
        counted = np.minimum(runs, max(SHRINK_SHAPE, share * counted.sum()))
    weight: FloatArray = (counted / runs)[tenant]
    return weight
