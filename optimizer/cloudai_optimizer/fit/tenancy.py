"""How much one tenant may say about machines that others use too.

A tenant chooses what he runs and for how long, so a few of his runs where hardly anybody else goes would tell everybody
how fast a machine is. Robust means do not help against the only voice in a cell. Two things do: nobody has more than a
share of the weight, and where tenants can be compared only what goes beyond a tenant's habits says something.
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
    """The samples with weights in which no tenant has more than his share of a cell and a type, and of a node.

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
    on_node = _limited(faded, samples.node, samples.tenant, of_class, nothing, prior)
    return replace(samples, weight=weight, node_weight=on_node, voice=weight / faded)


@dataclass(frozen=True, slots=True)
class Habits:
    """What tenants' runs have in common, to be taken out before machines are compared.

    Arrays are by sample: they number the runs of one tenant of one type, in one cell, on one class. `cell_of` and
    `class_of` say to which cell and class each of those groups belongs.
    """

    of_type: IntArray
    in_cell: IntArray
    on_class: IntArray
    cell_of: IntArray
    class_of: IntArray

    @classmethod
    def of(cls, samples: Samples) -> "Habits":
        """Who ran what where in these samples."""
        tenants = max(1, len(samples.tenants))
        in_cell, cells = _numbered(samples.cell() * tenants + samples.tenant)
        on_class, classes = _numbered(samples.node_class * tenants + samples.tenant)
        of_type, _ = _numbered(samples.type * tenants + samples.tenant)
        return cls(of_type, in_cell, on_class, _numbered(cells // tenants)[0], _numbered(classes // tenants)[0])

    def of_types(self, residual: FloatArray) -> FloatArray:
        """How much longer (ln) a tenant's tasks of a type take than those of the others in the same cells.

        Medians, shrunk to 0. Where nobody else is in a cell its runs say nothing of his habits: it is the machines.
        """
        return _beyond(residual, self.of_type, self.in_cell, self.cell_of)

    def of_classes(self, residual: FloatArray) -> FloatArray:
        """How much longer a tenant's tasks take on the machines of a class than those of the others there."""
        return _beyond(residual, self.on_class, self.on_class, self.class_of)


def _beyond(residual: FloatArray, own: IntArray, part: IntArray, whole_of: IntArray) -> FloatArray:
    """By sample: the median by `own` of what is beyond the usual, shrunk to 0.

    The usual is, of a whole, the median of its parts' medians: one vote a tenant, however much he runs.
    """
    if not len(residual):
        return residual
    usual = _medians(_medians(residual, part), whole_of)[whole_of][part]
    count = np.bincount(own)
    return (_medians(residual - usual, own) * count / (count + SHRINK_HABIT))[own]


def _medians(values: FloatArray, group: IntArray) -> FloatArray:
    """The median of each group. Groups are numbered without gaps."""
    count = np.bincount(group)
    ordered = values[np.lexsort((values, group))]
    begin = np.cumsum(count) - count
    median: FloatArray = (ordered[begin + (count - 1) // 2] + ordered[begin + count // 2]) / 2
    return median


def _numbered(keys: IntArray) -> tuple[IntArray, IntArray]:
    """The keys numbered without gaps, and the keys in that order."""
    known, number = np.unique(keys, return_inverse=True)
    return number, known


def _shares(weight: FloatArray, group: IntArray, tenant: IntArray) -> FloatArray:
    """Of each sample: what its tenant has of its group, at least `LARGEST_SHARE`."""
    pair, _ = _numbered(group * (int(tenant.max()) + 1) + tenant)
    own, whole = np.bincount(pair, weights=weight)[pair], np.bincount(group, weights=weight)[group]
    return np.clip(own / whole, LARGEST_SHARE, 1.0)


def _limited(
    weight: FloatArray, group: IntArray, tenant: IntArray, share: FloatArray, known: FloatArray, prior: float
) -> FloatArray:
    """Weights of which nobody's exceed share / (1 - share) of all others' in any group. `share` is by sample."""
    pair, _ = _numbered(group * (int(tenant.max()) + 1) + tenant)
    own = np.bincount(pair, weights=weight)[pair]
    others = np.bincount(group, weights=weight)[group] - own + prior
    if len(known):
        others += known[group]
    with np.errstate(divide="ignore"):  # a tenant who is alone may say everything
        most = others * share / (1.0 - share)
    return weight * np.minimum(1.0, most / np.maximum(own, np.finfo(np.float64).tiny))
