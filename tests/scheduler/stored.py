"""Builders of storage objects, and a cluster state that holds them."""

from typing import Any

import msgspec

from cloudai_kube.objects import Node, Pod
from cloudai_kube.storage_objects import Claim, CsiDriver, CsiNode, CsiStorageCapacity, StorageClass, Volume
from cloudai_scheduler.cluster.state import ClusterState

NAMESPACE = "ns"


def a_class(
    name: str, provisioner: str = "disk.csi", mode: str = "WaitForFirstConsumer", **fields: Any
) -> StorageClass:
    """A storage class."""
    return msgspec.convert(
        {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode, **fields}, StorageClass
    )


def a_claim(name: str, kind: str = "late", size: str = "1Gi", volume: str = "", **parts: Any) -> Claim:
    """A claim; with `volume` it is bound to that one."""
    spec = {"storageClassName": kind, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    annotations = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    meta = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "resourceVersion": "7"}
    return msgspec.convert(
        {
            "metadata": {**meta, "annotations": annotations, **parts.get("metadata", {})},
            "spec": {**spec, "volumeName": volume, **parts.get("spec", {})},
            "status": {"phase": "Bound" if volume else "Pending", **parts.get("status", {})},
        },
        Claim,
    )


def a_volume(name: str, kind: str = "local", size: str = "5Gi", zone: str = "", **parts: Any) -> Volume:
    """A volume; with `zone` only nodes of that zone can use it."""
    requirement = {"key": "zone", "operator": "In", "values": [zone]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}} if zone else None
    spec = {
        "storageClassName": kind,
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "nodeAffinity": affinity,
        **parts.get("spec", {}),
    }
    meta = {"name": name, "resourceVersion": "7", "labels": parts.get("labels", {})}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": {"phase": "Available"}}, Volume)


def a_user(name: str, *claims: str, node: str = "", volumes: list[dict[str, Any]] | None = None) -> Pod:
    """A pod with these claims, and volumes of other kinds."""
    mounted: list[dict[str, Any]] = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims]
    spec = {"nodeName": node, "volumes": [*mounted, *(volumes or [])]}
    return msgspec.convert(
        {"metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}"}, "spec": spec}, Pod
    )


def cluster(zones: str, *items: Any) -> ClusterState:
    """One node a letter, named by its number and in the zone of that letter (- none); with storage objects and pods."""
    state = ClusterState()
    for number, zone in enumerate(zones):
        labels = {"host": str(number), **({} if zone == "-" else {"zone": zone})}
        status = {"allocatable": {"cpu": "9", "pods": "9"}}
        state.put_node(msgspec.convert({"metadata": {"name": str(number), "labels": labels}, "status": status}, Node))
    add(state, *items)
    return state


def add(state: ClusterState, *items: Any) -> None:
    """Add or replace storage objects and pods."""
    storage = state.storage
    tables: dict[type, Any] = {
        Claim: storage.claims,
        Volume: storage.volumes,
        StorageClass: storage.classes,
        CsiNode: storage.nodes,
        CsiDriver: storage.drivers,
        CsiStorageCapacity: storage.capacities,
    }
    for item in items:
        if isinstance(item, Pod):
            state.put_pod(item)
        else:
            tables.get(type(item), storage.attachments).apply("ADDED", item)
