"""What is known of cells that are hardly used any more: a fit must not forget why nobody goes there.

The scheduler avoids slow machines, so the window soon holds few runs on them; shrunk to 0 they would look better than
they are and be tried again, task after task. Where the window lacks runs that the value in force rests on, the value
stays as so many runs, and only what has finished since is added to it: nothing counts twice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_optimizer.fit.samples import Samples
from cloudai_rts.arrays import BoolArray, FloatArray
from cloudai_rts.parameters import RuntimeModel

REMEMBERED: Final = 30.0
"""What is known counts as this many runs at most: so many new ones outweigh it."""


@dataclass(frozen=True, slots=True)
class Memory:
    """u in force and the runs that it stands for, [types, classes] (0: nothing is remembered); `fresh` by sample."""

    u: FloatArray
    runs: FloatArray
    fresh: BoolArray


def remember(samples: Samples, known: RuntimeModel, read_until: float) -> Memory:
    """What the model in force knows beyond the samples; it has seen those that finished until `read_until`."""
    shape = (len(samples.types), len(samples.classes))
    fresh = samples.finish > read_until
    seen_before = ~fresh & np.isfinite(samples.finish)
    seen = np.bincount(samples.cell()[seen_before], minlength=shape[0] * shape[1]).reshape(shape)
    u, runs = np.zeros(shape), np.zeros(shape)
    for c, name in enumerate(samples.types):
        for n, node_class in enumerate(samples.classes):
            count = known.Counts.get(name, {}).get(node_class, 0.0)
            if node_class in known.U.get(name, {}) and count > seen[c, n]:
                u[c, n], runs[c, n] = known.U[name][node_class], min(REMEMBERED, count)
    plenty = np.bincount(samples.cell(), minlength=shape[0] * shape[1]).reshape(shape) >= REMEMBERED
    return Memory(u, np.where(plenty, 0.0, runs), fresh)


def nothing(samples: Samples) -> Memory:
    """No memory: the samples are all there is."""
    shape = (len(samples.types), len(samples.classes))
    return Memory(np.zeros(shape), np.zeros(shape), np.ones(len(samples), np.bool_))
