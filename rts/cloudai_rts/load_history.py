"""The typical load of each node class: the median of the last ten minutes (model equation (4))."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts.arrays import FloatArray
from cloudai_rts.deferral import COLD_TYPICAL_LOAD
from cloudai_rts.fleet import Fleet

SAMPLE_SECONDS: Final = 10.0
WINDOW_SECONDS: Final = 600.0
MIN_SAMPLES: Final = 6


@dataclass(slots=True)
class LoadHistory:
    """Samples of the mean load of each class; .5 before there are enough of them."""

    _samples: deque[FloatArray] = field(default_factory=lambda: deque(maxlen=int(WINDOW_SECONDS / SAMPLE_SECONDS)))
    _typical: FloatArray = field(default_factory=lambda: np.zeros(0, np.float64))
    _stale: bool = False

    def sample(self, fleet: Fleet) -> None:
        """Take one sample; called every `SAMPLE_SECONDS`."""
        classes = len(fleet.class_names)
        present = fleet.present
        index, load = fleet.class_index[present], fleet.load()[present]
        total = np.bincount(index, weights=load, minlength=classes)
        count = np.bincount(index, minlength=classes)
        self._samples.append(np.divide(total, count, out=np.full(classes, COLD_TYPICAL_LOAD), where=count > 0))
        self._stale = True

    def typical(self, fleet: Fleet) -> FloatArray:
        """Typical load by class; classes too new for samples have .5."""
        if self._stale and len(self._samples) >= MIN_SAMPLES:
            self._typical = self._median(len(self._samples[-1]))
            self._stale = False
        missing = len(fleet.class_names) - len(self._typical)
        if missing > 0:
            self._typical = np.pad(self._typical, (0, missing), constant_values=COLD_TYPICAL_LOAD)
        return self._typical

    def _median(self, classes: int) -> FloatArray:
        if all(len(row) == classes for row in self._samples):
            return np.asarray(np.median(np.stack(self._samples), axis=0), np.float64)
        rows = [np.pad(row, (0, classes - len(row)), constant_values=np.nan) for row in self._samples]
        return np.nan_to_num(np.nanmedian(np.stack(rows), axis=0), nan=COLD_TYPICAL_LOAD)
