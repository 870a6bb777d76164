"""What pods really used, from cAdvisor and dcgm-exporter: CPU seconds, the most memory, GPUs busy on average."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cloudai_kube.series import POD_LABELS, pod_of
from cloudai_kube.telemetry import GPU_BUSY, MAX_BYTES, MAX_GPUS, OF_TWO_CLUSTERS, Source

_POD: Final = "cluster, namespace, pod"
_EACH: Final = f"max by ({_POD}, container, cpu)"
_RUNNING: Final = '{container!="",container!="POD"}'
_WHOLE: Final = '{container="",pod!=""}'


def _used(series: str) -> str:
    """PromQL: a figure by pod from its containers, or the pod's own where the runtime has no names for containers."""
    containers, whole = f"{series}{_RUNNING}", f"{series}{_WHOLE}"
    return f"sum by ({_POD}) ({_EACH} ({containers})) or sum by ({_POD}) ({_EACH} ({whole}))"


def _seen(series: str) -> str:
    """PromQL: when a figure was measured last."""
    containers, whole = (f"max by ({_POD}) (timestamp({series}{which}))" for which in (_RUNNING, _WHOLE))
    return f"{containers} or {whole}"


_CPU_SERIES: Final = "container_cpu_usage_seconds_total"
_MEMORY_SERIES: Final = "container_memory_working_set_bytes"
_GPUS: Final = f"sum by ({_POD}) (max by ({_POD}, gpu, UUID, GPU_I_ID) ({POD_LABELS.format(GPU_BUSY)}))"
QUERIES: Final[Mapping[str, str]] = {
    "seconds": f"max_over_time(({_used(_CPU_SERIES)})[RANGE:15s])",
    "at": f"max_over_time(({_seen(_CPU_SERIES)})[RANGE:15s])",
    "memory": f"max_over_time(({_used(_MEMORY_SERIES)})[RANGE:15s])",
    "gpu": f"avg_over_time({_GPUS}[RANGE:15s])",
}
_LIMITS: Final = {"seconds": math.inf, "at": math.inf, "memory": MAX_BYTES, "gpu": MAX_GPUS}


@dataclass(frozen=True, slots=True)
class PodUse:
    """CPU seconds that a pod had used when it was looked at last (seconds since the epoch); bytes, GPUs.

    Memory is the most and GPUs are the mean of what was seen, None where nothing was.
    """

    seconds: float
    at: float
    memory: float | None = None
    gpu: float | None = None


def read(source: Source, seconds: float, dropped: Counter[str]) -> dict[tuple[str, str], PodUse]:
    """What pods of the last `seconds` used, by namespace and name. Raises `PrometheusError`.

    CPU comes from the counter, which begins with the container: a rate would need minutes to be true, and short runs
    have none. Values that cannot be used are left out and counted in `dropped`, and so are pods of which two clusters
    have series under one name.
    """
    window = f"{int(seconds)}s"
    values: dict[str, dict[tuple[str, str], float]] = {}
    clusters: dict[tuple[str, str], set[str]] = {}
    for name, query in QUERIES.items():
        samples = source.ask(query.replace("RANGE", window))
        usable = [sample for sample in samples if 0.0 <= sample.value <= _LIMITS[name] and sample.value < math.inf]
        dropped["impossible"] += len(samples) - len(usable)
        values[name] = {pod_of(sample.labels): sample.value for sample in usable}
        for sample in usable:
            clusters.setdefault(pod_of(sample.labels), set()).add(sample.labels.get("cluster", ""))
    strange = {key for key, seen in clusters.items() if len(seen - {""}) > 1}
    if strange:
        dropped[OF_TWO_CLUSTERS] += len(strange)
    return {
        key: PodUse(used, values["at"][key], values["memory"].get(key), values["gpu"].get(key))
        for key, used in values["seconds"].items()
        if all(key) and key in values["at"] and key not in strange
    }
