"""Load, GPU memory, power and errors of each node, from node-exporter's and dcgm-exporter's metrics.

Both generations of DCGM names are asked for. A value that is impossible or stale is dropped and counted, never taken
for zero; of two that contradict each other the larger one counts.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from cloudai_kube.errors import PrometheusError
from cloudai_kube.samples import Sample
from cloudai_kube.series import HOST_LABELS, NodeNames

_log = logging.getLogger(__name__)
STALE_SECONDS: Final = 90.0
RATE_SECONDS: Final = 60.0
XID_SECONDS: Final = 600
"""How long a GPU's last error is news."""
OF_TWO_CLUSTERS: Final = "of two clusters"
"""A node for which two clusters have series is counted as this; a setting (`matchers`) says which one is ours."""
MAX_CORES: Final = 4096.0
MAX_BYTES: Final = float(1 << 50)
MAX_WATTS: Final = 20_000.0
MAX_GPUS: Final = 64.0
MAX_SLICES: Final = 8.0
MIB: Final = 1_048_576.0
MAX_BUSY: Final = 1.01
"""Of one device; shares are rounded."""
MAX_DEVICE_BYTES: Final = float(1 << 42)
MAX_DEVICE_WATTS: Final = 3_000.0
FATAL_XIDS: Final = frozenset({46, 48, 62, 64, 74, 79, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158})
"""XID errors after which NVIDIA's catalogue advises to reset the GPU or restart the machine."""

_NODE: Final = "cluster, instance, node, nodename, kubernetes_node"
_HOST: Final = "cluster, node, host, instance"
_DEVICE: Final = f"{_HOST}, gpu, UUID"
_SLICE: Final = f"{_DEVICE}, GPU_I_ID"
_CPU_SECONDS: Final = 'node_cpu_seconds_total{mode!~"idle|iowait|steal"}'


def _figures(series: Mapping[str, float]) -> str:
    """PromQL: all figures of one quantity, each under its own name: of two for one device the larger one counts.

    Which of them a device has depends on its generation and on MIG; the other one is missing, or says 0.
    """
    return " or ".join(
        f'label_replace({name} * {factor}, "figure", "{name}", "", "")' for name, factor in series.items()
    )


def _over_devices(series: Mapping[str, float], device: str, most: float) -> str:
    """PromQL: the sum over a node's devices; -1 where one of them is stale or out of 0..most, NaN where one is NaN.

    `series` are the names of one quantity and their factors. Each device is counted once: one exporter may be scraped
    by two jobs. Without an impossible device the rest of its node would look like all of it.
    """
    stale = " or ".join(f"({name} and timestamp({name}) < time() - {STALE_SECONDS:g})" for name in series)
    values, stales = (f"max by ({device}) ({HOST_LABELS.format(query)})" for query in (_figures(series), stale))
    bad = f"count by ({_HOST}) ({values} > {most:g} or {values} < 0 or {stales})"
    return f"({bad} * 0 - 1) or sum by ({_HOST}) ({values})"


def _xids(offset: str = "") -> str:
    """PromQL: the last error of each GPU, now or some time ago."""
    value = f"DCGM_FI_DEV_XID_ERRORS{offset} or DCGM_FI_DEV_XID_ERROR{offset}"
    return f"max by ({_DEVICE}) ({HOST_LABELS.format(value)})"


_BUSY: Final = {
    "DCGM_FI_DEV_GPU_UTIL": 0.01,
    "DCGM_FI_DEV_GPU_UTIL_RATIO": 1.0,
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": 1.0,
    "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO": 1.0,
}
GPU_BUSY: Final = _figures(_BUSY)
"""Share of the time that each GPU, or slice of one, was busy."""
QUERIES: Final[Mapping[str, str]] = {
    "sampled_at": f"max by ({_NODE}) (timestamp(node_memory_MemAvailable_bytes))",
    # Where a target is scraped once a minute there are not two samples in a minute.
    "cpu": f"sum by ({_NODE}) (max by ({_NODE}, cpu, mode) (rate({_CPU_SECONDS}[60s]) or rate({_CPU_SECONDS}[150s])))",
    "memory": f"max by ({_NODE}) (node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes)",
    "gpu": _over_devices(_BUSY, _SLICE, MAX_BUSY),
    "gpu_memory": _over_devices(
        {"DCGM_FI_DEV_FB_USED": MIB, "DCGM_FI_DEV_FB_USED_BYTES": 1.0}, _SLICE, MAX_DEVICE_BYTES
    ),
    # Slices of one GPU say the power of the whole.
    "watts": _over_devices(
        {"DCGM_FI_DEV_POWER_USAGE": 1.0, "DCGM_FI_DEV_BOARD_POWER_WATTS": 1.0}, _DEVICE, MAX_DEVICE_WATTS
    ),
    # The gauge keeps its last value for ever: what it said long ago is over.
    "xid": f"{_xids()} unless ({_xids()} == {_xids(f' offset {XID_SECONDS}s')})",
    "devices": f"count by ({_HOST}) (max by ({_SLICE}) ({HOST_LABELS.format(GPU_BUSY)}))",
}
POD_INFO: Final = 'max by (node, exported_node, pod_ip) (kube_pod_info{pod_ip!=""})'
"""Of kube-state-metrics: on which node the pod is that an exporter's `instance` is the address of."""
LIMITS: Final[Mapping[str, float]] = {
    "sampled_at": 1e12,
    "cpu": MAX_CORES,
    "memory": MAX_BYTES,
    "gpu": MAX_GPUS,
    "gpu_memory": MAX_BYTES,
    "watts": MAX_WATTS,
    "devices": MAX_GPUS * MAX_SLICES,
    "xid": 65_535.0,
}


