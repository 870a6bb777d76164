"""What is known of a very task (model 3.1a): how users' declarations err, and tasks just like this one."""

import math
from typing import Final

import numpy as np

from cloudai_optimizer import limits
from cloudai_optimizer.fit.samples import Samples
from cloudai_rts.arrays import FloatArray
from cloudai_rts.parameters import DeclaredError, IdentityRecord
from cloudai_rts.prediction import HISTORY_MIN_SD
from cloudai_rts.task import MAX_LOG_SD, MIN_LOG_SD

SHRINK_USER: Final = 8.0
SHRINK_IDENTITY: Final = 3.0
MAX_BIAS: Final = 5.0
MIN_LOG_TAU: Final = -7.0
MAX_LOG_TAU: Final = 18.0
MIN_SEEN: Final = 2


def declared_errors(samples: Samples, log_node_factor: FloatArray) -> dict[str, DeclaredError]:
    """Bias and spread of each user's declarations in log space, shrunk to the pooled ones, which stand under ""."""
    known = ~np.isnan(samples.log_declared) & ~samples.censored
    if not known.any():
        return {}
    error = (samples.log_runtime - log_node_factor - samples.log_declared)[known]
    user = samples.user[known]
    pooled = float(np.median(error))
    pooled_sd = max(MIN_LOG_SD, 1.4826 * float(np.median(np.abs(error - pooled)))) if len(error) > 1 else 0.6
    near = np.clip(error, pooled - 3 * pooled_sd, pooled + 3 * pooled_sd)
    pooled = float(near.mean())
    found = {"": _record(pooled, max(pooled_sd, float(near.std())), len(error))}
    for index in np.unique(user):
        own = near[user == index]
        bias = (float(own.sum()) + SHRINK_USER * pooled) / (len(own) + SHRINK_USER)
        square = float(((own - bias) ** 2).sum()) + SHRINK_USER * pooled_sd**2
        found[samples.users[index]] = _record(bias, math.sqrt(square / (len(own) + SHRINK_USER)), len(own))
    return found


def identities(samples: Samples, log_node_factor: FloatArray, log_tau: FloatArray) -> dict[str, IdentityRecord]:
    """Mean and spread of ln run time of tasks of one identity, shrunk to their type; the last ones seen are kept."""
    work = samples.log_runtime - log_node_factor
    usable = ~samples.censored & (np.array([bool(name) for name in samples.identities])[samples.identity])
    last: dict[int, int] = {}
    for position in np.flatnonzero(usable):
        last[int(samples.identity[position])] = int(position)
    kept = sorted(last, key=last.__getitem__)[-limits.REMEMBERED :]
    found = {}
    for index in kept:
        own = usable & (samples.identity == index)
        count = int(own.sum())
        if count < MIN_SEEN:
            continue
        prior = float(log_tau[samples.type[last[index]]])
        mean = (float(work[own].sum()) + SHRINK_IDENTITY * prior) / (count + SHRINK_IDENTITY)
        spread = float(np.sqrt(((work[own] - mean) ** 2).mean())) if count > 1 else 1.0
        sd = min(MAX_LOG_SD, max(HISTORY_MIN_SD, spread))
        near = min(MAX_LOG_TAU, max(MIN_LOG_TAU, mean))
        found[samples.identities[index]] = IdentityRecord(round(near, 3), round(sd, 3), count)
    return found


def base(
    samples: Samples, errors: dict[str, DeclaredError], known: dict[str, IdentityRecord], fit_sigma: FloatArray
) -> FloatArray:
    """Ln of what was known of each very task (1a): declaration and identity by their precision; NaN where neither."""
    found = np.full(len(samples), np.nan)
    for position in range(len(samples)):
        parts = []
        declared = samples.log_declared[position]
        if not np.isnan(declared) and errors:
            error = errors.get(samples.users[samples.user[position]]) or errors[""]
            parts.append((float(declared) + error.Bias, error.Sd))
        record = known.get(samples.identities[samples.identity[position]])
        if record is not None and record.Sd < fit_sigma[samples.type[position]]:
            parts.append((record.LogTau, record.Sd))
        if parts:
            weight = [sd**-2 for _, sd in parts]
            found[position] = sum(w * log for w, (log, _) in zip(weight, parts, strict=True)) / sum(weight)
    return found


def _record(bias: float, sd: float, count: int) -> DeclaredError:
    return DeclaredError(
        round(max(-MAX_BIAS, min(MAX_BIAS, bias)), 3), round(max(MIN_LOG_SD, min(MAX_LOG_SD, sd)), 3), count
    )
