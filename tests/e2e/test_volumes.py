"""Pods with volumes on a real API server: kube-controller-manager binds, and a driver is played that makes volumes."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from tests.e2e.conftest import Cluster

from cloudai_sandbox.sandbox import Sandbox

CONTROLLERS: Final = (
    "persistentvolume-binder-controller",
    "persistentvolumeclaim-protection-controller",
    "persistentvolume-protection-controller",
    "ephemeral-volume-controller",
)
SELECTED: Final = "volume.kubernetes.io/selected-node"
HOST: Final = "kubernetes.io/hostname"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with four nodes and two storage classes: local disks, and those of a driver."""
    folder = tmp_path_factory.mktemp("volumes")
    with Sandbox(folder, nodes=4, run=("cloudai-scheduler",), controllers=CONTROLLERS) as sandbox:
        cluster = Cluster(sandbox)
        late = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "volumeBindingMode": "WaitForFirstConsumer"}
        cluster.apply(
            {**late, "metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner"},
            {**late, "metadata": {"name": "driver"}, "provisioner": "disk.example.com"},
            {**late, "metadata": {"name": "now"}, "provisioner": "disk.example.com", "volumeBindingMode": "Immediate"},
        )
        yield cluster


def claim(name: str, kind: str, size: str = "1Gi", mode: str = "ReadWriteOnce") -> dict[str, Any]:
    """A claim in a storage class."""
    spec = {"storageClassName": kind, "accessModes": [mode], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def volume(name: str, kind: str, node: str, **spec: Any) -> dict[str, Any]:
    """A volume that one node can use."""
    terms = [{"matchExpressions": [{"key": HOST, "operator": "In", "values": [node]}]}]
    body = {
        "storageClassName": kind,
        "capacity": {"storage": "5Gi"},
        "accessModes": ["ReadWriteOnce"],
        "local": {"path": "/disk"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        **spec,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": body}


def user(cluster: Cluster, name: str, *claims: str, **spec: Any) -> dict[str, Any]:
    """A pod that runs for an hour and uses these claims."""
    volumes = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims]
    return cluster.pod(name, {"sandbox.cloudai.dev/runtime-seconds": "3600"}, volumes=volumes, **spec)


def node_of(cluster: Cluster, name: str) -> str:
    """Where a pod is, empty if nowhere."""
    return str(cluster.get("pod", name)["spec"].get("nodeName", ""))


def why(cluster: Cluster, name: str) -> str:
    """What a waiting pod's condition says."""
    conditions = cluster.get("pod", name)["status"].get("conditions", [])
    return next((str(one.get("message", "")) for one in conditions if one["type"] == "PodScheduled"), "")


def selected(cluster: Cluster, name: str) -> str:
    """The node that a claim is to be provisioned for."""
    return str(cluster.get("pvc", name)["metadata"].get("annotations", {}).get(SELECTED, ""))


def provision(cluster: Cluster, name: str) -> str:
    """Do what a driver does: make the volume on the selected node. Returns the node."""
    cluster.wait(lambda: selected(cluster, name) != "")
    node, item = selected(cluster, name), cluster.get("pvc", name)
    reference = {"namespace": "default", "name": name, "uid": item["metadata"]["uid"]}
    cluster.apply(volume(f"made-{name}", "driver", node, claimRef=reference, accessModes=item["spec"]["accessModes"]))
    return node


def names(cluster: Cluster) -> list[str]:
    """The nodes."""
    return [str(node["metadata"]["labels"][HOST]) for node in cluster.get("nodes")["items"]]


def test_the_pod_goes_where_the_smallest_fitting_disk_is(storage: Cluster) -> None:
    """Two local disks and two pods: each gets one of its own, on the node that has it."""
    first, second = names(storage)[1:3]
    storage.apply(volume("disk-1", "local", first), volume("disk-2", "local", second, capacity={"storage": "9Gi"}))
    storage.wait(lambda: storage.get("pv", "disk-2")["status"]["phase"] == "Available")
    storage.apply(claim("a", "local"), claim("b", "local"), claim("c", "local"))
    storage.apply(user(storage, "pod-a", "a"), user(storage, "pod-b", "b"))
    storage.wait(lambda: {node_of(storage, "pod-a"), node_of(storage, "pod-b")} == {first, second})
    for name in ("a", "b"):
        bound = storage.get("pvc", name)
        disk = storage.get("pv", bound["spec"]["volumeName"])
        assert disk["spec"]["claimRef"]["name"] == name
        wanted = disk["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
        assert wanted == [node_of(storage, f"pod-{name}")]
    storage.apply(user(storage, "pod-c", "c"))
    storage.wait(lambda: "4 node(s) didn't find available persistent volumes to bind" in why(storage, "pod-c"))
    storage.apply(volume("disk-3", "local", names(storage)[3]))  # it is looked at again at once
    storage.wait(lambda: node_of(storage, "pod-c") == names(storage)[3])


def test_a_volume_is_made_for_the_node_and_the_pod_waits_for_it(storage: Cluster) -> None:
    """The claim names the node, the pod says where it is going, and it is bound once the volume is."""
    storage.apply(claim("made", "driver"), user(storage, "pod-made", "made"))
    storage.wait(lambda: selected(storage, "made") != "")
    waiting = storage.get("pod", "pod-made")
    assert "nodeName" not in waiting["spec"]
    assert waiting["status"]["nominatedNodeName"] == selected(storage, "made")
    node = provision(storage, "made")
    storage.wait(lambda: node_of(storage, "pod-made") == node)


def test_a_driver_that_gives_up(storage: Cluster) -> None:
    """It takes its node back: the pod's condition names the claim, and the pod is decided on again."""
    storage.apply(claim("failing", "driver"), user(storage, "pod-failing", "failing"))
    storage.wait(lambda: selected(storage, "failing") != "")
    storage.plane.kubectl("annotate", "pvc", "failing", f"{SELECTED}-")
    storage.wait(lambda: "provisioning failed for PVC failing" in why(storage, "pod-failing"))
    node = provision(storage, "failing")
    storage.wait(lambda: node_of(storage, "pod-failing") == node)


def test_a_pod_that_is_deleted_while_it_waits_holds_nothing(storage: Cluster) -> None:
    """Its room is free again, and the next pod with the claim goes to the selected node."""
    storage.apply(claim("left", "driver"), user(storage, "pod-left", "left"))
    storage.wait(lambda: selected(storage, "left") != "")
    storage.plane.kubectl("delete", "pod", "pod-left", "--grace-period=0", "--force")
    storage.apply(user(storage, "pod-next", "left"))
    node = provision(storage, "left")
    storage.wait(lambda: node_of(storage, "pod-next") == node)


def test_claims_that_cannot_be_used_are_named(storage: Cluster) -> None:
    """Missing, not bound by others yet, in use by another pod; each helps itself once that has changed."""
    storage.apply(user(storage, "pod-early", "later"))
    storage.wait(lambda: 'persistentvolumeclaim "later" not found' in why(storage, "pod-early"))
    storage.apply(claim("later", "driver"))
    node = provision(storage, "later")
    storage.wait(lambda: node_of(storage, "pod-early") == node)
    storage.apply(claim("immediate", "now"), user(storage, "pod-now", "immediate"))
    storage.wait(lambda: "pod has unbound immediate PersistentVolumeClaims" in why(storage, "pod-now"))
    storage.apply(volume("kept", "now", names(storage)[0], claimRef={"namespace": "default", "name": "immediate"}))
    storage.wait(lambda: node_of(storage, "pod-now") == names(storage)[0])
    storage.apply(claim("single", "driver", mode="ReadWriteOncePod"), user(storage, "pod-one", "single"))
    provision(storage, "single")
    storage.wait(lambda: node_of(storage, "pod-one") != "")
    storage.apply(user(storage, "pod-two", "single"))
    storage.wait(lambda: "ReadWriteOncePod access mode already in-use" in why(storage, "pod-two"))
    storage.plane.kubectl("delete", "pod", "pod-one", "--grace-period=0", "--force")
    storage.wait(lambda: node_of(storage, "pod-two") != "")


def test_a_claim_that_is_made_for_the_pod(storage: Cluster) -> None:
    """An ephemeral volume: the controller makes the claim, and the pod that owns it is placed."""
    template = {"spec": claim("x", "driver")["spec"]}
    own = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}
    storage.apply(storage.pod("pod-own", {"sandbox.cloudai.dev/runtime-seconds": "3600"}, volumes=[own]))
    storage.wait(lambda: "pod-own-scratch" in json.dumps(storage.get("pvc")))
    node = provision(storage, "pod-own-scratch")
    storage.wait(lambda: node_of(storage, "pod-own") == node)


def test_a_restart_in_the_middle(storage: Cluster) -> None:
    """The scheduler is killed while a pod waits for its volume: the claim is tied already, and the pod is bound."""
    storage.apply(claim("restart", "driver"), user(storage, "pod-restart", "restart"))
    storage.wait(lambda: selected(storage, "restart") != "")
    storage.sandbox.process("cloudai-scheduler").kill()
    storage.sandbox.revive("cloudai-scheduler")
    node = provision(storage, "restart")
    storage.wait(lambda: node_of(storage, "pod-restart") == node, 40)
