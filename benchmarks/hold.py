"""For how long one object holds the scheduler's event loop: CPU seconds until others have their turn."""

import gc
import json
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from cloudai_kube.connection import Connection
from cloudai_kube.events import Recorder
from cloudai_kube.objects import Node
from cloudai_kube.transport import Transport
from cloudai_sandbox.poisons import POISONS
from cloudai_scheduler.binding import Binder
from cloudai_scheduler.conditions import ConditionWriter
from cloudai_scheduler.filters import unsupported
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.queue import Place
from cloudai_scheduler.scheduler import Scheduler

NAME = "cloudai-scheduler"


def longest_hold(nodes: int) -> Iterator[tuple[str, float]]:
    """The longest hold of each poison: reading it, taking it in, and each slice until it is decided on."""
    gc.set_threshold(50_000, 50, 100)  # as the process does
    scheduler = _scheduler(nodes)
    decode = unsupported.Decode(frozenset({NAME}))
    for index, (name, poison) in enumerate(POISONS.items()):
        yield name, max(_holds(scheduler, decode, _content(index, poison)))


def _holds(scheduler: Scheduler, decode: unsupported.Decode, content: bytes) -> Iterator[float]:
    begun = time.thread_time()
    pod = decode(content)
    scheduler.intake.apply_pod("ADDED", pod)
    yield time.thread_time() - begun
    end = time.monotonic() + 60
    while pod.metadata.uid in scheduler.queue.entries and time.monotonic() < end:
        begun = time.thread_time()
        scheduler.step()
        yield time.thread_time() - begun
        entry = scheduler.queue.entries.get(pod.metadata.uid)
        if entry is None or entry.place is Place.PARKED:
            break
        time.sleep(0.005)
    scheduler.intake.forget_pod(pod.metadata.uid)


def _scheduler(nodes: int) -> Scheduler:
    """One that talks to nobody: binds are not sent, because nothing is decided while it is no leader of theirs."""
    transport = Transport(Connection("http://127.0.0.1:9", None), "hold")
    recorder, metrics = Recorder(transport, NAME), SchedulerMetrics(CollectorRegistry())
    scheduler = Scheduler(NAME, Binder(transport, NAME), recorder, ConditionWriter(transport), metrics)
    for number in range(nodes):
        name = f"node-{number}"
        raw = {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": f"z{number % 3}"}},
            "status": {"allocatable": {"cpu": "64", "memory": "64Gi", "pods": "0"}},
        }
        scheduler.intake.apply_node("ADDED", _node(raw))
    return scheduler


def _node(raw: dict[str, object]) -> Node:
    import msgspec

    return msgspec.convert(raw, Node)


def _content(index: int, poison: dict[str, dict[str, object]]) -> bytes:
    """The pod as the API server sends it; no node has a pod slot, so it is never bound."""
    container = {"name": "c", "image": "work:1", "resources": {"requests": {"cpu": "1"}}}
    spec = {"schedulerName": NAME, "containers": [container], **poison.get("spec", {})}
    metadata = {"name": f"p{index}", "namespace": "attacker", "uid": f"u{index}", **poison.get("metadata", {})}
    return json.dumps({"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}).encode()
