"""What users' words tell of their tasks (model 3.1a): run times that they declare, and the time that they allow.

A user who asks for ten minutes often knows that it takes five. With w the ln of the run time on the idle reference
machine and m what is expected of it before,

    w - m = known + noise,    ln said + bias[user] + bias[type] - m = known + error

`share` is the part of the variance of w - m that the user knew, `sd` that of the error. Deadlines that are multiples of
the true size know nearly all of it, those that are multiples of the type's usual run time, or of a declaration,
nothing. Types have a bias of their own because users think of the machines that they know, not of the reference.

Moments are taken about m, not about the user's mean: a user with tasks that are all alike knows them best. What users
have in common is the median of what each does, with limited votes of a tenant, so that a liar is not the measure.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_optimizer.fit.estimator import HUBER, MEDIAN_TO_SD, centre_and_scale, group_mean
from cloudai_optimizer.fit.moments import MIN_RUNS, Moments
from cloudai_optimizer.fit.samples import Samples
from cloudai_optimizer.fit.voices import FEW, Voices
from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.parameters import EVERYBODY, Indication
from cloudai_rts.prediction import FAR, FAR_OF_KNOWN, heed
from cloudai_rts.task import MAX_LOG_SD, MIN_LOG_SD

SHRINK: Final = 8.0
"""Runs that what is usual stands for where one's own are judged."""
SURE: Final = 6.0
"""With fewer runs in all the error of cold words still counts."""
ROUNDS: Final = 10
MAX_BIAS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Expected:
    """Expectation of each run: mean and sd of ln seconds on the idle reference machine."""

    log: FloatArray
    sd: FloatArray


@dataclass(frozen=True, slots=True)
class Words:
    """What one kind of words is worth by user, and what they are off by in each type.

    Under "" stands what is usual, for users of whom nothing is known; without it they are taken for `cold`.
    """

    users: dict[str, Indication]
    types: dict[str, float]
    cold: Indication

    def of(self, user: str) -> Indication:
        """What this user's words are worth."""
        return self.users.get(user) or self.users.get(EVERYBODY, self.cold)


@dataclass(frozen=True, slots=True)
class _Told:
    """Runs of which something was said: `off` is w - m, `gap` w - ln said. `votes` are by user, the rest by run."""

    off: FloatArray
    gap: FloatArray
    user: IntArray
    type: IntArray
    weight: FloatArray
    votes: FloatArray
    type_count: int

    @classmethod
    def of(cls, samples: Samples, told: BoolArray, off: FloatArray, gap: FloatArray) -> "_Told":
        tenant = np.zeros(len(samples.users), np.int64)
        tenant[samples.user] = samples.tenant
        user, weight = samples.user[told], samples.weight[told]
        votes = _votes(user, weight, tenant)
        return cls(off[told], gap[told], user, samples.type[told], weight, votes, len(samples.types))


def indications(samples: Samples, work: FloatArray, said: FloatArray, expected: Expected, cold: Indication) -> Words:
    """How much each user's words say, shrunk to what is usual.

    `work` is what each run took and `said` what its user had said (ln seconds, NaN for nothing); `cold` is what words
    are taken for where little is known.
    """
    told = ~np.isnan(said) & ~samples.censored
    if not told.any():
        return Words({}, {}, cold)
    runs = _Told.of(samples, told, work - expected.log, work - said)
    own, by_type, near = _biases(runs)
    words = runs.off - runs.gap + own[runs.user] + by_type[runs.type]
    moments = {int(index): _moments(runs, words, near, int(index)) for index in np.unique(runs.user)}
    usual = _usual(moments, own, runs.votes, cold)
    apart = _apart(own - usual.Bias, runs.votes, cold)
    users = {samples.users[index]: _shrunk(sums, float(own[index]), usual, apart) for index, sums in moments.items()}
    if len(np.unique(samples.tenant[told])) >= FEW:
        sd, count = _sd(usual.Sd**2 + apart), round(float(runs.weight.sum()), 2)
        users[EVERYBODY] = Indication(_bias(usual.Bias), sd, count, round(usual.Share, 3))
    return Words(users, {samples.types[c]: _bias(by_type[c]) for c in np.unique(runs.type)}, cold)


def says_something(samples: Samples, said: FloatArray, known: Words) -> BoolArray:
    """Of which runs something was said that knows a share, however odd it is."""
    return np.array([known.of(name).Share > 0 for name in samples.users], np.bool_)[samples.user] & ~np.isnan(said)


def heard(samples: Samples, said: FloatArray, known: Words, expected: Expected) -> Expected:
    """The expectation of each run once its user's words are heard (1a)."""
    by_user = [known.of(name) for name in samples.users]
    bias, sd, share = (
        np.array([[indication.Bias, indication.Sd, indication.Share] for indication in by_user])
        .reshape(-1, 3)
        .T[:, samples.user]
    )
    by_type = np.array([known.types.get(name, 0.0) for name in samples.types])[samples.type]
    far = np.array([FAR_OF_KNOWN if name in known.users else FAR for name in samples.users])[samples.user]
    surprise = np.nan_to_num(said + bias + by_type - expected.log)
    trust, left = heed(expected.sd**2, np.where(np.isnan(said), 0.0, share), sd, surprise, far)
    return Expected(expected.log + trust * surprise, np.sqrt(left))


