"""Topology domains: nodes that share the value of a label, as numbers by slot.

Brought up to date with the nodes that changed since the last look, so that a cycle pays for changes only.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from cloudai_rts.arrays import IntArray
from cloudai_scheduler.cluster.journal import Journal

KEPT_KEYS: Final = 64
NONE: Final = -1
"""A node without the label is in no domain."""


class Labelled(Protocol):
    """A node as far as its labels go."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""


@dataclass(slots=True)
class _Kept:
    """Domain of each slot by one key; `seen` is how many changes of nodes are in it."""

    of_slot: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    numbers: dict[str, int] = field(default_factory=dict)
    seen: int = -1

    def put(self, key: str, nodes: Mapping[int, Labelled]) -> None:
        """Number the nodes' values of the label."""
        for slot, node in nodes.items():
            value = node.labels.get(key)
            if value is not None:
                self.of_slot[slot] = self.numbers.setdefault(value, len(self.numbers))


@dataclass(slots=True)
class Domains:
    """Domains by topology key."""

    _kept: OrderedDict[str, _Kept] = field(default_factory=OrderedDict)

    def numbers(self, key: str) -> Mapping[str, int]:
        """The number of each value of a label that `of` was asked for last."""
        return self._kept[key].numbers

    def of(self, key: str, nodes: Mapping[int, Labelled], width: int, changes: Journal) -> IntArray:
        """The domain of each slot, `NONE` where the node lacks the label or there is no node.

        `changes` are those of nodes.
        """
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_KEYS:
            self._kept.popitem(last=False)
        changed = changes.since(kept.seen)
        if changed is None:
            kept.numbers.clear()
            kept.of_slot = np.full(max(width, len(kept.of_slot)), NONE, np.int64)
            kept.put(key, nodes)
        else:
            slots = {*changed, *range(len(kept.of_slot), width)}
            if slots:
                grown = np.full(max(width, len(kept.of_slot)), NONE, np.int64)
                grown[: len(kept.of_slot)] = kept.of_slot
                grown[list(slots)] = NONE
                kept.of_slot = grown
                kept.put(key, {slot: nodes[slot] for slot in slots if slot in nodes})
        kept.seen = len(changes)
        return kept.of_slot[:width]
