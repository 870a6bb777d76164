"""What there is in a cluster, page by page."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec
from tests.api_server import running

from cloudai_kube import inventory
from cloudai_kube.objects import Node
from cloudai_kube.scope import Scope
from cloudai_rts.nodeclass import ClassRules


class Pages:
    """An API server with pods on two pages."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = list(pages)
        self.asked: list[dict[str, str]] = []

    async def request(self, method: str, path: str, params: Mapping[str, str] | None = None) -> bytes:
        """The next page."""
        assert method == "GET"
        assert path == "/api/v1/pods"
        self.asked.append(dict(params or {}))
        number = len(self.asked) - 1
        following = f"page-{number + 1}" if number + 1 < len(self.pages) else ""
        return json.dumps({"items": self.pages[number], "metadata": {"continue": following}}).encode()


def pod(node: str, cpu: str, phase: str = "Running") -> dict[str, Any]:
    """A pod with one container."""
    return {
        "metadata": {"name": "p"},
        "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        "status": {"phase": phase},
    }


def test_what_strangers_occupy() -> None:
    """Bound pods that live, added up over all pages; what cannot be read is left out."""
    pages = Pages(
        [pod("a", "500m"), pod("a", "1"), pod("a", "4", "Succeeded"), pod("", "8")], [pod("b", "2"), pod("b", "x")]
    )
    found = asyncio.run(inventory.occupied(pages))  # type: ignore[arg-type]  # a transport in memory
    assert found == {"a": {"cpu": 1500, "pods": 2}, "b": {"cpu": 2000, "pods": 1}}
    assert pages.asked[0]["labelSelector"] == "cloudai.dev/bound-by!=cloudai-scheduler"
    assert "continue" not in pages.asked[0]
    assert pages.asked[1]["continue"] == "page-1"


def test_machines() -> None:
    """Shape, class, GPU resources and what is taken; a node that can run nothing is none."""
    nodes = [
        {
            "metadata": {"name": "a", "labels": {"nvidia.com/gpu.product": "NVIDIA-A100"}},
            "status": {"allocatable": {"cpu": "8", "memory": "64Gi", "nvidia.com/mig-1g.5gb": "7", "pods": "50"}},
        },
        {"metadata": {"name": "empty"}, "status": {"allocatable": {}}},
        {"metadata": {"name": "odd"}, "status": {"allocatable": {"cpu": "many"}}},
    ]
    found = inventory.machines([msgspec.convert(node, Node) for node in nodes], {"a": {"cpu": 1500}})
    assert [(one.node.node, one.node.cpu, one.node.gpu, one.node_class) for one in found] == [
        ("a", 8.0, 0, "NVIDIA-A100")
    ]
    (other,) = inventory.machines([msgspec.convert(nodes[0], Node)], {}, ClassRules(("example.com/accelerator",)))
    assert (other.node.gpu_product, other.node_class) == ("", "8c-64g-gpu")
    assert found[0].devices == {"nvidia.com/mig-1g.5gb": 7}
    assert found[0].occupied == {"cpu": 1500}


class TaskServer:
    """An API server with Tasks that knows the selector of their state."""

    def __init__(self, *tasks: dict[str, Any]) -> None:
        self.tasks = tasks

    async def request(self, method: str, path: str, params: Mapping[str, str] | None = None) -> bytes:
        """Tasks of the state that is asked for; no pods."""
        assert method == "GET"
        state = (params or {}).get("fieldSelector", "").removeprefix("status.state=")
        items = [one for one in self.tasks if not state or one["status"]["state"] == state]
        return json.dumps({"items": items if path.endswith("/tasks") else [], "metadata": {}}).encode()


def task(name: str, state: str, outcome: str = "") -> dict[str, Any]:
    """A Task with one attempt."""
    ended = {"outcome": outcome, "completionTime": "2026-01-01T00:01:00Z"} if outcome else {}
    attempt = {"podUID": name, "node": "n", "startTime": "2026-01-01T00:00:30Z", "decision": {"policy": "rts"}, **ended}
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": name},
        "spec": {"image": "i", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}},
        "status": {"state": state, "type": "t", "arrivalTime": "2026-01-01T00:00:00Z", "attempts": [attempt]},
    }


def test_attempts_of_tasks() -> None:
    """All of them, or where a database has what ended only those that run."""
    server = TaskServer(task("done", "Complete", "Succeeded"), task("busy", "Running"))
    whole = asyncio.run(inventory.attempts(server, 2e9))  # type: ignore[arg-type]  # a transport in memory
    assert [(one.name, one.outcome) for one in whole] == [("done", "Succeeded"), ("busy", "Running")]
    running = asyncio.run(inventory.attempts(server, 2e9, only_running=True))  # type: ignore[arg-type]  # as above
    assert [one.name for one in running] == ["busy"]


async def test_attempts_of_watched_namespaces_only() -> None:
    """Tasks are listed namespace by namespace; running pods count if our scheduler bound them there."""
    async with running() as (server, transport):
        for namespace in ("a", "b"):
            path = f"/apis/cloudai.dev/v1alpha1/namespaces/{namespace}/tasks"
            server.raw[path] = json.dumps({"metadata": {}, "items": [finished_task(namespace)]}).encode()
        ours = inventory.Ours("b-scheduler", Scope(("a",)))
        records = await inventory.attempts(transport, 2e9, ours=ours)
        assert [record.namespace for record in records] == ["a"]
        asked = [one for one in server.requests if "/api/v1/pods" in one]
        assert "bound-by%3Db-scheduler" in asked[0] or "bound-by=b-scheduler" in asked[0]


def finished_task(namespace: str) -> dict[str, Any]:
    """A Task whose one attempt has succeeded."""
    attempt = {
        "podUID": f"pod-{namespace}",
        "number": 1,
        "node": "n",
        "startTime": "2027-01-01T00:00:00.000Z",
        "completionTime": "2027-01-01T00:01:00.000Z",
        "outcome": "Succeeded",
        "decision": {"policy": "rts", "nodeClass": "k", "predictedRuntimeSeconds": 60},
    }
    status = {
        "state": "Complete",
        "type": "cpu-light",
        "arrivalTime": "2027-01-01T00:00:00.000Z",
        "deadline": "2027-01-01T01:00:00.000Z",
        "deadlineSource": "FinishWithin",
        "referenceRuntimeSeconds": 60,
        "attempts": [attempt],
    }
    return {
        "metadata": {"name": "t", "namespace": namespace, "uid": f"uid-{namespace}"},
        "spec": {"image": "x", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}},
        "status": status,
    }