class Source(Protocol):
    """A server that answers PromQL."""

    def ask(self, query: str) -> list[Sample]:
        """Samples of an instant query."""


@dataclass(slots=True)
class NodeReading:
    """One node now; None where nothing usable is known. Cores, bytes, GPUs busy (fractions add up), watts.

    `devices` is how many GPUs, or slices of them, say how busy they are; `xids` are recent errors by GPU.
    """

    sampled_at: float | None = None
    cpu: float | None = None
    memory: float | None = None
    gpu: float | None = None
    gpu_memory: float | None = None
    watts: float | None = None
    devices: float | None = None
    xids: dict[str, float] = field(default_factory=dict)
    clusters: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Snapshot:
    """All nodes, what was dropped by reason (series that belong to no node too), and by which names they were found."""

    nodes: dict[str, NodeReading] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    names: NodeNames = field(default_factory=NodeNames)

    def usable_share(self, nodes: int) -> float:
        """Share of the nodes whose cores and memory are known; series of other clusters' machines do not matter."""
        known = sum(reading.cpu is not None and reading.memory is not None for reading in self.nodes.values())
        return known / nodes if nodes else 0.0


def read(source: Source, names: NodeNames, now: float) -> Snapshot:
    """Ask for everything. Raises `PrometheusError`; a value that cannot be used is only left out."""
    samples = [(metric, sample) for metric, query in QUERIES.items() for sample in source.ask(query)]
    snapshot = Snapshot(names=joined(source, names, [sample.labels for _, sample in samples]))
    for metric, sample in samples:
        _take(snapshot, metric, sample)
    _drop_strangers(snapshot)
    for reading in snapshot.nodes.values():
        if reading.sampled_at is None or not now - STALE_SECONDS <= reading.sampled_at <= now + STALE_SECONDS:
            if reading.cpu is not None or reading.memory is not None:
                snapshot.dropped["stale"] += 1
            reading.cpu = reading.memory = None
    return snapshot


def joined(source: Source, names: NodeNames, labels: Sequence[Mapping[str, str]]) -> NodeNames:
    """The names, with those of pods' addresses if any of the series needs them, and if they can be had."""
    if not any(label_set.get("instance") and names.resolve(label_set) is None for label_set in labels):
        return names
    try:
        return names.with_pods([sample.labels for sample in source.ask(POD_INFO)])
    except PrometheusError as error:  # the series that need no more than the names are worth having
        _log.info("kube_pod_info: %s", error)
        return names


def _take(snapshot: Snapshot, metric: str, sample: Sample) -> None:
    node = snapshot.names.resolve(sample.labels)
    if node is None:
        snapshot.dropped["unmatched"] += 1
        return
    if not 0.0 <= sample.value <= LIMITS[metric]:  # NaN and infinite ones too
        snapshot.dropped["impossible"] += 1
        return
    reading = snapshot.nodes.setdefault(node, NodeReading())
    reading.clusters.add(sample.labels.get("cluster", ""))
    if metric == "xid":
        reading.xids[sample.labels.get("UUID") or sample.labels.get("gpu", "")] = sample.value
        return
    if getattr(reading, metric) is not None and getattr(reading, metric) != sample.value:
        snapshot.dropped["duplicate"] += 1
        setattr(reading, metric, max(getattr(reading, metric), sample.value))
        return
    setattr(reading, metric, sample.value)


def _drop_strangers(snapshot: Snapshot) -> None:
    """Series of two clusters for one node: a Prometheus that several clusters share. One of them is a stranger's."""
    for node, reading in list(snapshot.nodes.items()):
        if len(reading.clusters - {""}) > 1:
            snapshot.dropped[OF_TWO_CLUSTERS] += 1
            del snapshot.nodes[node]
