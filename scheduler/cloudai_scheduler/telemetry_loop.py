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
from cloudai_kube.series import NodeNames
from cloudai_kube.telemetry import (
    FATAL_XIDS,
    OF_TWO_CLUSTERS,
    RATE_SECONDS,
    STALE_SECONDS,
    NodeReading,
    Snapshot,
    Source,
)
from cloudai_rts import nodeclass
from cloudai_rts.arrays import IntArray
from cloudai_rts.contract import CPU, MEMORY
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState, NodeInfo
from cloudai_scheduler.metrics import SchedulerMetrics

INTERVAL_SECONDS: Final = 15.0
REMEMBERED: Final = 64
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Requests:
    """What was requested at a moment (seconds since the epoch), by slot, and which node had which slot."""

    at: float
    topology: int
    slots: dict[str, int]
    requested: dict[str, IntArray]


NODE_EXPORTER: Final = (
    "node-exporter",
    "requests count for load; install it, or set prometheus_matchers",
)
DCGM_EXPORTER: Final = (
    "the DCGM exporter",
    "fatal GPU errors close no node, shared GPUs count as requested; docs/install.md says how to install it",
)
"""Exporters, and what goes without them."""


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
    _requests: "deque[_Requests]" = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _xids: dict[tuple[str, str], float] = field(default_factory=dict)
    _missing: set[tuple[str, str]] = field(default_factory=set)

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            self.remember()
            try:
                names = NodeNames.of(self.state.addresses)
                snapshot = await asyncio.to_thread(telemetry.read, self.source, names, self.clock())
                self.apply(snapshot)
                self._last_success = self.clock()
            except KubeError as error:
                _log.info("telemetry: %s", error)
                self._go_without()
            except Exception:  # noqa: BLE001  whatever Prometheus says, decisions go on
                _log.exception("telemetry")
                self._go_without()
            await asyncio.sleep(self.interval_seconds)

    def _go_without(self) -> None:
        """Nothing could be read: what is known stays in use until it is stale, then requests count."""
        self.metrics.telemetry_errors.inc()
        if self.clock() - self._last_success > STALE_SECONDS:
            self.apply(Snapshot())

    def remember(self) -> None:
        """Keep what is requested now: a sample that arrives later is compared with the moment it was taken at."""
        fleet = self.state.fleet
        requested = {resource: fleet.requested(resource).copy() for resource in fleet.load_resources()}
        slots = {name: info.slot for name, info in self.state.nodes.items()}
        self._requests.append(_Requests(self.clock(), fleet.topology, slots, requested))

    def _requested_at(self, at: float) -> dict[str, IntArray]:
        """Requests at a moment; from the oldest that is remembered if that is later. Rather count a pod twice than not.

        A rate of use describes the middle of its window, so the moment is half a window before the sample.
        """
        if not self._requests:
            self.remember()
        known = [requests for requests in self._requests if requests.at <= at - RATE_SECONDS / 2] or [self._requests[0]]
        return self._aligned(known[-1])

    def _aligned(self, then: "_Requests") -> dict[str, IntArray]:
        """What was requested then, by the slots of now: a node that changed or came since moves nobody else's."""
        fleet = self.state.fleet
        if then.topology == fleet.topology:
            return then.requested
        requested = {resource: fleet.requested(resource).copy() for resource in fleet.load_resources()}
        pairs = [(info.slot, then.slots[name]) for name, info in self.state.nodes.items() if name in then.slots]
        now = np.array([pair[0] for pair in pairs], np.int64)
        before = np.array([pair[1] for pair in pairs], np.int64)
        for resource, amounts in requested.items():
            if resource in then.requested:
                amounts[now] = then.requested[resource][before]
        return requested

    def apply(self, snapshot: Snapshot) -> None:
        """Take one snapshot into use."""
        self._tell_what_is_missing(snapshot)
        fleet = self.state.fleet
        fresh = [
            reading for reading in snapshot.nodes.values() if reading.cpu is not None or reading.memory is not None
        ]
        taken_at = min((reading.sampled_at for reading in fresh if reading.sampled_at), default=self.clock())
        requested = self._requested_at(taken_at)
        used = {resource: np.zeros(len(fleet), np.int64) for resource in fleet.load_resources()}
        known = {resource: np.zeros(len(fleet), np.bool_) for resource in used}
        for name, reading in snapshot.nodes.items():
            if (info := self.state.nodes.get(name)) is None:
                continue
            if self._lacks_gpus(info, reading):
                snapshot.dropped["missing GPU"] += 1
                reading.gpu = None
            for resource, amount in _measured(info, reading).items():
                used[resource][info.slot], known[resource][info.slot] = round(amount), True
            for gpu, xid in reading.xids.items():
                self._heed_gpu_error(info, gpu, xid)
        for resource, amounts in used.items():
            fleet.measure(resource, amounts, known[resource], requested.get(resource))
        self._xids = {key: xid for key, xid in self._xids.items() if key[0] in self.state.nodes}
        self.metrics.telemetry_nodes.set(int(np.count_nonzero(known[CPU])))
        if snapshot.dropped[OF_TWO_CLUSTERS]:
            _log.warning(
                "%d nodes have series of two clusters and are left out; say which one is ours with prometheus_matchers",
                snapshot.dropped[OF_TWO_CLUSTERS],
            )
        for reason, count in snapshot.dropped.items():
            self.metrics.telemetry_dropped.labels(reason).inc(count)

    def _tell_what_is_missing(self, snapshot: Snapshot) -> None:
        """Say once which exporter seems not to be there, and again after it has been there."""
        has_gpus = bool(self.state.fleet.has_gpu[self.state.fleet.present].any())
        missing = {
            NODE_EXPORTER: not any(
                reading.cpu is not None or reading.memory is not None for reading in snapshot.nodes.values()
            ),
            DCGM_EXPORTER: has_gpus and not any(reading.devices or reading.xids for reading in snapshot.nodes.values()),
        }
        for exporter, is_missing in missing.items() if self.state.nodes else ():
            if is_missing and exporter not in self._missing:
                _log.warning("Prometheus has no series of %s that belong to our nodes: %s", *exporter)
        self._missing = {exporter for exporter, is_missing in missing.items() if is_missing}
        for exporter in missing:
            self.metrics.telemetry_missing.labels(exporter[0]).set(exporter in self._missing)

    def _lacks_gpus(self, info: NodeInfo, reading: NodeReading) -> bool:
        """Whether shared GPUs of a node say nothing of themselves: the rest would look like all of them."""
        resource = info.shared_gpu_resource
        if not resource or reading.gpu is None:
            return False
        units = int(self.state.fleet.allocatable(resource)[info.slot])
        return (reading.devices or 0.0) * nodeclass.replicas(info.labels) < units

    def _heed_gpu_error(self, info: NodeInfo, gpu: str, xid: float) -> None:
        """XID is a gauge that keeps its last value: only a change is news. Which pods have that GPU nobody knows."""
        node, fleet = info.name, self.state.fleet
        before = self._xids.get((node, gpu))
        self._xids[node, gpu] = xid
        if xid == before or int(xid) not in FATAL_XIDS:
            return
        for resource in filter(self.state.classes.rules.is_accelerator, fleet.resources):
            if fleet.allocatable(resource)[info.slot] > 0:
                self.rejections.close(node, resource, self.clock())
        self.metrics.closures.inc()
        message = f"node {node} reports fatal GPU error XID {int(xid)}; no GPU pod goes there for 10 min"
        self.recorder.warning(Subject("v1", "Node", "", node, node), "NodeClosed", message)
        _log.warning("%s", message)


def _measured(info: NodeInfo, reading: NodeReading) -> dict[str, float]:
    """The use of each resource that counts for the load; busy GPUs only where pods share them, in their units."""
    units = None if reading.gpu is None else reading.gpu * nodeclass.replicas(info.labels)
    used = {CPU: None if reading.cpu is None else 1000.0 * reading.cpu, MEMORY: reading.memory}
    if info.shared_gpu_resource and reading.cpu is not None:  # it is stale together with the rest
        used[info.shared_gpu_resource] = units
    return {resource: amount for resource, amount in used.items() if amount is not None}
