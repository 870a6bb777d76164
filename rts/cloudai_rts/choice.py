"""Picking one node from scores: argmin with ties broken by a rotating start, and round-robin (EDD 3.9)."""

import numpy as np

from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.errors import UndecidableError

TIE_TOLERANCE = 1e-9
"""Scores this close (relative to 1 or to the score) are equal: a sum's last bits are no reason to prefer a node."""


class Rotation:
    """Where the next tie is broken and where round-robin goes on. The only state of a choice.

    Equal nodes are shared evenly because each choice starts the next search behind itself; a fixed start would send
    everything to the first node of the list.
    """

    def __init__(self, start: int = 0) -> None:
        self._start = start

    def pick(self, slots: IntArray) -> int:
        """Return the first of `slots` (ascending, not empty) at or behind the start, cyclically, and move on."""
        position = int(np.searchsorted(slots, self._start))
        chosen = int(slots[position % len(slots)])
        self._start = chosen + 1
        return chosen


def lowest(risk: FloatArray, slots: IntArray, rotation: Rotation) -> int:
    """Return the slot with the lowest risk. `risk` belongs to `slots` (ascending), entry by entry.

    NaN and infinite scores never win; if there are no others, raises `UndecidableError`.
    """
    usable = np.where(np.isfinite(risk), risk, np.inf)
    best = float(usable.min()) if len(usable) else np.inf
    if not np.isfinite(best):
        raise UndecidableError(f"none of the {len(risk)} scores is a finite number")
    tied = slots[usable <= best + TIE_TOLERANCE * max(1.0, abs(best))]
    return rotation.pick(tied)


def runner_up(risk: FloatArray, slots: IntArray, chosen: int) -> tuple[int, float] | None:
    """Return slot and risk of the best candidate besides the chosen one, None where there is no other."""
    others = np.where((slots != chosen) & np.isfinite(risk), risk, np.inf)
    if not len(others):
        return None
    best = int(np.argmin(others))
    return (int(slots[best]), float(others[best])) if np.isfinite(others[best]) else None
