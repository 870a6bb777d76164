"""An operator at work in this process, on a real HTTP server; Tasks come by kopf or by a list, as a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from tests.api_server import ApiServer, running, until

from cloudai_kube import timestamp
from cloudai_kube.events import Recorder
from cloudai_kube.objects import Node, Pod
from cloudai_kube.reflector import Reflector
from cloudai_operator import task_watch
from cloudai_operator.cache import NodeStore, PodStore
from cloudai_operator.executor import Executor
from cloudai_operator.metrics import OperatorMetrics
from cloudai_operator.reconcile import Rules
from cloudai_operator.workers import Workers

PODS, NODES, EVENTS, TASKS = "/api/v1/pods", "/api/v1/nodes", "/api/v1/events", "/apis/cloudai.dev/v1alpha1/tasks"


def a_task(name: str, namespace: str = "ns", **spec: Any) -> dict[str, Any]:
    """A Task of one core."""
    metadata = {
        "name": name,
        "namespace": namespace,
        "generation": 1,
        "creationTimestamp": timestamp.whole_seconds(timestamp.parse("2026-01-01T00:00:00Z")),
    }
    body = {
        "image": "work:1",
        "resources": {"limits": {"cpu": "1"}},
        "sla": {"finishBy": "2099-01-01T00:00:00Z"},
        **spec,
    }
    return {"apiVersion": "cloudai.dev/v1alpha1", "kind": "Task", "metadata": metadata, "spec": body}


@dataclass
class Live:
    """The server and the operator."""

    server: ApiServer
    transport: Any
    workers: Workers

    async def look(self) -> None:
        """List Tasks, as the operator does now and then."""
        await task_watch.list_tasks(self.transport, self.workers.cache)

    def pods(self, task: str) -> list[dict[str, Any]]:
        """Pods of a Task, by name."""
        known = self.server.objects.get(PODS, {}).values()
        return sorted(
            (pod for pod in known if pod["metadata"]["name"].startswith(f"{task}-")),
            key=lambda p: p["metadata"]["name"],
        )

    def status(self, task: str, namespace: str = "ns") -> dict[str, Any]:
        """Status of a Task."""
        found: dict[str, Any] = self.server.objects[TASKS][f"{namespace}/{task}"].get("status", {})
        return found

    def condition(self, task: str, kind: str, namespace: str = "ns") -> dict[str, Any]:
        """One condition of a Task, empty if it has none."""
        known = self.status(task, namespace).get("conditions", [])
        return next((one for one in known if one["type"] == kind), {})

    def events(self, name: str) -> list[str]:
        """Reasons of the events about an object."""
        known = self.server.objects.get(EVENTS, {}).values()
        return [event["reason"] for event in known if event["involvedObject"]["name"] == name]

    def report(self, name: str, node: str = "a", **status: Any) -> None:
        """Bind a pod, and let its kubelet report."""
        body = self.server.objects[PODS][f"ns/{name}"]
        spec = {**body["spec"], "nodeName": node}
        self.server.put(PODS, {**body, "spec": spec, "status": {**body.get("status", {}), **status}})


@asynccontextmanager
async def live(**rules: Any) -> AsyncIterator[Live]:
    """A server with a node, and an operator that follows pods and nodes."""
    async with running() as (server, transport):
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        server.put(NODES, {"metadata": {"name": "a"}, "status": ready})
        recorder = Recorder(transport, "cloudai-operator")
        metrics = OperatorMetrics(CollectorRegistry())
        timing = {"retry_first_seconds": 0.05, "retry_longest_seconds": 0.2, **rules}
        workers = Workers(
            Executor(transport, recorder, metrics), Rules("cloudai-scheduler", **timing), metrics, count=4
        )
        pods = Reflector(transport, PODS, Pod, PodStore(workers.cache), {"labelSelector": "cloudai.dev/task"})
        nodes = Reflector(transport, NODES, Node, NodeStore(workers.cache))
        background = (recorder.run(), pods.run(), nodes.run())
        tasks = [asyncio.create_task(work) for work in background]
        for reflector in (pods, nodes):
            await reflector.synced.wait()
        tasks.append(asyncio.create_task(workers.run()))
        try:
            await until(lambda: server.watching(PODS) and server.watching(NODES))
            yield Live(server, transport, workers)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            problems = [end for end in ends if isinstance(end, Exception)]
            if problems:
                raise ExceptionGroup("the operator ended", problems)
