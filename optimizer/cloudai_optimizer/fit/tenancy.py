"""How much one tenant may say about machines and types that others use too.

A tenant chooses what it runs and for how long, so a few of its runs where hardly anybody else goes would tell everybody
how fast a machine is. Robust means do not help against the only voice in a cell. Three things do: nobody has more than
a share of the weight; where tenants can be compared only what goes beyond a tenant's habits says something; and what it
says on average is pulled in to what chance, and the others among themselves, can differ by.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from cloudai_optimizer.fit.samples import Samples
from cloudai_optimizer.fit.voices import FEW, Voices, off_the_usual
from cloudai_rts.arrays import FloatArray, IntArray

LARGEST_SHARE: Final = 0.25
"""Of the weight in a cell, of a type, on a node; one that has more of the type or class may have as much there."""
SHRINK_HABIT: Final = 2.0
SHRINK_TRUST: Final = 8.0
LEAST_TRUST: Final = 0.1
MAX_Z: Final = 3.0
CHANCE: Final = 1.0
"""Sd by which a tenant's mean may be off the others'."""
FOR_SPREAD: Final = 2.5
"""The same where the spread of all runs is at stake: honest tenants must not look more alike than they are."""


def balanced(samples: Samples, remembered: FloatArray, prior: float) -> Samples:
    """The samples with weights in which no tenant has more than its share of a cell and a type, a node, a load.

    Its share is what it has of the type, or of the nodes of the class: what only it runs, or where only it runs,
    concerns no other tenant. `remembered` is what earlier runs count for in each cell, `prior` what is assumed of all:
    both speak against it.
    """
    if not len(samples):
        return samples
    faded = samples.weight / samples.voice
    nothing = np.zeros(0)
    of_type, of_class = (_shares(faded, group, samples.tenant) for group in (samples.type, samples.node_class))
    weight = _limited(faded, samples.cell(), samples.tenant, of_type, remembered.ravel(), prior)
    weight = _limited(weight, samples.type, samples.tenant, of_type, nothing, prior)
    on_node = _limited(faded, samples.node, samples.tenant, of_class, nothing, prior)
    at_load = _limited(weight, samples.load_level(), samples.tenant, of_type, nothing, prior)
    return replace(samples, weight=weight, node_weight=on_node, load_weight=at_load, voice=weight / faded)


@dataclass(frozen=True, slots=True)
class Habits:
    """What tenants' runs have in common, to be taken out before machines are compared.

    Arrays are by sample: they number the runs of one tenant of one type, in one cell, on one class, at one load.
    `type_of`, `cell_of`, `class_of` and `load_of` say to which type, cell, class and load each of those groups belongs,
    `cells` which cells there are at all. `share` is what the tenant of each sample has of its type.
    """

    of_type: IntArray
    in_cell: IntArray
    on_class: IntArray
    at_load: IntArray
    type_of: IntArray
    cell_of: IntArray
    class_of: IntArray
    load_of: IntArray
    cells: IntArray
    share: FloatArray

    @classmethod
    def of(cls, samples: Samples) -> "Habits":
        """Which tenant ran what where in these samples."""
        tenants = max(1, len(samples.tenants))
        in_cell, cells = _numbered(samples.cell() * tenants + samples.tenant)
        on_class, classes = _numbered(samples.node_class * tenants + samples.tenant)
        of_type, types = _numbered(samples.type * tenants + samples.tenant)
        at_load, loads = _numbered(samples.load_level() * tenants + samples.tenant)
        cell_of, distinct = _numbered(cells // tenants)
        class_of, _ = _numbered(classes // tenants)
        faded = samples.weight / samples.voice
        own, whole = np.bincount(of_type, weights=faded), np.bincount(samples.type, weights=faded)
        share = np.minimum(1.0, own[of_type] / whole[samples.type]) if len(samples) else faded
        load_of, _ = _numbered(loads // tenants)
        return cls(of_type, in_cell, on_class, at_load, types // tenants, cell_of, class_of, load_of, distinct, share)

    def of_types(self, residual: FloatArray) -> FloatArray:
        """How much longer (ln) a tenant's tasks of a type take than those of the others in the same cells.

        Medians, shrunk to 0. Where nobody else is in a cell its runs say nothing of habits: it is the machines.
        """
        return _beyond(residual, self.of_type, self.in_cell, self.cell_of)

    def of_classes(self, residual: FloatArray) -> FloatArray:
        """How much longer a tenant's tasks take on the machines of a class than those of the others there."""
        return _beyond(residual, self.on_class, self.on_class, self.class_of)

    def off_in_cells(
        self, target: FloatArray, weight: FloatArray, sd: FloatArray, known: FloatArray, runs: FloatArray
    ) -> FloatArray:
        """By sample: how far (ln) its tenant's mean in its cell is off the others', beyond what can be.

        `sd` is by sample; `known` of each cell counts like so many `runs` of the others.
        """
        remembered = runs[self.cells] > 0
        voices = Voices.of(target, weight, self.in_cell, self.cell_of).and_of(
            known[self.cells][remembered], runs[self.cells][remembered], np.flatnonzero(remembered)
        )
        return off_the_usual(voices, self.in_cell, sd, self.share, CHANCE)

    def off_at_loads(self, target: FloatArray, weight: FloatArray, sd: FloatArray) -> FloatArray:
        """By sample: how far (ln) its tenant's mean at such a load is off the others', beyond what can be."""
        return off_the_usual(
            Voices.of(target, weight, self.at_load, self.load_of), self.at_load, sd, self.share, CHANCE
        )

    def off_in_types(
        self, target: FloatArray, weight: FloatArray, sd: FloatArray, chance: float = CHANCE
    ) -> FloatArray:
        """By sample: how far (ln) its tenant's mean of its type is off the others', beyond what can be.

        Of two tenants, who run different things, neither is off.
        """
        voices = Voices.of(target, weight, self.of_type, self.type_of)
        count = voices.count()[self.type_of][self.of_type]
        return np.where(count < FEW, 0.0, off_the_usual(voices, self.of_type, sd, self.share, chance))


def trust(residual: FloatArray, sd: FloatArray, samples: Samples) -> FloatArray:
    """By sample: how much its tenant's runs say, 1 at most: less where they vary more than is usual among tenants.

    Runs say by the inverse of their variance; in each type that is against all runs of it. Residuals beyond three sd
    count as such. Of two tenants nobody can say what is usual.
    """
    if len(samples.tenants) < FEW:
        return np.ones(len(samples))
    z = np.minimum((residual / sd) ** 2, MAX_Z**2)
    mass = np.bincount(samples.tenant, weights=samples.weight).astype(np.float64)
    variance = (np.bincount(samples.tenant, weights=samples.weight * z) + SHRINK_TRUST) / (mass + SHRINK_TRUST)
    one_vote_each = np.minimum(mass, SHRINK_TRUST)
    voices = Voices(variance, one_vote_each, np.zeros(len(mass), np.int64))
    by_tenant: FloatArray = np.clip(voices.usual(variance)[0] / variance, LEAST_TRUST, 1.0)
    return by_tenant[samples.tenant]


def _beyond(residual: FloatArray, own: IntArray, part: IntArray, whole_of: IntArray) -> FloatArray:
    """By sample: the median by `own` of what is beyond the usual, shrunk to 0.

    The usual is, of a whole, the median of its parts' medians: one vote a tenant, however much it runs.
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
