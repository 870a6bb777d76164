"""What simulated kubelets report, as the scheduler takes it from the API server."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from tests.e2e.conftest import Cluster

from cloudai_sandbox import node_report
from cloudai_sandbox.sandbox import Sandbox

CONTROLLERS: Final = ("persistentvolume-binder-controller", "persistentvolume-attach-detach-controller")
HOUR: Final = {"sandbox.cloudai.dev/runtime-seconds": "3600"}
DRIVER: Final = "disk.example.com"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes, our scheduler, and the controllers that bind and attach volumes."""
    folder = tmp_path_factory.mktemp("kubelet")
    with Sandbox(folder, nodes=2, run=("cloudai-scheduler",), controllers=CONTROLLERS) as sandbox:
        yield Cluster(sandbox)


def a_pod(cluster: Cluster, name: str, node: str, cpu: str, **spec: Any) -> dict[str, Any]:
    """A pod that runs for an hour on a node."""
    container = {"name": "c", "image": "torch:1", "resources": {"requests": {"cpu": cpu}}}
    return cluster.pod(name, HOUR, nodeSelector={"kubernetes.io/hostname": node}, containers=[container], **spec)


def resize(cluster: Cluster, name: str, cpu: str) -> None:
    """Ask for other resources in place."""
    body = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}
    cluster.plane.kubectl("patch", "pod", name, "--subresource=resize", f"--patch={json.dumps(body)}")


def conditions(cluster: Cluster, name: str) -> dict[str, tuple[str, str, str]]:
    """Status, reason and message by type."""
    said = cluster.get("pod", name)["status"].get("conditions", [])
    return {one["type"]: (one["status"], one.get("reason", ""), one.get("message", "")) for one in said}


def is_bound(cluster: Cluster, name: str) -> bool:
    """Whether a pod has a node."""
    return "nodeName" in cluster.get("pod", name)["spec"]


def test_a_resized_pod_counts_as_what_it_has(cluster: Cluster) -> None:
    """More in place leaves less for others, less makes room at once; what does not fit comes once others have gone."""
    cluster.apply(a_pod(cluster, "grows", "node-0", "4"))
    cluster.wait(lambda: cluster.get("pod", "grows")["status"]["phase"] == "Running")
    resize(cluster, "grows", "28")

    def has(cpu: str) -> bool:
        [own] = cluster.get("pod", "grows")["status"]["containerStatuses"]
        return bool(own["allocatedResources"]["cpu"] == cpu)

    cluster.wait(lambda: has("28"))
    cluster.apply(a_pod(cluster, "beside", "node-0", "8"))
    cluster.wait(lambda: "Insufficient cpu" in conditions(cluster, "beside").get("PodScheduled", ("", "", ""))[2])
    resize(cluster, "grows", "4")
    cluster.wait(lambda: is_bound(cluster, "beside"))
    resize(cluster, "grows", "28")
    cluster.wait(lambda: conditions(cluster, "grows").get("PodResizePending", ("", "", ""))[1] == "Deferred")
    cluster.plane.kubectl("delete", "pod", "beside")
    cluster.wait(lambda: has("28"))


def test_a_node_says_what_it_can_and_has(cluster: Cluster) -> None:
    """Features and the images of pods that ran there."""
    cluster.apply(a_pod(cluster, "puller", "node-1", "1"))
    cluster.wait(lambda: "torch:1" in json.dumps(cluster.get("node", "node-1")["status"].get("images", [])))
    assert set(node_report.FEATURES) <= set(cluster.get("node", "node-1")["status"]["declaredFeatures"])


def test_volumes_of_a_driver_are_counted_and_attached(cluster: Cluster) -> None:
    """A node takes as many volumes as its driver says; kube-controller-manager asks for the attachment."""
    for node in ("node-0", "node-1"):
        cluster.plane.kubectl("annotate", "node", node, f"{node_report.ANNOTATION_DRIVERS}={DRIVER}=1")
    cluster.wait(lambda: all(len(item["spec"]["drivers"] or []) == 1 for item in cluster.get("csinodes")["items"]))
    cluster.apply({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER}, "spec": {}})
    for name in ("one", "two"):
        source = {"driver": DRIVER, "volumeHandle": name}
        size = {"storage": "1Gi"}
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name},
                "spec": {"csi": source, "capacity": size, "accessModes": ["ReadWriteOnce"], "storageClassName": "x"},
            },
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name},
                "spec": {
                    "volumeName": name,
                    "storageClassName": "x",
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": size},
                },
            },
        )
        cluster.wait(lambda name=name: cluster.get("pvc", name)["status"].get("phase") == "Bound")  # type: ignore[misc]
    for name in ("one", "two"):
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]
        cluster.apply(a_pod(cluster, f"uses-{name}", "node-1", "1", volumes=volumes))
    reason = "node(s) exceed max volume count"

    def refused() -> list[str]:
        return [
            n for n in ("uses-one", "uses-two") if reason in conditions(cluster, n).get("PodScheduled", ("",) * 3)[2]
        ]

    cluster.wait(lambda: len(refused()) == 1)
    [waits] = refused()
    [runs] = {"uses-one", "uses-two"} - {waits}
    assert is_bound(cluster, runs)
    cluster.wait(lambda: [one["spec"]["nodeName"] for one in cluster.get("volumeattachments")["items"]] == ["node-1"])
