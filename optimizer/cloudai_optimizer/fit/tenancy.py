"""How much one tenant may say about machines that others use too.

A tenant chooses what he runs and for how long, so a few of his runs where hardly anybody else goes would tell everybody
how fast a machine is. Robust means do not help against the only voice in a cell. Two things do: nobody has more than a
share of the weight, and where tenants can be compared only the differences between a tenant's own runs say something.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from cloudai_optimizer.fit.samples import Samples
from cloudai_rts.arrays import FloatArray, IntArray

LARGEST_SHARE: Final = 0.25
"""Of the weight in a cell, of a type, on a node; who has more than that of the type or class may have as much there."""
SHRINK_HABIT: Final = 2.0


def balanced(samples: Samples, remembered: FloatArray, prior: float) -> Samples:
    """The samples with weights in which no tenant has more than his share of a cell, a type and a node.

    His share is what he has of the type, or of the nodes of the class: what only he runs, or where only he does,
    concerns nobody else. `remembered` is what earlier runs count for in each cell, `prior` what is assumed of all: both
    speak against him.
    """
    if not len(samples):
        return samples
    faded = samples.weight / samples.voice
    nothing = np.zeros(0)
    of_type, of_class = (_shares(faded, group, samples.tenant) for group in (samples.type, samples.node_class))
    weight = _limited(faded, samples.cell(), samples.tenant, of_type, remembered.ravel(), prior)
    weight = _limited(weight, samples.type, samples.tenant, of_type, nothing, prior)
    weight = _limited(weight, samples.node, samples.tenant, of_class, nothing, prior)
    return replace(samples, weight=weight, voice=weight / faded)


@dataclass(frozen=True, slots=True)
class Habits:
    """What tenants' runs have in common, to be taken out before machines are compared. All arrays are by sample.

    `type_pair` and `class_pair` number the runs of one tenant of one type, or on one class. `linked` numbers those of a
    type whose tenants share classes, directly or through others: between groups that share none nothing but the
    machines is known to differ.
    """

    type_pair: IntArray
    class_pair: IntArray
    linked: IntArray
    node_class: IntArray

    @classmethod
    def of(cls, samples: Samples) -> "Habits":
        """Who shares what in these samples."""
        tenants = len(samples.tenants)
        pair = _numbered(samples.type * tenants + samples.tenant)
        on_class = _numbered(samples.node_class * tenants + samples.tenant)
        return cls(pair, on_class, _linked(pair, _numbered(samples.cell())), _numbered(samples.node_class))

    def of_types(self, residual: FloatArray) -> FloatArray:
        """How much longer (ln) a tenant's tasks of a type take than those of the others that he can be compared with.

        Medians, his own shrunk to 0. Who is alone, or shares no class with anybody, has none: it is the machines'.
        """
        return _beyond(residual, self.type_pair, self.linked)

    def of_classes(self, residual: FloatArray) -> FloatArray:
        """How much longer a tenant's tasks take on the machines of a class than those of the others there."""
        return _beyond(residual, self.class_pair, self.node_class)


def _beyond(residual: FloatArray, own: IntArray, all_of: IntArray) -> FloatArray:
    """Medians of the `own` groups, shrunk to 0, less the median of what all have."""
    count = np.bincount(own)[own] if len(own) else np.zeros(0)
    habit = _medians(residual, own) * count / (count + SHRINK_HABIT)
    return habit - _medians(habit, all_of)


def _medians(values: FloatArray, group: IntArray) -> FloatArray:
    """Of each sample the median of its group. Groups are numbered without gaps."""
    count = np.bincount(group)
    ordered = values[np.lexsort((values, group))]
    begin = np.cumsum(count) - count
    median: FloatArray = (ordered[begin + (count - 1) // 2] + ordered[begin + count // 2]) / 2
    return median[group]


def _linked(pair: IntArray, cell: IntArray) -> IntArray:
    """Number the groups of pairs that meet in cells, directly or through others, by sample."""
    label = pair.copy()
    while True:
        least = np.full(int(cell.max(initial=-1)) + 1, len(label))
        np.minimum.at(least, cell, label)
        found = np.full(int(pair.max(initial=-1)) + 1, len(label))
        np.minimum.at(found, pair, least[cell])
        if np.array_equal(found[pair], label):
            return _numbered(label)
        label = found[pair]


def _numbered(keys: IntArray) -> IntArray:
    return np.unique(keys, return_inverse=True)[1]


def _shares(weight: FloatArray, group: IntArray, tenant: IntArray) -> FloatArray:
    """Of each sample: what its tenant has of its group, at least `LARGEST_SHARE`."""
    pair = _numbered(group * (int(tenant.max()) + 1) + tenant)
    own, whole = np.bincount(pair, weights=weight)[pair], np.bincount(group, weights=weight)[group]
    return np.clip(own / whole, LARGEST_SHARE, 1.0)


def _limited(
    weight: FloatArray, group: IntArray, tenant: IntArray, share: FloatArray, known: FloatArray, prior: float
) -> FloatArray:
    """Weights of which nobody's exceed share / (1 - share) of all others' in any group. `share` is by sample."""
    pair = _numbered(group * (int(tenant.max()) + 1) + tenant)
    own = np.bincount(pair, weights=weight)[pair]
    others = np.bincount(group, weights=weight)[group] - own + prior
    if len(known):
        others += known[group]
    with np.errstate(divide="ignore"):  # a tenant who is alone may say everything
        most = others * share / (1.0 - share)
    return weight * np.minimum(1.0, most / np.maximum(own, np.finfo(np.float64).tiny))
