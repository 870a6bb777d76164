"""The default scoring rule, `lateness`: the risk of finishing late as a probability (model equations (2), (2a), (3)).

A point estimate treats "one second early" as "one hour early". Here the spread of the run time counts, and so does the
lateness that a task would cause to those already running on the node.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_rts import calibration
from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.calibration import Shape
from cloudai_rts.normal import phi, phi_cdf, phi_pdf
from cloudai_rts.parameters import LatenessTerms, RuntimeModel
from cloudai_rts.prediction import load_curve, load_curve_slope
from cloudai_rts.task import Task

FRAGMENTATION_WEIGHT: Final = 1.0
"""Risk for each GPU made useless. With it zeta can be .1 instead of .8, as tasks without GPUs use what GPU nodes can
spare: .2 points fewer deadlines missed on the reference workload (load .75, 8 seeds, paired: -.23 +- .16). Where 5 % of
the GPU tasks ask for eight GPUs it makes no difference (5.7 against 5.5 % missed without it, +- .3)."""
MOST_HARM: Final = 4.0
"""Of one tenant's tasks on a node, in lateness per unit of ln run time: that of about eight tasks with a spread of .8
that are all on the edge. Sixty pods that claim to be sure of their run time (sd .05) would else count as 480."""
TENANTS: Final = 1 << 32
MIN_REMAINING_SHARE: Final = 0.15
"""A task that has outlived its prediction still has this share of it to go: it will not end this instant."""


@dataclass(frozen=True, slots=True)
class LatenessNodes:
    """The candidate nodes, one entry each.

    `log_runtime` is ln E_ij (seconds), `load` L_j, `load_after` L'_ij, `harm` h_j of (2a), `has_gpu` the nodes with
    GPUs, `preference` the user's soft wishes in 0..1, None where there are none; `fragmentation` the GPUs that this
    task would make useless for those that usually come, None where there are none.
    """

    log_runtime: FloatArray
    load: FloatArray
    load_after: FloatArray
    harm: FloatArray
    has_gpu: BoolArray
    preference: FloatArray | None = None
    fragmentation: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class LatenessScores:
    """Probability of being late, harm to others (before psi) and risk of each candidate."""

    late_probability: FloatArray
    harm: FloatArray
    risk: FloatArray


@dataclass(frozen=True, slots=True)
class RunningTasks:
    """Tasks with a deadline that run now, one entry each; `node` is the index of the node it runs on.

    `predicted` and `elapsed` in seconds, `slack` = deadline - now in seconds, `log_sd` sigma_r; `tenant` is a number
    below 2^32 for each tenant.
    """

    node: IntArray
    predicted: FloatArray
    elapsed: FloatArray
    slack: FloatArray
    log_sd: FloatArray
    tenant: IntArray


def late_probability(log_runtime: FloatArray, slack: float, log_sd: float) -> FloatArray:
    """P_ij = Phi((ln E_ij - ln(D_i - now)) / sigma_i); 1 once the deadline is past   (2)."""
    if slack == np.inf:
        return np.zeros_like(log_runtime)
    if slack <= 0:
        return np.ones_like(log_runtime)
    return phi_cdf((log_runtime - np.log(slack)) / log_sd)


def late_probability_of(log_runtime: float, slack: float, log_sd: float) -> float:
    """P of one node   (2)."""
    if slack <= 0:
        return 1.0
    return phi((log_runtime - math.log(slack)) / log_sd) if slack < math.inf else 0.0


def told_probability(log_runtime: float, slack: float, log_sd: float, shape: Shape) -> float:
    """P of one node as users read it: true in the long run   (2b).

    E is a mean, and its logarithm lies half a variance above the mean of the logarithms, from which (2) counts. The
    rule leaves that as caution, which what is told must not contain; nor are run times as normal as (2) takes them.
    """
    if not 0.0 < slack < math.inf:
        return late_probability_of(log_runtime, slack, log_sd)
    left = (math.log(slack) - log_runtime + 0.5 * log_sd**2) / log_sd
    return phi(-calibration.normal_score(left, log_sd, shape))


def harm(running: RunningTasks, load: FloatArray, runtime: RuntimeModel, load_scale: float) -> FloatArray:
    """h_j = f'(L_j)/f(L_j) sum_r phi(z_r)/sigma_r: lateness that one more unit of load causes on each node   (2a).

    z_r = (ln rem_r - ln slack_r) / sigma_r with rem_r = max(E_r - elapsed, .15 E_r). A task that is late already cannot
    be made later: it weighs nothing. Run time and deadline are a tenant's claims: the sum over one tenant's tasks on a
    node counts up to `MOST_HARM`. `load` is by node; returns one number a node.
    """
    remaining = np.maximum(running.predicted - running.elapsed, MIN_REMAINING_SHARE * running.predicted)
    alive = running.slack > 0
    z = (np.log(remaining[alive]) - np.log(running.slack[alive])) / running.log_sd[alive]
    weight = phi_pdf(z) / running.log_sd[alive]
    groups, member = np.unique(running.node[alive] * TENANTS + running.tenant[alive], return_inverse=True)
    by_tenant = np.minimum(MOST_HARM, np.bincount(member, weights=weight, minlength=len(groups)))
    total = np.bincount(groups // TENANTS, weights=by_tenant, minlength=len(load)).astype(np.float64)
    slope = load_curve_slope(load, runtime.Kappa, runtime.Mu, load_scale)
    return slope / load_curve(load, runtime.Kappa, runtime.Mu, load_scale) * total


def score(task: Task, nodes: LatenessNodes, weights: LatenessTerms, now: float) -> LatenessScores:
    """Return R_ij of (3) for all candidates; lower is better. `now` in seconds since the epoch."""
    probability = late_probability(nodes.log_runtime, task.slack(now), task.log_sd)
    harm_ij = nodes.harm * (nodes.load_after - nodes.load)
    risk = weights.Alpha * (probability + weights.Psi * harm_ij) + weights.Beta * nodes.load
    risk += weights.Eta * (nodes.log_runtime - nodes.log_runtime.min())  # tau cancels: a wrong scale costs nothing
    if task.gpu <= 0:
        risk += weights.Zeta * nodes.has_gpu  # GPU nodes are kept for those who ask for GPUs
    if nodes.preference is not None:
        risk += weights.Rho * (1.0 - nodes.preference)
    if nodes.fragmentation is not None:
        risk += FRAGMENTATION_WEIGHT * nodes.fragmentation
    return LatenessScores(probability, harm_ij, risk)
