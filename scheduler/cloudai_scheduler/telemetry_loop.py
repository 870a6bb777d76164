"""Node load from Prometheus, every 15 s, in a thread of its own: never in the way of a decision.

A node whose sample is older than 90 s falls back to what is requested there; a pod placed after the sample counts at
once. A fatal GPU error closes the node for GPU work.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_kube import telemetry
from cloudai_kube.errors import KubeError
from cloudai_kube.events import Recorder, Subject
from cloudai_kube.telemetry import FATAL_XIDS, RATE_SECONDS, STALE_SECONDS, NodeNames, Snapshot, Source
from cloudai_rts import contract
from cloudai_rts.arrays import IntArray
from cloudai_rts.contract import CPU, MEMORY
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.metrics import SchedulerMetrics

INTERVAL_SECONDS: Final = 15.0
REMEMBERED: Final = 64
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class TelemetryLoop:
    """Brings measured use into the fleet. `run` ends only by cancellation."""

    source: Source
    state: ClusterState
    rejections: Rejections
    recorder: Recorder
    metrics: SchedulerMetrics
    clock: Callable[[], float]
    interval_seconds: float = INTERVAL_SECONDS
    _last_success: float = -1e18
    _topology: int = -1
    _requests: deque[tuple[float, IntArray, IntArray]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _xids: dict[tuple[str, str], float] = field(default_factory=dict)

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            self.remember()
            try:
                names = NodeNames(frozenset(self.state.nodes), self.state.addresses)
                found = await asyncio.to_thread(telemetry.read, self.source, names, self.clock())
            except KubeError as error:
                self.metrics.telemetry_errors.inc()
                _log.info("telemetry: %s", error)
                if self.clock() - self._last_success > STALE_SECONDS:
                    self.apply(Snapshot())
            except Exception:  # noqa: BLE001  whatever Prometheus says, decisions go on
                self.metrics.telemetry_errors.inc()
                _log.exception("telemetry")
            else:
                self._last_success = self.clock()
                self.apply(found)
            await asyncio.sleep(self.interval_seconds)

    def remember(self) -> None:
        """Keep what is requested now: a sample that arrives later is compared with the moment it was taken at."""
        fleet = self.state.fleet
        if fleet.topology != self._topology:  # slots may mean other nodes now
            self._topology = fleet.topology
            self._requests.clear()
        self._requests.append((self.clock(), fleet.requested(CPU).copy(), fleet.requested(MEMORY).copy()))

    def _requested_at(self, at: float) -> tuple[IntArray, IntArray]:
        """Requests at a moment; from the oldest that is remembered if that is later. Rather count a pod twice than not.

        A rate of use describes the middle of its window, so the moment is half a window before the sample.
        """
        fleet = self.state.fleet
        if fleet.topology != self._topology:
            self.remember()
        known = [one for one in self._requests if one[0] <= at - RATE_SECONDS / 2] or [self._requests[0]]
        return known[-1][1], known[-1][2]

    def apply(self, found: Snapshot) -> None:
        """Take one snapshot into use."""
        fleet = self.state.fleet
        fresh = [one for one in found.nodes.values() if one.cpu is not None or one.memory is not None]
        taken_at = min((one.sampled_at for one in fresh if one.sampled_at), default=self.clock())
        requested_cpu, requested_memory = self._requested_at(taken_at)
        cpu, memory = np.zeros(len(fleet), np.int64), np.zeros(len(fleet), np.int64)
        fresh_cpu, fresh_memory = np.zeros(len(fleet), np.bool_), np.zeros(len(fleet), np.bool_)
        for name, reading in found.nodes.items():
            slot = fleet.slot(name)
            if slot is None:
                continue
            if reading.cpu is not None:
                cpu[slot], fresh_cpu[slot] = round(reading.cpu * 1000), True
            if reading.memory is not None:
                memory[slot], fresh_memory[slot] = round(reading.memory), True
            for gpu, xid in reading.xids.items():
                self._heed_gpu_error(name, gpu, xid)
        fleet.measure(CPU, cpu, fresh_cpu, requested_cpu)
        fleet.measure(MEMORY, memory, fresh_memory, requested_memory)
        self.metrics.telemetry_nodes.set(int(np.count_nonzero(fresh_cpu)))
        for reason, count in found.dropped.items():
            self.metrics.telemetry_dropped.labels(reason).inc(count)

    def _heed_gpu_error(self, node: str, gpu: str, now: float) -> None:
        """XID is a gauge that keeps its last value: only a change is news."""
        before = self._xids.get((node, gpu))
        self._xids[node, gpu] = now
        if now == before or int(now) not in FATAL_XIDS:
            return
        self.rejections.close(node, contract.DEFAULT_GPU_RESOURCE, self.clock())
        self.metrics.closures.inc()
        message = f"node {node} reports fatal GPU error XID {int(now)}; no GPU pod goes there for 10 min"
        self.recorder.warning(Subject("v1", "Node", "", node, node), "NodeClosed", message)
        _log.warning("%s", message)
