"""A scheduler at work in this process, on a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from tests.api_server import ApiServer, running, until

from cloudai_kube.events import Recorder
from cloudai_kube.objects import Namespace, Node, Pod
from cloudai_kube.reflector import Reflector
from cloudai_kube.storage_objects import Claim, StorageClass, Volume
from cloudai_scheduler.binding import Binder
from cloudai_scheduler.conditions import ConditionWriter
from cloudai_scheduler.filters import unsupported
from cloudai_scheduler.intake import NamespaceStore, NodeStore, PodStore
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.scheduler import Scheduler

NAME = "cloudai-scheduler"
PODS, NODES, EVENTS = "/api/v1/pods", "/api/v1/nodes", "/api/v1/events"
NAMESPACES = "/api/v1/namespaces"
CLAIMS, VOLUMES = "/api/v1/persistentvolumeclaims", "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


def a_node(name: str, cpu: str = "8", **metadata: Any) -> dict[str, Any]:
    """A node with eight cores."""
    allocatable = {"cpu": cpu, "memory": "64Gi", "pods": "110"}
    return {"metadata": {"name": name, **metadata}, "spec": {}, "status": {"allocatable": allocatable}}


def a_pod(name: str, namespace: str = "ns", **parts: Any) -> dict[str, Any]:
    """A pod that names us and asks for one core."""
    container = {"name": "c", "image": "work:1", "resources": {"requests": {"cpu": "1"}}}
    spec = {"schedulerName": NAME, "containers": [container], **parts.get("spec", {})}
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {
        "metadata": {**metadata, **parts.get("metadata", {})},
        "spec": spec,
        "status": {"phase": "Pending", **parts.get("status", {})},
    }


@dataclass
class Live:
    """The server and the scheduler."""

    server: ApiServer
    scheduler: Scheduler
    reflectors: list[Any]

    def node_of(self, name: str, namespace: str = "ns") -> str:
        """Where a pod is bound, empty if it is not."""
        found: str = self.server.objects[PODS][f"{namespace}/{name}"]["spec"].get("nodeName", "")
        return found

    async def bound(self, *names: str, namespace: str = "ns", seconds: float = 5.0) -> None:
        """Wait until these pods are bound."""
        await until(lambda: all(self.node_of(name, namespace) for name in names), seconds)

    def condition(self, name: str, namespace: str = "ns") -> dict[str, Any]:
        """PodScheduled of a pod, empty if it has none."""
        told = self.server.objects[PODS][f"{namespace}/{name}"]["status"].get("conditions", [])
        return next((one for one in told if one["type"] == "PodScheduled"), {})

    def events(self, name: str) -> list[str]:
        """Reasons of the events about an object."""
        known = self.server.objects.get(EVENTS, {}).values()
        return [event["reason"] for event in known if event["involvedObject"]["name"] == name]

    def bind_by_hand(self, name: str, node: str, namespace: str = "ns") -> None:
        """As the author of a pod with `spec.nodeName` does."""
        body = self.server.objects[PODS][f"{namespace}/{name}"]
        self.server.put(PODS, {**body, "spec": {**body["spec"], "nodeName": node}})

    def report(self, name: str, namespace: str = "ns", **status: Any) -> None:
        """The kubelet's report on a pod."""
        body = self.server.objects[PODS][f"{namespace}/{name}"]
        self.server.put(PODS, {**body, "status": {**body["status"], **status}})


@asynccontextmanager
async def live(server: ApiServer, transport: Any, **options: Any) -> AsyncIterator[Live]:
    """Start a scheduler; what the server holds is known when this returns."""
    recorder = Recorder(transport, NAME)
    metrics = SchedulerMetrics(CollectorRegistry())
    scheduler = Scheduler(NAME, Binder(transport, NAME), recorder, ConditionWriter(transport), metrics, **options)
    nodes = Reflector(transport, NODES, Node, NodeStore(scheduler.intake))
    pods = Reflector(transport, PODS, Pod, PodStore(scheduler.intake), decode=unsupported.Decode(frozenset({NAME})))
    namespaces = Reflector(transport, NAMESPACES, Namespace, NamespaceStore(scheduler.intake))
    storage = scheduler.state.storage
    reflectors: list[Any] = [
        nodes,
        pods,
        namespaces,
        Reflector(transport, CLAIMS, Claim, storage.claims),
        Reflector(transport, VOLUMES, Volume, storage.volumes),
        Reflector(transport, CLASSES, StorageClass, storage.classes),
    ]
    work = (recorder.run(), scheduler.conditions.run(), *(reflector.run() for reflector in reflectors))
    tasks = [asyncio.create_task(one) for one in work]
    for reflector in reflectors:
        await reflector.synced.wait()
    tasks.append(asyncio.create_task(scheduler.run()))
    try:
        await until(lambda: server.watching(PODS) and server.watching(NODES))
        yield Live(server, scheduler, reflectors)
    finally:
        scheduler.stop.set()
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        problems = [end for end in ends if isinstance(end, Exception)]
        if problems:
            raise ExceptionGroup("the scheduler ended", problems)


@asynccontextmanager
async def cluster(*nodes: str, **options: Any) -> AsyncIterator[Live]:
    """A server with these nodes, and a scheduler."""
    async with running() as (server, transport):
        for name in nodes:
            server.put(NODES, a_node(name))
        async with live(server, transport, **options) as started:
            yield started
