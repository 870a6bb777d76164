"""Where attacks are carried out: the control plane, what stands on it, and what is asked of it."""

import asyncio
import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bar import Bar

from cloudai_kube.errors import KubeError
from cloudai_kube.transport import Transport
from cloudai_rts import contract
from cloudai_sandbox.sandbox import Sandbox

RUNTIME: Final = "sandbox.cloudai.dev/runtime-seconds"
Json = dict[str, Any]


def pod(name: str, namespace: str, spec: Json | None = None, **metadata: Any) -> Json:  # noqa: ANN401  JSON
    """A pod of a tenth of a core."""
    container = {"name": "c", "image": "work:1", "resources": {"requests": {"cpu": "100m"}}}
    body = {"schedulerName": contract.SCHEDULER_NAME, "containers": [container], **(spec or {})}
    return {"metadata": {"name": name, "namespace": namespace, **metadata}, "spec": body}


def task(name: str, namespace: str = "default", runtime: str = "1", **spec: Any) -> Json:  # noqa: ANN401  JSON
    """A Task of one core."""
    body = {"image": "work:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, **spec}
    metadata = {"name": name, "namespace": namespace, "annotations": {RUNTIME: runtime}}
    return {"apiVersion": contract.API_VERSION, "kind": contract.KIND, "metadata": metadata, "spec": body}


@dataclass
class Range:
    """The control plane under attack, with a keeper that starts ended processes again."""

    sandbox: Sandbox
    transport: Transport
    exits: int = 0
    serial: int = 0
    bars: list[Bar] = field(default_factory=list)

    async def keep(self) -> None:
        """Start operator and scheduler again where they have ended, and count it; runs until it is cancelled."""
        while True:
            await asyncio.sleep(0.5)
            self.exits += len(self.sandbox.revive())

    async def create(self, body: Json, content: bytes | None = None) -> None:
        """Create a pod or Task; `content` is its JSON where Python's own encoder cannot write it."""
        namespace = body["metadata"]["namespace"]
        kind = contract.PLURAL if body.get("kind") == contract.KIND else "pods"
        prefix = f"/apis/{contract.API_VERSION}" if kind == contract.PLURAL else "/api/v1"
        await self.transport.request("POST", f"{prefix}/namespaces/{namespace}/{kind}", content or body)

    async def patch(self, path: str, content: bytes, kind: str = "application/json-patch+json") -> None:
        """Change an object."""
        await self.transport.request("PATCH", path, content, content_type=kind)

    async def get(self, path: str) -> Json:
        """Read an object."""
        document: Json = json.loads(await self.transport.request("GET", path))
        return document

    async def until(self, condition: Callable[[], Awaitable[object]], seconds: float) -> float:
        """Seconds until something is true; infinite if it takes longer than `seconds`."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            with contextlib.suppress(KubeError, KeyError):
                if await condition():
                    return time.monotonic() - begun
            await asyncio.sleep(0.05)
        return float("inf")

    async def bystander(self, seconds: float = 20.0, **spec: Any) -> float:  # noqa: ANN401  JSON
        """Seconds until a pod of somebody else is bound."""
        self.serial += 1
        name = f"bystander-{self.serial}"
        await self.create(pod(name, "default", spec))
        return await self.until(lambda: self.node_of(name), seconds)

    async def node_of(self, name: str, namespace: str = "default") -> str:
        """Where a pod is bound."""
        manifest = await self.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        return str(manifest["spec"].get("nodeName", ""))

    async def status(self, name: str, namespace: str = "default") -> Json:
        """Status of a Task."""
        manifest = await self.get(f"/apis/{contract.API_VERSION}/namespaces/{namespace}/tasks/{name}")
        status: Json = manifest.get("status", {})
        return status

    async def completes(self, name: str, seconds: float = 30.0) -> float:
        """Seconds until a Task is complete."""

        async def is_complete() -> bool:
            return (await self.status(name)).get("state") == "Complete"

        return await self.until(is_complete, seconds)

    async def clear(self) -> None:
        """Remove what the attacker left behind."""
        for path in (f"/apis/{contract.API_VERSION}/namespaces/attacker/tasks", "/api/v1/namespaces/attacker/pods"):
            await self.transport.request("DELETE", path, {"gracePeriodSeconds": 0})

    def hold(self, what: str, value: float, most: float) -> None:
        """Note a figure and its bar."""
        self.bars.append(Bar(what, value, most=most))

    def probe(self, process: str, path: str = "readyz") -> int:
        """HTTP status of a process's port, 0 if it does not answer."""
        url = f"http://127.0.0.1:{self.sandbox.ports[process]}/{path}"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0
