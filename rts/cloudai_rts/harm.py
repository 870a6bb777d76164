"""h_j of model equation (2a): how much lateness one more unit of load would cause to the tasks already on each node.

One number a node, refreshed when the node's tasks change or after ten seconds, so that a decision costs one vector
operation whatever runs in the cluster.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_rts import lateness
from cloudai_rts.arrays import FloatArray
from cloudai_rts.fleet import Fleet
from cloudai_rts.parameters import Document

REFRESH_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task with a deadline on a node. Times in seconds since the epoch, `predicted` in seconds."""

    predicted: float
    started: float
    deadline: float
    log_sd: float


@dataclass(slots=True)
class HarmTable:
    """The running tasks with a deadline by slot, and h_j of every slot."""

    _tasks: dict[int, dict[str, RunningTask]] = field(default_factory=dict)
    _dirty: set[int] = field(default_factory=set)
    _values: FloatArray = field(default_factory=lambda: np.zeros(0, np.float64))
    _refreshed: float = -1e18

    def add(self, slot: int, uid: str, task: RunningTask) -> None:
        """A task began (or is about to begin) on a node."""
        self._tasks.setdefault(slot, {})[uid] = task
        self._dirty.add(slot)

    def remove(self, slot: int, uid: str) -> None:
        """A task is gone from a node; unknown ones are ignored."""
        tasks = self._tasks.get(slot)
        if tasks is not None and tasks.pop(uid, None) is not None:
            self._dirty.add(slot)
            if not tasks:
                del self._tasks[slot]

    def clear(self, slot: int) -> None:
        """A node is gone."""
        self._tasks.pop(slot, None)
        self._dirty.add(slot)

    def values(self, fleet: Fleet, document: Document, now: float) -> FloatArray:
        """h_j for all slots."""
        width = len(fleet)
        if len(self._values) < width:
            self._values = np.pad(self._values, (0, width - len(self._values)))
        if now - self._refreshed > REFRESH_SECONDS:
            self._dirty.update(self._tasks)
            self._refreshed = now
        if self._dirty:
            self._refresh(fleet, document, now)
        return self._values[:width]

    def _refresh(self, fleet: Fleet, document: Document, now: float) -> None:
        slots = sorted(self._dirty)
        self._dirty.clear()
        position = {slot: index for index, slot in enumerate(slots)}
        flat = [(position[slot], task) for slot in slots for task in self._tasks.get(slot, {}).values()]
        index = np.array(slots, np.int64)
        if not flat:
            self._values[index] = 0.0
            return
        running = lateness.RunningTasks(
            node=np.array([where for where, _ in flat], np.int64),
            predicted=np.array([task.predicted for _, task in flat]),
            elapsed=np.array([max(0.0, now - task.started) for _, task in flat]),
            slack=np.array([task.deadline - now for _, task in flat]),
            log_sd=np.array([task.log_sd for _, task in flat]),
        )
        load = fleet.load()[index]
        self._values[index] = lateness.harm(running, load, document.Runtime, document.Lateness.LoadScale)
