"""How much one tenant may say about machines that others use too.

A tenant chooses what he runs and for how long, so a few of his runs where hardly anybody else goes would tell everybody
how fast a machine is. Robust means do not help against the only voice in a cell. Two things do: nobody has more than a
share of the weight, and only the difference between a tenant's own runs on different machines says something.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from cloudai_optimizer.fit.samples import Samples
from cloudai_rts.arrays import FloatArray, IntArray

LARGEST_SHARE: Final = 0.25
"""Of the weight in a cell, of a type, on a node; who runs more than that of everything counts for as much."""
SHRINK_HABIT: Final = 2.0


def balanced(samples: Samples, remembered: FloatArray, prior: float) -> Samples:
    """The samples with weights in which no tenant has more than his share of a cell, a type and a node.

    `remembered` is what earlier runs count for in each cell, `prior` what is assumed of all: both speak against him.
    """
    if not len(samples):
        return samples
    faded = samples.weight / samples.voice
    weight = faded.copy()
    whole = np.bincount(samples.tenant, weights=weight, minlength=len(samples.tenants))
    share = np.maximum(LARGEST_SHARE, whole / max(float(whole.sum()), 1e-9))
    nothing = np.zeros(0)
    groups = ((samples.cell(), remembered.ravel()), (samples.type, nothing), (samples.node, nothing))
    for group, known in groups:
        weight = _limited(weight, group, samples.tenant, share, known, prior)
    return replace(samples, weight=weight, voice=weight / faded)


def habits(residual: FloatArray, samples: Samples) -> FloatArray:
    """How much longer (ln) the tasks of each sample's tenant take than others of the type: his median, shrunk to 0.

    Where a tenant is the only one with a type it is 0: what he does is what the type does.
    """
    _, pair = np.unique(samples.type * len(samples.tenants) + samples.tenant, return_inverse=True)
    count = np.bincount(pair)
    ordered = residual[np.lexsort((residual, pair))]
    begin = np.cumsum(count) - count
    median = (ordered[begin + (count - 1) // 2] + ordered[begin + count // 2]) / 2
    habit = (median * count / (count + SHRINK_HABIT))[pair]
    alone = count[pair] == np.bincount(samples.type)[samples.type]
    return np.where(alone, 0.0, habit)


def _limited(
    weight: FloatArray, group: IntArray, tenant: IntArray, share: FloatArray, known: FloatArray, prior: float
) -> FloatArray:
    """Weights of which nobody's exceed share / (1 - share) of all others' in any group."""
    pairs, pair = np.unique(group * len(share) + tenant, return_inverse=True)
    at, who = np.divmod(pairs, len(share))
    own = np.bincount(pair, weights=weight)
    others = np.bincount(group, weights=weight)[at] - own + prior
    if len(known):
        others += known[at]
    with np.errstate(divide="ignore"):  # a tenant who is alone may say everything
        most = others * share[who] / (1.0 - share[who])
    return weight * np.minimum(1.0, most / np.maximum(own, np.finfo(np.float64).tiny))[pair]
