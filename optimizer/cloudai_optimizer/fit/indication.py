"""What users' words tell of their tasks (model 3.1a): run times that they declare, and the time that they allow.

Who asks for ten minutes often knows that it takes five. With w the ln of the run time on the idle reference machine and
m what is expected of it before,

    w - m = known + noise,    ln said + bias[user] + bias[type] - m = known + error

`share` is the part of the variance of w - m that the user knew, `sd` that of the error. Deadlines that are multiples of
the true size know nearly all of it, those that are multiples of the type's usual run time, or of a declaration,
nothing. Types have a bias of their own because users think of the machines that they know, not of the reference.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_optimizer.fit.estimator import MEDIAN_TO_SD, MIN_SCALE, group_mean
from cloudai_optimizer.fit.samples import Samples
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.parameters import Indication
from cloudai_rts.task import MAX_LOG_SD, MIN_LOG_SD

SHRINK: Final = 8.0
"""Runs that the words of all users stand for where one's own are judged."""
MIN_RUNS: Final = 10.0
ERRORS: Final = 2.0
"""A share stays what it was taken for unless it is off by more than so many of its standard errors."""
MAX_BIAS: Final = 5.0
MIN_SEEN: Final = 2
FAR: Final = 3.0
"""Words further off than so many sd count less."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of each run: mean and sd of ln seconds on the idle reference machine."""

    log: FloatArray
    sd: FloatArray


@dataclass(frozen=True, slots=True)
class Words:
    """What one kind of words is worth: by user, the pooled ones under "", and what it is off by in each type."""

    users: dict[str, Indication]
    types: dict[str, float]


def indications(samples: Samples, work: FloatArray, said: FloatArray, expected: Expected, cold: Indication) -> Words:
    """How much each user's words say, shrunk to what all users' say.

    `work` is what each run took and `said` what its user had said (ln seconds, NaN for nothing); `cold` is what words
    are taken for where little is known.
    """
    told = ~np.isnan(said) & ~samples.censored
    if int(told.sum()) < MIN_SEEN:
        return Words({}, {})
    off, words = (work - expected.log)[told], (said - expected.log)[told]
    types, user, count = samples.type[told], samples.user[told], len(samples.types)
    weight = samples.weight[told] * _nearness(words - off, types)
    usual = float(np.average(off - words, weights=weight))
    by_type = group_mean(off - words - usual, types, weight, count, SHRINK)
    words = words + by_type[types]
    pooled = _indication(off, words, weight, cold)
    found = {"": pooled}
    for index in np.unique(user):
        own = user == index
        found[samples.users[index]] = _indication(off[own], words[own], weight[own], pooled)
    return Words(found, {samples.types[c]: _bias(by_type[c]) for c in np.unique(types)})


def heard(samples: Samples, said: FloatArray, known: Words, expected: Expected) -> Expected:
    """What is known of each run once its user's words are heard (1a)."""
    nothing = Indication(0.0, 1.0, 0.0, 0.0)
    by_user = [known.users.get(name, nothing) for name in samples.users]
    bias, sd, share = np.array([[one.Bias, one.Sd, one.Share] for one in by_user]).reshape(-1, 3).T[:, samples.user]
    by_type = np.array([known.types.get(name, 0.0) for name in samples.types])[samples.type]
    variance = expected.sd**2
    told = np.where(np.isnan(said), 0.0, share) * variance
    trust = told / (told + sd**2)
    log = expected.log + trust * np.nan_to_num(said + bias + by_type - expected.log)
    return Expected(log, np.sqrt(variance - trust * told))


def _nearness(error: FloatArray, types: IntArray) -> FloatArray:
    """Weights of words: 1, less where they are further off than those about the type usually are (Huber)."""
    weight = np.ones(len(error))
    for index in np.unique(types):
        own = types == index
        away = np.abs(error[own] - np.median(error[own]))
        scale = max(MIN_SCALE, MEDIAN_TO_SD * float(np.median(away)))
        weight[own] = np.minimum(1.0, FAR * scale / np.maximum(away, 1e-9))
    return weight


def _indication(off: FloatArray, words: FloatArray, weight: FloatArray, prior: Indication) -> Indication:
    """From moments: the covariance is what the user knew, what is left of the words' variance is error."""
    mass = float(weight.sum())
    bias = (float((weight * (off - words)).sum()) + SHRINK * prior.Bias) / (mass + SHRINK)
    d_off, d_words = off - np.average(off, weights=weight), words - np.average(words, weights=weight)
    square, product, spread = (float((weight * one).sum()) for one in (d_off**2, d_off * d_words, d_words**2))
    share = prior.Share
    if mass >= MIN_RUNS and square > 0:
        slope = product / square
        error = math.sqrt(max(0.0, spread - slope * product) / (mass * square))
        share = max(0.0, min(1.0, slope)) if abs(slope - prior.Share) > ERRORS * error else prior.Share
    left = max(0.0, spread - share * square) + SHRINK * prior.Sd**2
    return Indication(
        Bias=_bias(bias),
        Sd=round(max(MIN_LOG_SD, min(MAX_LOG_SD, math.sqrt(left / (mass + SHRINK)))), 3),
        N=round(mass, 2),
        Share=round(share, 3),
    )


def _bias(value: float) -> float:
    return round(max(-MAX_BIAS, min(MAX_BIAS, float(value))), 3)
