"""Beside kube-scheduler, and instead of it: observe mode, and the name default-scheduler."""

import json
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.e2e.conftest import Cluster

from cloudai_sandbox import binaries
from cloudai_sandbox.errors import StartError
from cloudai_sandbox.installation import Installation
from cloudai_sandbox.processes import Child
from cloudai_sandbox.sandbox import Sandbox

PODS: Final = 60
_CONFIG: Final = """apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {{leaderElect: true, leaseDuration: 15s, renewDeadline: 10s, retryPeriod: 2s}}
clientConnection: {{kubeconfig: "{kubeconfig}"}}
"""


class Place:
    """A bare control plane with nodes, Helm, and kube-scheduler on demand."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.cluster = Cluster(sandbox)
        self.folder = folder
        self.program = binaries.ensure((binaries.PEER,)).path(binaries.PEER)

    def kube_scheduler(self) -> Child:
        """Start the real one, with its Lease."""
        config = self.folder / "kube-scheduler.yaml"
        config.write_text(_CONFIG.format(kubeconfig=self.sandbox.plane.kubeconfig))
        command = [self.program, f"--config={config}", "--secure-port=0"]
        return self.sandbox.children.start(binaries.PEER, command)

    def release(self, name: str, **values: Any) -> Installation:
        """Install a release."""
        release = Installation(self.sandbox.plane, self.sandbox.children, self.folder, name, f"{name}-system")
        release.helm.install(values, name)
        return release

    def apply(self, name: str, **spec: Any) -> None:
        """A pod of the default scheduler."""
        pod = self.cluster.pod(name, **{"schedulerName": "default-scheduler", **spec})
        said = self.cluster.apply(pod)
        assert "created" in said, said

    def node_of(self, name: str) -> str:
        """Where a pod is, empty if nowhere."""
        return str(self.cluster.get("pod", name)["spec"].get("nodeName", ""))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Four nodes."""
    folder = tmp_path_factory.mktemp("default-name")
    with Sandbox(folder, nodes=4, gpus=2, run=(), chart=False) as sandbox:
        yield Place(sandbox, folder)


def test_it_observes_kube_scheduler(place: Place) -> None:
    """Every node that the other one takes is one that we find feasible; nothing is bound or written by us."""
    theirs = place.kube_scheduler()
    release = place.release("watching", mode="observe")
    rights = place.cluster.get("clusterroles", "--selector=app.kubernetes.io/instance=watching")["items"]
    rules = [rule for role in rights for rule in role["rules"] if "scheduler" in role["metadata"]["name"]]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    kinds = place.cluster.get("deployments,cronjobs", "--namespace=watching-system")["items"]
    assert [item["metadata"]["name"] for item in kinds] == ["watching-cloudai-scheduler"]
    process = release.start("scheduler")
    url = f"http://127.0.0.1:{release.ports['scheduler']}/observed"

    def report() -> dict[str, Any]:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    wanted = {"requests": {"cpu": "100m"}, "limits": {"nvidia.com/gpu": "1"}}
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "apart"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    for number in range(PODS):
        kind = number % 10
        spec: dict[str, Any] = {"affinity": apart} if kind == 1 else {}
        if kind == 2:
            spec = {"containers": [{"name": "c", "image": "x", "resources": wanted}]}
        place.apply(f"seen-{number}", **spec)
    place.cluster.wait(lambda: report()["bound"] >= PODS, 60)
    said = report()
    assert said["outside"] == 0, said["last"]
    assert said["judged"] == said["inOurFeasibleSet"] >= PODS
    assert said["same"] + said["other"] + said["wait"] == said["judged"]
    pods = place.cluster.get("pods")["items"]
    assert not any("cloudai.dev" in json.dumps(pod["metadata"].get("annotations", {})) and
                   "cloudai.dev/decision" in pod["metadata"]["annotations"] for pod in pods)  # fmt: skip
    process.stop()
    release.helm.run("uninstall", "watching")
    theirs.stop()


def test_the_name_is_refused_while_kube_scheduler_serves_it(place: Place) -> None:
    """The process ends and says whom to stop; once that has happened our scheduler serves the name."""
    theirs = place.kube_scheduler()
    lease = ("get", "lease", "kube-scheduler", "--namespace=kube-system", "--output=jsonpath={.spec.holderIdentity}")
    place.cluster.wait(lambda: place.sandbox.plane.kubectl(*lease, check=False).strip() != "")
    release = place.release("instead", schedulerNames=["default-scheduler"])
    with pytest.raises(StartError):
        release.start("scheduler")
    logs = "".join(file.read_text() for file in (place.sandbox.folder / "logs").glob("instead-scheduler*"))
    assert "scheduler name default-scheduler is served by" in logs
    assert "stop it first" in logs
    theirs.stop()  # it lets go of its Lease
    process = release.start("scheduler")
    place.apply("ours")
    place.apply("too", schedulerName="cloudai-scheduler")
    place.cluster.wait(lambda: place.node_of("ours") and place.node_of("too"), 60)
    assert place.cluster.get("pod", "ours")["metadata"]["labels"]["cloudai.dev/bound-by"] == "cloudai-scheduler"
    again = place.kube_scheduler()  # somebody starts the other one: better that nobody binds than that two do
    place.cluster.wait(lambda: not process.alive(), 60)
    again.stop()


def test_a_scheduler_that_is_gone_is_brought_back_by_hand(place: Place) -> None:
    """Nobody can place its own pods then: one Binding by hand does, as the page on installing says."""
    said = place.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "cloudai-scheduler-0", "namespace": "instead-system"},
            "spec": {"containers": [{"name": "c", "image": "x"}], "serviceAccountName": "instead-cloudai-scheduler"},
        }
    )
    assert "created" in said, said
    node = place.cluster.get("nodes")["items"][0]["metadata"]["name"]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "cloudai-scheduler-0"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(binding, file)
        file.flush()
        path = "/api/v1/namespaces/instead-system/pods/cloudai-scheduler-0/binding"
        place.sandbox.plane.kubectl("create", f"--raw={path}", f"--filename={file.name}")
    there = place.cluster.get("pod", "cloudai-scheduler-0", "--namespace=instead-system")
    assert there["spec"]["nodeName"] == node
