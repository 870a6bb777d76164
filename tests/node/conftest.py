"""One real node for all tests, with Helm and what tests ask of a cluster."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cloudai_sandbox import image
from cloudai_sandbox.helm import Helm
from cloudai_sandbox.real_node import NODE, RealNode

NAMESPACE: Final = "cloudai-system"
HERE: Final = {"kubernetes.io/hostname": NODE}
VALUES: Final[dict[str, Any]] = {
    "image": {"repository": "localhost/cloudai", "tag": "dev", "pullPolicy": "Never"},
    "crds": {"keep": False},
    "scheduler": {"nodeSelector": HERE, "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}}},
    "operator": {
        "nodeSelector": HERE,
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
        "settings": {"retry_first_seconds": 1},
    },
    "optimizer": {
        "nodeSelector": HERE,
        "suspend": True,
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
        "settings": {"min_tasks": 10, "search_tasks": 1000},
    },
}
ELSEWHERE: Final = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [NODE]}]}
            ]
        }
    }
}
"""The simulated nodes: only they can run an image that does not exist."""
RUNTIME: Final = "sandbox.cloudai.dev/runtime-seconds"
ENDED: Final = frozenset({"Complete", "Failed"})


def say(text: str) -> None:
    """Progress, and figures for people."""
    sys.stderr.write(f"{text}\n")


@pytest.fixture(scope="session")
def node() -> Iterator[RealNode]:
    """Control plane, containerd and kubelet, with the project's image."""
    kept = image.default_folder().parent / "node"
    for name in ("etcd", "addresses", "var-lib-kubelet", "certificates"):
        subprocess.run(["rm", "-rf", str(kept / name)], check=True)  # noqa: S607
    names = ("pause-1.tar", "cloudai-dev.tar", "cloudai-earlier.tar")
    archives = [path for name in names if (path := image.default_folder() / name).exists()]
    with RealNode(kept, archives, say) as running:
        yield running


class Cluster:
    """The node, Helm, and what tests ask of them."""

    def __init__(self, node: RealNode, folder: Path) -> None:
        self.node = node
        self.helm = Helm(folder / "helm", node.plane.kubeconfig)
        self.installed_at = 0.0

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects."""
        file = self.node.folder / "objects.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
        self.node.kubectl("apply", f"--filename={file}")

    def task(self, name: str) -> dict[str, Any]:
        """A Task as it is."""
        found: dict[str, Any] = self.node.get("tasks.cloudai.dev", name)
        return found

    def end(self, name: str, seconds: float = 60.0) -> dict[str, Any]:
        """Wait for the end of a Task; its status."""

        def status() -> Any:
            found = self.task(name).get("status", {})
            return found if found.get("state") in ENDED else None

        found: dict[str, Any] = self.node.wait(status, seconds, f"Task {name} does not end")
        return found

    def pods(self, component: str) -> list[dict[str, Any]]:
        """The living pods of a component."""
        selector = f"--selector=app.kubernetes.io/component={component}"
        found = self.node.get("pods", f"--namespace={NAMESPACE}", selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def metric(self, name: str) -> float:
        """A metric of the scheduler that leads, asked for at the address of its pod."""
        for pod in self.pods("scheduler"):
            with urllib.request.urlopen(f"http://{pod['status']['podIP']}:10361/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
            values = {line.split(" ")[0]: float(line.split(" ")[-1]) for line in lines if not line.startswith("#")}
            if values.get("cloudai_scheduler_leader") == 1.0:
                return values.get(name, 0.0)
        return -1.0


def task(name: str, seconds: float, **spec: Any) -> dict[str, Any]:
    """A Task that a simulated node runs for so long."""
    body = {"image": "work:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, **spec}
    if "nodeSelector" not in spec:
        body["affinity"] = ELSEWHERE
    metadata = {"name": name, "namespace": "default", "annotations": {RUNTIME: str(seconds)}}
    return {"apiVersion": "cloudai.dev/v1alpha1", "kind": "Task", "metadata": metadata, "spec": body}


def real_task(name: str, code: str, **spec: Any) -> dict[str, Any]:
    """A Task whose container runs this Python on the real node."""
    return task(
        name,
        0,
        image=image.IMAGE,
        command=["/opt/cloudai/bin/python", "-c", code],
        nodeSelector=HERE,
        resources={"limits": {"cpu": "100m", "memory": "128Mi"}},
        securityContext={"runAsUser": 65532},
        sla={"finishWithin": "10m", "expectedRuntime": "10s"},
        **spec,
    )


@pytest.fixture(scope="session")
def cluster(node: RealNode) -> Cluster:
    """The real node and four simulated ones with GPUs."""
    simulated = node.folder / "fleet.ready"
    simulated.unlink(missing_ok=True)
    command = [sys.executable, "-m", "cloudai_sandbox", "fleet", f"--kubeconfig={node.plane.kubeconfig}"]
    node.children.start("fleet", [*command, "--nodes=4", "--gpus=4", f"--ready-file={simulated}"])
    node.wait(simulated.exists, 30.0, "no simulated nodes")
    return Cluster(node, node.folder)
