"""Fragmentation: GPUs that are free and yet of no use to the tasks that usually come.

Expected over the recent mix of requests, as in FGD (Weng et al., "Beware of Fragmentation", USENIX ATC 2023), for whole
GPUs: on a node with fewer free GPUs than a task asks for, all of them are lost to that task.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray

REMEMBERED: Final = 256
LARGEST: Final = 64
"""Requests above so many GPUs on one node count as this many: no machine has more."""


@dataclass(slots=True)
class RequestMix:
    """How many GPUs the recent GPU tasks asked for."""

    _recent: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _counts: FloatArray = field(default_factory=lambda: np.zeros(LARGEST + 1))
    _too_large: FloatArray = field(default_factory=lambda: np.zeros(LARGEST + 1))
    """Share of the tasks that ask for more than g GPUs, by g."""

    def note(self, gpus: float) -> None:
        """A task was placed."""
        asked = min(LARGEST, max(1, round(gpus)))
        if len(self._recent) == REMEMBERED:
            self._counts[self._recent[0]] -= 1
        self._recent.append(asked)
        self._counts[asked] += 1
        self._too_large = 1.0 - np.cumsum(self._counts) / len(self._recent)

    def stranded(self, free: FloatArray) -> FloatArray:
        """Expected GPUs of each node that the next task cannot use, by its number of free GPUs."""
        return free * self._too_large[np.clip(free, 0, LARGEST).astype(np.int64)]

    def added(self, free: FloatArray, gpus: float) -> FloatArray:
        """GPUs that placing a task with `gpus` GPUs on each node makes useless for those that come after it."""
        return np.maximum(0.0, self.stranded(np.maximum(0.0, free - gpus)) - self.stranded(free))
