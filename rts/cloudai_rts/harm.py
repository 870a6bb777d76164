"""h_j of model equation (2a): how much lateness one more unit of load would cause to the tasks already on each node.

One number a node, refreshed when the node's tasks change or after ten seconds, so that a decision costs one vector
operation whatever runs in the cluster.
"""

import zlib
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts import lateness
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_rts.fleet import Fleet
from cloudai_rts.parameters import Document

REFRESH_SECONDS: Final = 10.0
_COLUMNS: Final = 10
_FIRST_ROWS: Final = 64


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task with a deadline on a node. Times in seconds since the epoch, `predicted` in seconds.

    What it says about itself is its `tenant`'s claim: the harm of one tenant's tasks on a node is limited. At its end
    `gpus` devices of `gpu_resource`, `cpu` millicores and `memory` bytes are free again.
    """

    predicted: float
    started: float
    deadline: float
    log_sd: float
    tenant: str = ""
    gpu_resource: str = ""
    gpus: int = 0
    cpu: int = 0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class RunningRows:
    """Tasks with a predicted end, one entry each: node (slot) and times in seconds.

    `held` is what they give back, `[devices, millicores, bytes] x tasks`.
    """

    slot: IntArray
    predicted: FloatArray
    started: FloatArray
    log_sd: FloatArray
    held: IntArray

    def ends(self, now: float, log_above: FloatArray) -> FloatArray:
        """When each will have ended, whose run time is so far (in its logarithm) above what was predicted."""
        left = self.started + self.predicted * np.exp(log_above) - now
        return now + np.maximum(left, lateness.MIN_REMAINING_SHARE * self.predicted)


@dataclass(slots=True)
class HarmTable:
    """The running tasks with a deadline by slot, and h_j of every slot.

    Tasks are columns of one matrix (slot, predicted, started, deadline, sd, tenant), so that all of them are looked at
    together; slot -1: free.
    """

    _rows: dict[int, dict[str, int]] = field(default_factory=dict)
    _free: list[int] = field(default_factory=list)
    _table: FloatArray = field(default_factory=lambda: np.full((_COLUMNS, _FIRST_ROWS), -1.0))
    _dirty: set[int] = field(default_factory=set)
    _values: FloatArray = field(default_factory=lambda: np.zeros(0, np.float64))
    _refreshed: float = -1e18

    def __post_init__(self) -> None:
        self._free = list(range(_FIRST_ROWS))

    def add(self, slot: int, uid: str, task: RunningTask) -> None:
        """A task began (or is about to begin) on a node."""
        rows = self._rows.setdefault(slot, {})
        if uid not in rows:
            if not self._free:
                self._grow()
            rows[uid] = self._free.pop()
        tenant, resource = _number(task.tenant), _number(task.gpu_resource)
        times = (task.predicted, task.started, task.deadline, task.log_sd)
        self._table[:, rows[uid]] = (slot, *times, tenant, task.gpus, task.cpu, task.memory, resource)
        self._dirty.add(slot)

    def remove(self, slot: int, uid: str) -> None:
        """A task is gone from a node; unknown ones are ignored."""
        rows = self._rows.get(slot)
        if rows is not None and uid in rows:
            row = rows.pop(uid)
            self._table[0, row] = -1.0
            self._free.append(row)
            self._dirty.add(slot)
            if not rows:
                del self._rows[slot]

    def clear(self, slot: int) -> None:
        """A node is gone."""
        rows = list(self._rows.pop(slot, {}).values())
        self._table[0, rows] = -1.0
        self._free.extend(rows)
        self._dirty.add(slot)

    def rows(self, gpu_resource: str) -> RunningRows:
        """Everything that runs and has a predicted end; devices of other resources are not counted."""
        table = self._table[:, self._table[0] >= 0]
        held = table[6:9].astype(np.int64)
        held[0, table[9] != _number(gpu_resource)] = 0
        return RunningRows(table[0].astype(np.int64), table[1], table[2], table[4], held)

    def values(self, fleet: Fleet, document: Document, now: float) -> FloatArray:
        """h_j for all slots."""
        width = len(fleet)
        if len(self._values) < width:
            self._values = np.pad(self._values, (0, width - len(self._values)))
        if now - self._refreshed > REFRESH_SECONDS:
            self._refreshed = now
            self._refresh(fleet, document, now, np.arange(width), np.flatnonzero(self._table[0] >= 0))
        elif self._dirty:
            slots = np.array(sorted(self._dirty), np.int64)
            rows = [row for slot in self._dirty for row in self._rows.get(slot, {}).values()]
            self._refresh(fleet, document, now, slots, np.array(rows, np.int64))
        return self._values[:width]

    def _refresh(self, fleet: Fleet, document: Document, now: float, slots: IntArray, rows: IntArray) -> None:
        """Look at these nodes (ascending) and the tasks on them again."""
        self._dirty.clear()
        slot, predicted, started, deadline, log_sd, tenant = self._table[:6, rows]
        node = np.searchsorted(slots, slot)
        elapsed = np.maximum(0.0, now - started)
        running = lateness.RunningTasks(node, predicted, elapsed, deadline - now, log_sd, tenant.astype(np.int64))
        load = fleet.load()[slots]
        self._values[slots] = lateness.harm(running, load, document.Runtime, document.Lateness.LoadScale)

    def _grow(self) -> None:
        count = self._table.shape[1]
        self._table = np.pad(self._table, ((0, 0), (0, count)), constant_values=-1.0)
        self._free = list(range(count, 2 * count))


def _number(name: str) -> int:
    return zlib.crc32(name.encode(errors="replace"))
