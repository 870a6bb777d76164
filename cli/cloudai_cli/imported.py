"""A trace out of what kube-state-metrics remembers of a cluster that never ran us.

Every pod that succeeded is a task: its arrival is its creation, its run time what it took where it ran. What it may
take is judged by what its like (the pods of the same workload, else of the same type) usually took.
"""

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from cloudai_kube.errors import PrometheusError
from cloudai_kube.samples import Sample
from cloudai_kube.series import NODE_LABEL, POD_LABELS, pod_of
from cloudai_rts import nodeclass
from cloudai_rts.contract import CPU, MAX_SECONDS, MEMORY, PODS, STORAGE
from cloudai_rts.task import infer_type
from cloudai_rts.traces import FleetNode, TraceTask

DAY_SECONDS: Final = 86_400.0
MIN_LIKE: Final = 3
_POD: Final = "namespace, pod, uid"


def _of_pods(series: str) -> str:
    """PromQL: the last value of a day, under the namespace and pod of the object whatever the target's labels are."""
    return POD_LABELS.format(f"last_over_time({series}[RANGE])")


_SUCCEEDED: Final = 'kube_pod_status_phase{phase="Succeeded"}'
QUERIES: Final[Mapping[str, str]] = {
    "created": f"max by ({_POD}) ({_of_pods('kube_pod_created')})",
    "started": f"max by ({_POD}) ({_of_pods('kube_pod_start_time')})",
    "completed": f"max by ({_POD}) ({_of_pods('kube_pod_completion_time')})",
    "succeeded": f"max by ({_POD}) ({_of_pods(_SUCCEEDED)})",
    "owner": f"max by ({_POD}, owner_kind, owner_name) ({_of_pods('kube_pod_owner')})",
    "requests": f"sum by ({_POD}, resource) (max by ({_POD}, container, resource) "
    f"({_of_pods('kube_pod_container_resource_requests')}))",
}
CLUSTERS: Final = "count by (cluster) (last_over_time(kube_node_status_allocatable[RANGE]))"
FLEET: Final = f"max by (node, resource) ({NODE_LABEL.format('last_over_time(kube_node_status_allocatable[RANGE])')})"
PRODUCTS: Final = (
    "max by (node, label_nvidia_com_gpu_product) ("
    + NODE_LABEL.format('last_over_time(kube_node_labels{label_nvidia_com_gpu_product!=""}[RANGE])')
    + ")"
)
MOST_UIDS: Final = 3
"""Pods of one name that a day's series may know: a name is used again at once only by a StatefulSet's pods."""
_DRAWN: Final = "[bcdfghjklmnpqrstvwxz2456789]"
SERIAL: Final = re.compile(rf"(-{_DRAWN}{{5}}|-{_DRAWN}{{8,10}}|-\d+)+$")
"""What Kubernetes puts behind names: drawn letters (no vowels, so that they are no words), hashes, numbers."""


class Source(Protocol):
    """A server that answers PromQL."""

    def ask(self, query: str, at: float | None = None) -> list[Sample]:
        """Samples of an instant query, at a moment (seconds since the epoch)."""


@dataclass(frozen=True, slots=True)
class Run:
    """What ran and succeeded. Times in seconds since the epoch; requests in cores, bytes, devices.

    `declared` is what its user said it would take, seconds; `gpu_products` are those that it named, if any.
    """

    uid: str
    name: str
    workload: str
    created: float
    started: float
    completed: float
    requests: Mapping[str, float]
    declared: float | None = None
    gpu_products: frozenset[str] = frozenset()

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.completed - self.started


@dataclass(frozen=True, slots=True)
class Imported:
    """The trace, and the share of its tasks that were late where they ran.

    `dropped`: pods with contradicting times; `widened`: tasks that named several products, which a trace cannot.
    """

    tasks: list[TraceTask]
    late_share: float
    dropped: int
    widened: int = 0


def check(source: Source, now: float) -> None:
    """Refuse a Prometheus that tells of several clusters at once. Raises `PrometheusError`."""
    clusters = {sample.labels.get("cluster", "") for sample in source.ask(CLUSTERS.replace("RANGE", "1d"), now)} - {""}
    if len(clusters) > 1:
        some = ", ".join(sorted(clusters)[:5])
        raise PrometheusError(
            f"it holds {len(clusters)} clusters ({some}); choose one with --matchers 'cluster=\"NAME\"'"
        )


def read_runs(source: Source, days: float, now: float) -> tuple[list[Run], int]:
    """Every pod that succeeded, asked for day by day; and how many contradict themselves. Raises `PrometheusError`."""
    values: dict[str, dict[str, float]] = {name: {} for name in QUERIES}
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    requests: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for day in reversed(range(max(1, math.ceil(days)))):  # the newest answer counts: it knows what became of a pod
        for name, query in QUERIES.items():
            for sample in source.ask(query.replace("RANGE", "1d"), now - day * DAY_SECONDS):
                labels = sample.labels
                uid = labels.get("uid", "")
                if not math.isfinite(sample.value):
                    continue
                names[uid] = "/".join(pod_of(labels))
                if name == "owner":
                    owners[uid] = f"{labels.get('owner_kind', '')}/{labels.get('owner_name', '')}"
                elif name == "requests":
                    requests[uid][_resource(labels.get("resource", ""))] = sample.value
                else:
                    values[name][uid] = sample.value
    _check_names(names)
    runs, dropped = [], 0
    for uid, completed in values["completed"].items():
        started = values["started"].get(uid)
        if not values["succeeded"].get(uid) or started is None or completed < now - days * DAY_SECONDS:
            continue
        if not 0 < completed - started <= MAX_SECONDS:
            dropped += 1
            continue
        created = min(started, values["created"].get(uid, started))
        workload = f"{names[uid].partition('/')[0]}/{SERIAL.sub('', owners.get(uid, names[uid]))}"
        runs.append(Run(uid, names[uid], workload, created, started, completed, requests[uid]))
    return sorted(runs, key=lambda run: (run.created, run.uid)), dropped