def _votes(user: IntArray, weight: FloatArray, tenant: IntArray) -> FloatArray:
    """What each user counts for what is usual: runs, up to a limit, and no tenant more than that."""
    votes = np.minimum(np.bincount(user, weights=weight, minlength=len(tenant)), MIN_RUNS)
    together = np.bincount(tenant, weights=votes)[tenant]
    return np.asarray(votes * np.minimum(1.0, MIN_RUNS / np.maximum(together, 1e-9)))


def _median(values: FloatArray, weight: FloatArray) -> float:
    """Weighted median."""
    return float(Voices(values, weight, np.zeros(len(values), np.int64)).usual(values)[0])


def _biases(runs: _Told) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bias by user and by type, each from what the other leaves, and what each run counts: less the odder it is.

    A type's is what users' biases leave, which are drawn to the usual one by a run: a user who runs this type only
    tells nothing of it, unless many others say the same.
    """
    users = len(runs.votes)
    own, by_type = np.zeros(users), np.zeros(runs.type_count)
    for index in np.unique(runs.user):
        own[index] = float(np.median(runs.gap[runs.user == index]))
    near = runs.weight * _nearness(runs.gap - own[runs.user], runs.type)
    for _ in range(ROUNDS):
        rest = runs.gap - by_type[runs.type]
        own = group_mean(rest, runs.user, near, users, 0.0, own)
        usual = _median(own, runs.votes)
        by_user = usual + group_mean(rest - usual, runs.user, near, users, 1.0)
        by_type = group_mean(runs.gap - by_user[runs.user], runs.type, near, runs.type_count, SHRINK)
        near = runs.weight * _nearness(runs.gap - own[runs.user] - by_type[runs.type], runs.type)
    common = float(np.average(by_type[runs.type], weights=near))
    return own + common, by_type - common, near


def _nearness(error: FloatArray, types: IntArray) -> FloatArray:
    """Weights of words: 1, less where they are further off than those about the type usually are."""
    centre, scale = centre_and_scale(error, types)
    return np.asarray(np.minimum(1.0, FAR * scale / np.maximum(np.abs(error - centre), 1e-9)) ** 2)


def _moments(runs: _Told, words: FloatArray, near: FloatArray, user: int) -> Moments:
    own = runs.user == user
    return Moments.of(runs.off[own], words[own], near[own], float(runs.weight[own].sum()))


def _usual(moments: dict[int, Moments], bias: FloatArray, votes: FloatArray, cold: Indication) -> Indication:
    """Medians over the users; the fewer runs, the closer to what words are taken for when nothing is known."""
    users, each = np.array(list(moments)), list(moments.values())
    share = np.array([sums.share(cold.Share, cold.Sd) for sums in each])
    clear = np.array([sums.runs >= MIN_RUNS for sums in each])
    alone = [sums.error(known) / max(sums.mass - 1.0, 0.5) for sums, known in zip(each, share.tolist(), strict=True)]
    known = min(1.0, float(votes.sum()) / SURE)
    return Indication(
        _median(bias[users], votes[users]),
        math.sqrt(known * _median(np.array(alone), votes[users]) + (1.0 - known) * cold.Sd**2),
        0.0,
        _median(share[clear], votes[users][clear]) if clear.any() else cold.Share,
    )


def _apart(bias: FloatArray, votes: FloatArray, cold: Indication) -> float:
    """Variance of the users' biases, with few users that of cold words: nobody knows the bias of a stranger."""
    far, voting = np.abs(bias), votes > 0
    most = HUBER * max(cold.Sd, MEDIAN_TO_SD * _median(far[voting], votes[voting]))
    count = int(voting.sum())
    between = float(np.average(np.minimum(far, most) ** 2, weights=votes))
    return (FEW * cold.Sd**2 + count * between) / (FEW + count)


def _shrunk(own: Moments, bias: float, usual: Indication, apart: float) -> Indication:
    """One user's words, drawn to the usual ones: the spread by some runs, the bias as far as users are alike."""
    shrink = min(SHRINK, usual.Sd**2 / apart)
    known = _bias((own.mass * bias + shrink * usual.Bias) / (own.mass + shrink))
    share = own.share(usual.Share, usual.Sd)
    variance = (own.error(share, known - bias) + SHRINK * usual.Sd**2) / (own.mass + SHRINK)
    return Indication(known, _sd(variance), round(own.runs, 2), round(share, 3))


def _bias(value: float) -> float:
    return round(max(-MAX_BIAS, min(MAX_BIAS, float(value))), 3)


def _sd(variance: float) -> float:
    return round(max(MIN_LOG_SD, min(MAX_LOG_SD, math.sqrt(variance))), 3)
