"""Weights as genes in [0, 1]: what the search varies, within bounds and within one release's step.

Only weights that a replay can judge are genes, the others would drift: `lateness` reads no affinity and no penalty, and
recorded tasks bring no soft wishes with them (rho).

Ordered weights (EDD 6: A2 > A1 > A3, G1 > G2 > G3) are encoded as increments, so that no mutation can break the order.
"""

import math
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from cloudai_optimizer.release import quantities
from cloudai_rts.arrays import FloatArray
from cloudai_rts.parameters import HINGE, AffinityTerms, Document, PenaltyTerms

STEP_SHARE: Final = 0.1
MIN_GAP: Final = 0.01
DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Gene:
    """One weight on a logarithmic scale from `low` to the end of its range.

    A release moves it by a tenth of that at most. That is a factor of 1.4 to 2.5, by weight.
    """

    group: str
    name: str
    low: float

    @property
    def high(self) -> float:
        """The end of its range, as every reader checks it."""
        return quantities.bounds(self.group, self.name)[1]

    def value(self, gene: float, incumbent: float) -> float:
        """What a gene means."""
        low, high = self._reach(incumbent)
        return round(low * math.pow(high / low, min(1.0, max(0.0, gene))), DIGITS)

    def gene(self, value: float, incumbent: float) -> float:
        """The gene of a value, or of the nearest one that is within reach."""
        low, high = self._reach(incumbent)
        return math.log(min(high, max(low, value)) / low) / math.log(high / low)

    def _reach(self, incumbent: float) -> tuple[float, float]:
        """Bounds that are within one step of what is in force."""
        middle = min(self.high, max(self.low, incumbent))
        step = math.pow(self.high / self.low, STEP_SHARE)
        return max(self.low, middle / step), min(self.high, middle * step)


LATENESS_GENES: Final = (
    Gene("Lateness", "Alpha", 1.0),
    Gene("Lateness", "Psi", 0.05),
    Gene("Lateness", "Beta", 0.02),
    Gene("Lateness", "Eta", 0.05),
    Gene("Lateness", "Zeta", 0.02),
    Gene("Lateness", "Delta", 0.02),
    Gene("Lateness", "LoadScale", 0.2),
)
HINGE_GENES: Final = (Gene("Risk", "Alpha", 0.1), Gene("Risk", "Beta", 0.05))
INCREMENTS: Final = 6
"""Under `hinge`: three for the affinity's weights, three for the penalty's, each in 0..1 of `MAX_INCREMENT`."""
MAX_INCREMENT: Final = 3.0


def genes_of(model: str) -> tuple[Gene, ...]:
    """Single weights that matter under a model."""
    return HINGE_GENES if model == HINGE else LATENESS_GENES


def length(model: str) -> int:
    """Number of genes."""
    return len(genes_of(model)) + (INCREMENTS if model == HINGE else 0)


def encode(document: Document, incumbent: Document) -> FloatArray:
    """Genes of the weights of a document, as seen from what is in force."""
    single = [gene.gene(_weight(document, gene), _weight(incumbent, gene)) for gene in genes_of(incumbent.model)]
    if incumbent.model != HINGE:
        return np.array(single, np.float64)
    a, g = document.AffinityW, document.PenaltyW
    ordered = [a.A3, a.A1 - a.A3, a.A2 - a.A1, g.G3, g.G2 - g.G3, g.G1 - g.G2]
    values = [*single, *(value / MAX_INCREMENT for value in ordered)]
    return np.array([min(1.0, max(0.0, value)) for value in values], np.float64)


def decode(genes: FloatArray, incumbent: Document) -> Document:
    """The incumbent with the weights that the genes mean; everything else as it is."""
    changed: dict[str, dict[str, float]] = {}
    single = genes_of(incumbent.model)
    for gene, value in zip(single, genes.tolist(), strict=False):
        changed.setdefault(gene.group, {})[gene.name] = gene.value(value, _weight(incumbent, gene))
    groups = {name: msgspec.structs.replace(getattr(incumbent, name), **values) for name, values in changed.items()}
    if incumbent.model != HINGE:
        return msgspec.structs.replace(incumbent, **groups)
    ordered = [max(MIN_GAP, MAX_INCREMENT * float(value)) for value in genes[len(single) :]]
    old_a, old_g = incumbent.AffinityW, incumbent.PenaltyW
    affinity = _ordered(ordered[:3], (old_a.A3, old_a.A1, old_a.A2))
    penalty = _ordered(ordered[3:], (old_g.G3, old_g.G2, old_g.G1))
    return msgspec.structs.replace(
        incumbent,
        AffinityW=AffinityTerms(A1=affinity[1], A2=affinity[2], A3=affinity[0]),
        PenaltyW=PenaltyTerms(G1=penalty[2], G2=penalty[1], G3=penalty[0], G4=old_g.G4),
        **groups,
    )


def _weight(document: Document, gene: Gene) -> float:
    return float(getattr(getattr(document, gene.group), gene.name))


def _ordered(increments: list[float], before: tuple[float, float, float]) -> list[float]:
    """Ascending weights, each at most 1 away from what is in force, at least a hair apart, at most 10."""
    wished = np.cumsum(increments)
    near = [min(old + 1.0, max(old - 1.0, float(new))) for old, new in zip(before, wished, strict=True)]
    smallest = max(0.0, near[0])
    middle = max(smallest + MIN_GAP, near[1])
    largest = max(middle + MIN_GAP, near[2])
    return [
        round(min(limit, value), 4)
        for limit, value in zip((9.98, 9.99, 10.0), (smallest, middle, largest), strict=True)
    ]