def _check_names(names: Mapping[str, str]) -> None:
    """Series that bear the exporter's own name instead of their pod's would merge all workloads into one."""
    name, uids = Counter(names.values()).most_common(1)[0] if names else ("", 0)
    if uids > max(MOST_UIDS, len(names) // 2):
        raise PrometheusError(
            f"{uids} of {len(names)} pods are named {name!r}: labels of kube-state-metrics' own pod hide the others'; "
            "set honor_labels: true for its scrape job"
        )


def read_fleet(source: Source, now: float) -> tuple[list[FleetNode], list[str]]:
    """The machines of the last day, and the names of those of whose devices only one kind could be said.

    Raises `PrometheusError`.
    """
    amounts: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for sample in source.ask(FLEET.replace("RANGE", "1d"), now):
        if math.isfinite(sample.value):
            amounts[sample.labels.get("node", "")][_resource(sample.labels.get("resource", ""))] = sample.value
    products = {
        sample.labels.get("node", ""): sample.labels["label_nvidia_com_gpu_product"]
        for sample in source.ask(PRODUCTS.replace("RANGE", "1d"), now)
        if "label_nvidia_com_gpu_product" in sample.labels
    }
    nodes, mixed = [], []
    for name, own in sorted(amounts.items()):
        resource = nodeclass.RULES.accelerator_of({key: int(amount) for key, amount in own.items()})
        if sum(amount > 0 and nodeclass.RULES.is_accelerator(key) for key, amount in own.items()) > 1:
            mixed.append(name)
        gpu = int(own.get(resource, 0))
        product = (resource if nodeclass.is_slice(resource) else products.get(name, "GPU")) if gpu else ""
        memory, storage = int(own.get(MEMORY, 0)), int(own.get(STORAGE, 0))
        nodes.append(FleetNode(name, own.get(CPU, 0.0), memory, gpu, product, storage, int(own.get(PODS, 110))))
    return [node for node in nodes if node.cpu > 0], mixed


def to_trace(runs: Sequence[Run], multiplier: float, dropped: int = 0) -> Imported:
    """The runs as tasks; `multiplier` times what its like usually takes is what each may take from its arrival."""
    if not runs:
        return Imported([], 0.0, dropped)
    usual = _usual(runs)
    begin = runs[0].created
    tasks, late = [], 0
    for run in runs:
        task = _task(run, begin)
        expected = run.declared or usual.get(run.workload) or usual[task.type]
        late += run.completed > run.created + multiplier * expected
        # What its like took is hindsight: it sets the deadline, and no policy hears of it.
        factor = multiplier if run.declared else multiplier * expected / usual[task.type]
        tasks.append(replace(task, sla_multiplier=factor, expected_runtime_s=run.declared))
    return Imported(tasks, late / len(runs), dropped, sum(len(run.gpu_products) > 1 for run in runs))


def _task(run: Run, begin: float) -> TraceTask:
    asked = {name: round(amount) for name, amount in run.requests.items()}
    resource = nodeclass.RULES.accelerator_of(asked)
    gpu = float(asked.get(resource, 0))
    cpu, memory = run.requests.get(CPU, 0.0), run.requests.get(MEMORY, 0.0)
    return TraceTask(
        arrival_s=run.created - begin,
        name=run.name,
        type=infer_type(cpu, memory, gpu),
        cpu=cpu,
        memory_bytes=int(memory),
        gpu=int(gpu),
        reference_runtime_s=run.seconds,
        sla_multiplier=1.0,
        gpu_product=resource if nodeclass.is_slice(resource) else _only(run.gpu_products),
        storage_bytes=int(run.requests.get(STORAGE, 0.0)),
        user=run.workload.partition("/")[0],
    )


def _only(names: frozenset[str]) -> str:
    return next(iter(names)) if len(names) == 1 else ""


def _usual(runs: Sequence[Run]) -> dict[str, float]:
    """Median run time by workload (three pods at least) and by type, seconds."""
    groups: defaultdict[str, list[float]] = defaultdict(list)
    types: defaultdict[str, list[float]] = defaultdict(list)
    for run in runs:
        groups[run.workload].append(run.seconds)
        types[_task(run, 0.0).type].append(run.seconds)
    medians = {name: statistics.median(seconds) for name, seconds in groups.items() if len(seconds) >= MIN_LIKE}
    return medians | {name: statistics.median(seconds) for name, seconds in types.items()}


_WHOLE: Final = (pattern.rstrip("*-") for pattern in nodeclass.ACCELERATORS)
_SPELT: Final = {re.sub(r"\W", "_", name): name for name in _WHOLE if "*" not in name} | {"ephemeral_storage": STORAGE}
"""Names as kube-state-metrics writes them, by what they were: it puts `_` for whatever a label may not have."""


def _resource(name: str) -> str:
    """kube-state-metrics writes `nvidia_com_gpu` for `nvidia.com/gpu`, `habana_ai_gaudi` for habana.ai/gaudi."""
    if name in _SPELT:
        return _SPELT[name]
    vendor, _, rest = name.partition("_com_")
    if rest.startswith("mig_"):
        rest = f"mig-{rest.removeprefix('mig_').replace('_', '.')}"
    return f"{vendor}.com/{rest}" if rest else name
