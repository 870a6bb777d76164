"""How much one tenant may say about machines and types that others use too.

A tenant chooses what he runs and for how long, so a few of his runs where hardly anybody else goes would tell everybody
how fast a machine is. Robust means do not help against the only voice in a cell. Three things do: nobody has more than
a share of the weight; where tenants can be compared only what goes beyond a tenant's habits says something; and what he
says on average is pulled in to what chance, and the others among themselves, can differ by.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from cloudai_optimizer.fit.estimator import MEDIAN_TO_SD
from cloudai_optimizer.fit.samples import Samples
from cloudai_rts.arrays import FloatArray, IntArray

LARGEST_SHARE: Final = 0.25
"""Of the weight in a cell, of a type, on a node; who has more than that of the type or class may have as much there."""
SHRINK_HABIT: Final = 2.0
SHRINK_TRUST: Final = 8.0
LEAST_TRUST: Final = 0.1
MAX_Z: Final = 3.0
CHANCE: Final = 1.0
"""Sd by which a tenant's mean may be off the others'."""
FOR_SPREAD: Final = 2.5
"""The same where the spread of all runs is at stake: honest tenants must not look more alike than they are."""
FEW: Final = 3
"""So many voices it takes to tell which of them is off."""


def balanced(samples: Samples, remembered: FloatArray, prior: float) -> Samples:
    """The samples with weights in which no tenant has more than his share of a cell and a type, a node, a load.

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
        """Who ran what where in these samples."""
        tenants = max(1, len(samples.tenants))
        in_cell, cells = _numbered(samples.cell() * tenants + samples.tenant)
        on_class, classes = _numbered(samples.node_class * tenants + samples.tenant)
        of_type, types = _numbered(samples.type * tenants + samples.tenant)
        at_load, loads = _numbered(samples.load_level() * tenants + samples.tenant)
        cell_of, there = _numbered(cells // tenants)
        class_of, _ = _numbered(classes // tenants)
        faded = samples.weight / samples.voice
        own, whole = np.bincount(of_type, weights=faded), np.bincount(samples.type, weights=faded)
        share = np.minimum(1.0, own[of_type] / whole[samples.type]) if len(samples) else faded
        load_of, _ = _numbered(loads // tenants)
        return cls(of_type, in_cell, on_class, at_load, types // tenants, cell_of, class_of, load_of, there, share)

    def of_types(self, residual: FloatArray) -> FloatArray:
        """How much longer (ln) a tenant's tasks of a type take than those of the others in the same cells.

        Medians, shrunk to 0. Where nobody else is in a cell its runs say nothing of his habits: it is the machines.
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
        voices = _Voices.of(target, weight, self.in_cell, self.cell_of).and_of(
            known[self.cells][remembered], runs[self.cells][remembered], np.flatnonzero(remembered)
        )
        return _off(voices, self.in_cell, sd, self.share, CHANCE)

    def off_at_loads(self, target: FloatArray, weight: FloatArray, sd: FloatArray) -> FloatArray:
        """By sample: how far (ln) its tenant's mean at such a load is off the others', beyond what can be."""
        return _off(_Voices.of(target, weight, self.at_load, self.load_of), self.at_load, sd, self.share, CHANCE)

    def off_in_types(
        self, target: FloatArray, weight: FloatArray, sd: FloatArray, chance: float = CHANCE
    ) -> FloatArray:
        """By sample: how far (ln) its tenant's mean of its type is off the others', beyond what can be.

        Of two tenants, who run different things, neither is off.
        """
        voices = _Voices.of(target, weight, self.of_type, self.type_of)
        there = voices.count()[self.type_of][self.of_type]
        return np.where(there < FEW, 0.0, _off(voices, self.of_type, sd, self.share, chance))


@dataclass(frozen=True, slots=True)
class _Voices:
    """Means that are about the same thing (a cell, a type), and what they weigh. `about` numbers those things."""

    mean: FloatArray
    weight: FloatArray
    about: IntArray

    @classmethod
    def of(cls, values: FloatArray, weight: FloatArray, own: IntArray, about: IntArray) -> "_Voices":
        """One voice for each number in `own` (by sample)."""
        mass: FloatArray = np.bincount(own, weights=weight, minlength=len(about)).astype(np.float64)
        total = np.bincount(own, weights=weight * values, minlength=len(about))
        return cls(np.divide(total, mass, out=np.zeros(len(about)), where=mass > 0), mass, about)

    def and_of(self, mean: FloatArray, weight: FloatArray, about: IntArray) -> "_Voices":
        """These voices and others."""
        return _Voices(
            np.concatenate([self.mean, mean]),
            np.concatenate([self.weight, weight]),
            np.concatenate([self.about, about]),
        )

    def count(self) -> IntArray:
        """Voices that weigh anything, by thing."""
        return np.bincount(self.about, weights=self.weight > 0).astype(np.int64)

    def evened(self) -> "_Voices":
        """Where there are three, none weighs more than the second heaviest: one alone must not be the measure."""
        order = np.lexsort((self.weight, self.about))
        last = np.cumsum(np.bincount(self.about)) - 1
        second = self.weight[order][np.maximum(last - 1, 0)]
        most = np.where(self.count() < FEW, np.inf, second)[self.about]
        return _Voices(self.mean, np.minimum(self.weight, most), self.about)

    def usual(self, values: FloatArray) -> FloatArray:
        """Weighted median over the voices on each thing."""
        order = np.lexsort((values, self.about))
        about, weight = self.about[order], self.weight[order]
        whole = np.bincount(about, weights=weight)
        before = np.concatenate([[0.0], np.cumsum(whole)[:-1]])
        reached = np.cumsum(weight) - before[about] >= whole[about] / 2 - 1e-12
        first = np.full(len(whole), len(order) - 1)
        np.minimum.at(first, about[reached], np.flatnonzero(reached))
        return np.asarray(values[order][first])


def _off(voices: _Voices, own: IntArray, sd: FloatArray, share: FloatArray, most: float) -> FloatArray:
    """By sample: what is beyond `most` sd of its voice's distance to the usual, or of the voices among each other.

    The more of it all is his, the less the others can say against him; who is alone may say everything.
    """
    if not len(own):
        return sd
    votes = voices.evened()
    usual = votes.usual(voices.mean)[voices.about]
    apart = MEDIAN_TO_SD * votes.usual(np.abs(voices.mean - usual))[voices.about]
    mine = voices.weight[own]
    others = np.bincount(voices.about, weights=voices.weight)[voices.about][own] - mine
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = sd * np.sqrt(1.0 / mine + 1.0 / np.maximum(others, 0.0))
        room = most * np.maximum(chance, apart[own]) / (1.0 - share)
    distance = (voices.mean - usual)[own]
    return np.where(np.isfinite(room), distance - np.clip(distance, -room, room), 0.0)


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
    voices = _Voices(variance, one_vote_each, np.zeros(len(mass), np.int64))
    by_tenant: FloatArray = np.clip(voices.usual(variance)[0] / variance, LEAST_TRUST, 1.0)
    return by_tenant[samples.tenant]


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
