"""How much of the cluster each namespace has had lately: a deadline must not be a free priority.

The dominant share of a namespace (Ghodsi et al., NSDI 2011) is the largest of the shares of one resource that its pods
hold; GPUs are scarce, so they dominate where they are asked for. It counts with a half-life. After a restart it is what
the bound pods hold then. Levels are coarse, a factor of two each, so that deadlines decide between equals.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts.contract import PODS
from cloudai_rts.fleet import Fleet, Resources

SMALLEST_SHARE: Final = 0.01
"""Namespaces with less than this of everything are equals."""
HALF_LIFE_SECONDS: Final = 3600.0
"""An hour: with it the others miss at most half a point more where a namespace claims to need everything sooner
(benchmarks/fair_share.py), instead of three.
"""
FORGOTTEN_SHARE: Final = 1e-6


@dataclass(slots=True)
class Shares:
    """Use by namespace. `half_life_seconds` 0: all namespaces are equals. Times in seconds."""

    half_life_seconds: float = 0.0
    _held: dict[str, Counter[str]] = field(default_factory=dict)
    _recent: dict[str, float] = field(default_factory=dict)
    _levels: dict[str, int] = field(default_factory=dict)
    _seen_at: float | None = None

    def hold(self, namespace: str, amounts: Resources, sign: int = 1) -> None:
        """Count what a pod on a node holds (`sign=-1`: it is gone)."""
        held = self._held.setdefault(namespace, Counter())
        for resource, amount in amounts.items():
            if resource == PODS:
                continue
            rest = held.get(resource, 0) + sign * amount
            if rest:
                held[resource] = rest
            else:
                held.pop(resource, None)
        if not held:
            del self._held[namespace]

    @property
    def tally(self) -> Mapping[str, Mapping[str, int]]:
        """What the pods of each namespace hold."""
        return self._held

    def level(self, namespace: str) -> int:
        """0 for those who have had little; each further level means twice as much."""
        return self._levels.get(namespace, 0)

    def advance(self, now: float, fleet: Fleet) -> set[str]:
        """Let time pass. Returns the namespaces whose level has fallen: their pods are to move up."""
        if self.half_life_seconds <= 0.0:
            return set()
        passed = 0.0 if self._seen_at is None else max(0.0, now - self._seen_at)
        kept = 0.0 if self._seen_at is None else 0.5 ** (passed / self.half_life_seconds)
        self._seen_at = now
        totals = {resource: float(np.sum(fleet.allocatable(resource))) for resource in fleet.resources}
        for namespace in self._held.keys() | self._recent.keys():
            held = self._held.get(namespace, Counter())
            shares = [amount / totals[name] for name, amount in held.items() if totals.get(name)]
            self._recent[namespace] = kept * self._recent.get(namespace, 0.0) + (1.0 - kept) * max(shares, default=0.0)
        before, self._levels = self._levels, {}
        for namespace, share in list(self._recent.items()):
            if share < FORGOTTEN_SHARE and namespace not in self._held:
                del self._recent[namespace]
            elif share >= SMALLEST_SHARE:
                self._levels[namespace] = 1 + math.floor(math.log2(share / SMALLEST_SHARE))
        return {namespace for namespace, level in before.items() if self.level(namespace) < level}
