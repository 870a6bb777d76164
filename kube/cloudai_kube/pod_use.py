"""What pods really used, from cAdvisor and dcgm-exporter: CPU seconds, the most memory, GPUs busy on average."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cloudai_kube.telemetry import GPU_BUSY, MAX_BYTES, MAX_GPUS, Source

_EACH: Final = "max by (namespace, pod, container, cpu)"
_RUNNING: Final = '{container!="",container!="POD"}'
_CPU_SERIES: Final = f"container_cpu_usage_seconds_total{_RUNNING}"
_MEMORY_SERIES: Final = f"container_memory_working_set_bytes{_RUNNING}"
# Where targets have a pod of their own, Prometheus keeps the exporter's word under another name.
_NAMED: Final = (
    'label_replace(label_replace({0}, "pod", "$1", "exported_pod", "(.+)"), '
    '"namespace", "$1", "exported_namespace", "(.+)")'
)
_GPUS: Final = f"sum by (namespace, pod) (max by (namespace, pod, gpu, UUID, GPU_I_ID) ({_NAMED.format(GPU_BUSY)}))"
QUERIES: Final[Mapping[str, str]] = {
    "seconds": f"max_over_time(sum by (namespace, pod) ({_EACH} ({_CPU_SERIES}))[RANGE:15s])",
    "at": f"max_over_time(max by (namespace, pod) (timestamp({_CPU_SERIES}))[RANGE:15s])",
    "memory": f"max_over_time(sum by (namespace, pod) ({_EACH} ({_MEMORY_SERIES}))[RANGE:15s])",
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
    have none. Values that cannot be used are left out and counted in `dropped`.
    """
    window = f"{int(seconds)}s"
    found: dict[str, dict[tuple[str, str], float]] = {}
    for name, query in QUERIES.items():
        samples = source.ask(query.replace("RANGE", window))
        usable = [one for one in samples if 0.0 <= one.value <= _LIMITS[name] and one.value < math.inf]
        dropped["impossible"] += len(samples) - len(usable)
        found[name] = {(one.labels.get("namespace", ""), one.labels.get("pod", "")): one.value for one in usable}
    return {
        key: PodUse(used, found["at"][key], found["memory"].get(key), found["gpu"].get(key))
        for key, used in found["seconds"].items()
        if all(key) and key in found["at"]
    }
