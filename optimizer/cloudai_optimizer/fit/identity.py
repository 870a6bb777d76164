"""Knowledge of tasks just like this one (model 3.1a): the same image, command, GPUs and user."""

from typing import Final

import numpy as np

from cloudai_optimizer.fit.indication import Expected
from cloudai_optimizer.fit.samples import Samples
from cloudai_optimizer.release import limits
from cloudai_rts.arrays import FloatArray
from cloudai_rts.parameters import IdentityRecord
from cloudai_rts.prediction import HISTORY_MIN_SD
from cloudai_rts.task import MAX_LOG_SD

SHRINK_IDENTITY: Final = 3.0
MIN_LOG_TAU: Final = -7.0
MAX_LOG_TAU: Final = 18.0
MIN_SEEN: Final = 2


def identities(samples: Samples, work: FloatArray, log_tau: FloatArray) -> dict[str, IdentityRecord]:
    """Mean and spread of `work` (ln seconds) of tasks of one identity, shrunk to their type; the last seen are kept."""
    usable = ~samples.censored & (np.array([bool(name) for name in samples.identities])[samples.identity])
    last: dict[int, int] = {}
    for position in np.flatnonzero(usable):
        last[int(samples.identity[position])] = int(position)
    kept = sorted(last, key=last.__getitem__)[-limits.REMEMBERED :]
    records = {}
    for index in kept:
        own = usable & (samples.identity == index)
        count = int(own.sum())
        if count < MIN_SEEN:
            continue
        prior = float(log_tau[samples.type[last[index]]])
        mean = (float(work[own].sum()) + SHRINK_IDENTITY * prior) / (count + SHRINK_IDENTITY)
        spread = float(np.sqrt(((work[own] - mean) ** 2).mean()))
        sd = min(MAX_LOG_SD, max(HISTORY_MIN_SD, spread))
        near = min(MAX_LOG_TAU, max(MIN_LOG_TAU, mean))
        records[samples.identities[index]] = IdentityRecord(round(near, 3), round(sd, 3), count)
    return records


def expected(samples: Samples, known: dict[str, IdentityRecord], log_tau: FloatArray, sigma: FloatArray) -> Expected:
    """The expectation of each run by its identity, else by its type with `log_tau` and `sigma`."""
    log, sd = log_tau[samples.type], np.maximum(HISTORY_MIN_SD, sigma[samples.type])
    for index, name in enumerate(samples.identities):
        if (like := known.get(name)) is not None:
            own = (samples.identity == index) & (like.Sd < sd)
            log[own], sd[own] = like.LogTau, like.Sd
    return Expected(log, sd)
