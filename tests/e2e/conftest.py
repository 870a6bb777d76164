"""One sandbox for all end-to-end tests: a real control plane, four nodes, our operator and scheduler."""

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cloudai_sandbox.sandbox import Sandbox

LEASE_LOST = re.compile("the lease is lost: exiting|was not renewed in time: exiting")


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Started once, stopped at the end."""
    settings = {"cloudai-operator": {"RETRY_FIRST_SECONDS": "0.5", "NODE_GONE_SECONDS": "1"}}
    with Sandbox(tmp_path_factory.mktemp("sandbox"), nodes=4, gpus=4, settings=settings) as running:
        yield running
        check_history(running)


def check_history(sandbox: Sandbox) -> None:
    """The audit saw at least every bind that can still be seen, and found nothing wrong."""
    pods = json.loads(sandbox.plane.kubectl("get", "pods", "--all-namespaces", "--output=json"))["items"]
    report = sandbox.audit()
    assert report.changes > 0
    assert report.binds >= sum("nodeName" in pod["spec"] for pod in pods)
    assert report.violations == []


class Cluster:
    """What tests do with the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.plane = sandbox.plane

    def get(self, *arguments: str) -> Any:
        """An object or list as JSON."""
        return json.loads(self.plane.kubectl("get", *arguments, "--output=json"))

    def apply(self, *objects: dict[str, Any]) -> str:
        """Create objects; returns what kubectl says, also if it is a refusal."""
        file = self.sandbox.folder / "apply.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
        return self.plane.kubectl("apply", f"--filename={file}", check=False)

    def try_out(self, *objects: dict[str, Any]) -> str:
        """What the API server would say, without creating anything."""
        file = self.sandbox.folder / "try.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
        return self.plane.kubectl("apply", "--dry-run=server", f"--filename={file}", check=False)

    def task(self, name: str, notes: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
        """A Task that takes half a second unless the notes say otherwise."""
        annotations = {"sandbox.cloudai.dev/runtime-seconds": "0.5", **(notes or {})}
        body = {"image": "work:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, **spec}
        metadata = {"name": name, "annotations": annotations}
        return {"apiVersion": "cloudai.dev/v1alpha1", "kind": "Task", "metadata": metadata, "spec": body}

    def wait(self, what: Callable[[], Any], seconds: float = 30.0) -> Any:
        """Wait until `what` is true and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = what()
            if found:
                return found
            self._check_processes()
            time.sleep(0.2)
        pytest.fail(f"not within {seconds} s")

    def _check_processes(self) -> None:
        """A process that lost its Lease (the machine stood still) starts again, as in a Deployment."""
        for name in self.sandbox.run:
            child = self.sandbox.process(name)
            if child.alive() or child.process.returncode < 0:  # killed: by a test, which also starts it again
                continue
            end = child.log.read_text(errors="replace")[-1500:]
            if not LEASE_LOST.search(end.rstrip().rpartition("\n")[2]):
                pytest.fail(f"{name} ended with code {child.process.returncode}; its log ends:\n{end}")
            self.sandbox.revive(name)

    def metric(self, process: str, line: str) -> float:
        """Value of one line of a process's metrics, 0 if it is not there yet."""
        url = f"http://127.0.0.1:{self.sandbox.ports[process]}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = [text for text in answer.read().decode().splitlines() if text.startswith(line + " ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    def pod(self, name: str, notes: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
        """A pod that is nobody's Task and names our scheduler."""
        container = {"name": "c", "image": "work:1", "resources": {"requests": {"cpu": "1"}}}
        annotations = {"sandbox.cloudai.dev/runtime-seconds": "0.5", **(notes or {})}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"schedulerName": "cloudai-scheduler", "containers": [container], **spec},
        }

    def complete(self, *names: str, seconds: float = 60.0) -> None:
        """Wait until all these Tasks are complete."""

        def done() -> bool:
            items = self.get("tasks.cloudai.dev")["items"]
            states = {item["metadata"]["name"]: item.get("status", {}).get("state") for item in items}
            return all(states.get(name) == "Complete" for name in names)

        self.wait(done, seconds)

    def status(self, name: str) -> dict[str, Any]:
        """Status of a Task."""
        found: dict[str, Any] = self.get("tasks.cloudai.dev", name).get("status", {})
        return found

    def state(self, name: str, state: str, seconds: float = 30.0) -> dict[str, Any]:
        """Wait for a state and return the status."""
        self.wait(lambda: self.status(name).get("state") == state, seconds)
        return self.status(name)


@pytest.fixture
def cluster(sandbox: Sandbox) -> Cluster:
    """The sandbox with its conveniences."""
    return Cluster(sandbox)
