"""The memory of cells that are hardly used any more: a fit must not forget why nobody goes there.

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
"""The memory counts as this many runs at most: so many new ones outweigh it."""


@dataclass(frozen=True, slots=True)
class Memory:
    """u in force and the runs that it stands for, [types, classes] (0: nothing is remembered); `fresh` by sample.

    With new runs added it stands for `most` runs at most. `known` is u in force of all cells, NaN where there is none,
    and `reference_runs` by type what the zero that it counts from stands for: nothing is added to that, but it may
    speak against a tenant that is alone there.
    """

    u: FloatArray
    runs: FloatArray
    fresh: BoolArray
    known: FloatArray
    reference_runs: FloatArray
    most: float = REMEMBERED


def remember(
    samples: Samples, known: RuntimeModel, read_until: float, reference: int, most: float = REMEMBERED
) -> Memory:
    """What the model in force knows beyond the samples; it has seen those that finished until `read_until`.

    u is given against the class with the index `reference`, whatever class it counts from in the model. With `most` 0
    nothing is remembered.
    """
    if not len(samples):
        return nothing(samples)
    ended = np.isfinite(samples.finish)
    fresh = samples.finish > read_until
    seen, all_ended = _by_cell(samples, ended & ~fresh), _by_cell(samples, ended)
    u, runs = np.zeros(seen.shape), np.zeros(seen.shape)
    everywhere, at_zero = np.full(seen.shape, np.nan), np.zeros(len(seen))
    zero = samples.classes[reference]
    for c, name in enumerate(samples.types):
        row = known.U.get(name, {})
        base = row.get(zero, 0.0 if zero == known.ReferenceClass else None)
        if base is None:
            continue  # there is nothing that the two scales have in common
        for n, node_class in enumerate(samples.classes):
            count = known.Counts.get(name, {}).get(node_class, 0.0)
            if node_class in row:
                everywhere[c, n] = row[node_class] - base
            lacks = count > seen[c, n] and all_ended[c, n] < most
            if lacks and n == reference:
                at_zero[c] = min(most, count)
            elif lacks and node_class in row:
                u[c, n], runs[c, n] = row[node_class] - base, min(most, count)
    return Memory(u, runs, fresh, everywhere, at_zero, most)


def _by_cell(samples: Samples, which: BoolArray) -> FloatArray:
    """How many of these samples each cell has, [types, classes]; as far as their tenants have a voice there."""
    shape = (len(samples.types), len(samples.classes))
    runs = np.bincount(samples.cell()[which], weights=samples.voice[which], minlength=shape[0] * shape[1])
    return runs.reshape(shape).astype(np.float64)


def nothing(samples: Samples) -> Memory:
    """No memory: the samples are all there is."""
    shape = (len(samples.types), len(samples.classes))
    unknown, fresh = np.full(shape, np.nan), np.ones(len(samples), np.bool_)
    return Memory(np.zeros(shape), np.zeros(shape), fresh, unknown, np.zeros(shape[0]))
