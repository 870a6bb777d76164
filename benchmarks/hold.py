"""For how long one object holds the scheduler's event loop: CPU seconds until others have their turn.

Each poison waits for a node, and is then on one, changes and goes. A crowd of pods that ask as much of others as may
count must not slow down what others' pods do either.
"""

import asyncio
import gc
import json
import time

import msgspec
from prometheus_client import CollectorRegistry

from cloudai_kube.connection import Connection
from cloudai_kube.events import Recorder
from cloudai_kube.objects import Node
from cloudai_kube.transport import Transport
from cloudai_sandbox.poisons import POISONS
from cloudai_scheduler.binding import Binder
from cloudai_scheduler.cluster.selector import MOST_REQUIREMENTS
from cloudai_scheduler.conditions import ConditionWriter
from cloudai_scheduler.filters import unsupported
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.queue import Place
from cloudai_scheduler.scheduler import Scheduler

NAME = "cloudai-scheduler"
CROWD = 64
PODS = 20_000


def longest_hold(nodes: int) -> list[tuple[str, float]]:
    """The longest hold of each poison: reading it, taking it in, and each slice until it is decided on."""
    gc.set_threshold(50_000, 50, 100)  # as the process does
    return asyncio.run(_all(nodes))


async def _all(nodes: int) -> list[tuple[str, float]]:
    """Binds go to an address where nobody listens: it is about what comes before them."""
    async with Transport(Connection("http://127.0.0.1:9", None), "hold") as transport:
        scheduler = _scheduler(transport, nodes)
        await _longest(scheduler, _content("first", {}))  # what is read once is no poison's fault
        holds = []
        for name, poison in POISONS.items():
            content = _content(name, poison)
            holds.append((name, max(await _longest(scheduler, content), _placed(scheduler, content))))
        for number in range(PODS):  # each with labels of its own, as those of StatefulSets have
            _apply(scheduler, "ADDED", _on_a_node(_content(f"there-{number}", _numbered(number)), number % nodes))
        for number in range(CROWD):
            await _longest(scheduler, _content(f"crowd-{number}", _demanding(number)), stays=True)
            _apply(scheduler, "ADDED", _on_a_node(_content(f"placed-{number}", _demanding(number)), number))
        plain = _content("bystander", {"metadata": {"namespace": "default", "labels": {"app": "web"}}})
        others = max(await _longest(scheduler, plain), _placed(scheduler, plain))
        return [*holds, (f"others' pods beside {2 * CROWD} that ask much of others", others)]


def _numbered(number: int) -> dict[str, dict[str, object]]:
    labels = {"app": f"app-{number % 20}", "statefulset.kubernetes.io/pod-name": f"there-{number}"}
    return {"metadata": {"namespace": f"team-{number % 20}", "labels": labels}}


def _demanding(number: int) -> dict[str, dict[str, object]]:
    """A pod that asks as much of others as may count, wherever they are, and nothing that others ask."""
    tests = [{"key": f"k{number}-{key}", "operator": "DoesNotExist"} for key in range(MOST_REQUIREMENTS - 1)]
    selector = {"matchExpressions": [*tests, {"key": "none", "operator": "Exists"}]}
    term = {"topologyKey": "kubernetes.io/hostname", "namespaceSelector": {}, "labelSelector": selector}
    return {"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}}


def _on_a_node(content: bytes, number: int = 0) -> bytes:
    body = json.loads(content)
    body["spec"]["nodeName"] = f"node-{number}"
    return json.dumps(body).encode()


def _placed(scheduler: Scheduler, content: bytes) -> float:
    """The longest of what a pod on a node costs: to take it in, to see it changed, and to forget it."""
    body = json.loads(_on_a_node(content))
    changed = {**body, "metadata": {**body["metadata"], "labels": {"changed": "yes"}}}
    holds = [
        _apply(scheduler, event, json.dumps(seen).encode())
        for event, seen in (("ADDED", body), ("MODIFIED", changed), ("DELETED", changed))
    ]
    return max(holds)


def _apply(scheduler: Scheduler, event: str, content: bytes) -> float:
    pod = unsupported.Decode(frozenset({NAME}))(content)
    begun = time.thread_time()
    scheduler.intake.apply_pod(event, pod)
    return time.thread_time() - begun


async def _longest(scheduler: Scheduler, content: bytes, stays: bool = False) -> float:
    decode = unsupported.Decode(frozenset({NAME}))
    begun = time.thread_time()
    pod = decode(content)
    read = time.thread_time()
    scheduler.intake.apply_pod("ADDED", pod)
    longest = max(read - begun, time.thread_time() - read)
    uid, end = pod.metadata.uid, time.monotonic() + 60
    while uid in scheduler.queue.entries and uid not in scheduler.state.pods and time.monotonic() < end:
        begun = time.thread_time()
        scheduler.step()
        longest = max(longest, time.thread_time() - begun)
        entry = scheduler.queue.entries.get(uid)
        if entry is None or entry.place is Place.PARKED:
            break
        await asyncio.sleep(0.005)
    for bind in list(scheduler.commit.binding):  # nobody will ever answer it
        bind.cancel()
    scheduler.commit.binding.clear()
    if not stays:
        scheduler.intake.forget_pod(uid)
    return longest


def _scheduler(transport: Transport, nodes: int) -> Scheduler:
    recorder, metrics = Recorder(transport, NAME), SchedulerMetrics(CollectorRegistry())
    scheduler = Scheduler(NAME, Binder(transport, NAME), recorder, ConditionWriter(transport), metrics)
    for number in range(nodes):
        name = f"node-{number}"
        raw = {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": f"z{number % 3}"}},
            "spec": {"taints": [{"key": f"t{number % 5}", "effect": "PreferNoSchedule"}]},
            "status": {"allocatable": {"cpu": "64", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": "8"}},
        }
        scheduler.intake.apply_node("ADDED", msgspec.convert(raw, Node))
    return scheduler


def _content(name: str, poison: dict[str, dict[str, object]]) -> bytes:
    """The pod as the API server sends it."""
    container = {"name": "c", "image": "work:1", "resources": {"requests": {"cpu": "1"}}}
    spec = {"schedulerName": NAME, "containers": [container], **poison.get("spec", {})}
    metadata = {"name": name, "namespace": "attacker", "uid": name, **poison.get("metadata", {})}
    return json.dumps({"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}).encode()
