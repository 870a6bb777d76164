"""Random storage of a cluster: classes, volumes, claims, drivers, capacities, attachments; and pods that use them."""

import random
from typing import Any, Final

Json = dict[str, Any]
Stored = tuple[str, Json]
"""The path of a collection and an object for it."""
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
BETA_ZONE = "failure-domain.beta.kubernetes.io/zone"
API: Final = "/apis/storage.k8s.io/v1"
CLAIMS: Final = "/api/v1/namespaces/{}/persistentvolumeclaims"
VOLUMES: Final = "/api/v1/persistentvolumes"
DRIVERS: Final = ("disk.csi", "nfs.csi", "strict.csi")
CLASSES: Final = {
    "now": ("disk.csi", "Immediate"),
    "local": ("kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
    "late": ("disk.csi", "WaitForFirstConsumer"),
    "zonal": ("nfs.csi", "WaitForFirstConsumer"),
    "strict": ("strict.csi", "WaitForFirstConsumer"),
}
COLLECTIONS: Final = (
    VOLUMES,
    *(f"{API}/{kind}" for kind in ("storageclasses", "csinodes", "csidrivers", "volumeattachments")),
    *(f"{API}/namespaces/{name}/csistoragecapacities" for name in ("blue",)),
)


def draw(rng: random.Random, nodes: list[Json], namespaces: list[str]) -> list[Stored]:
    """All storage objects of a cluster; claims are named by number in each namespace."""
    names = [node["metadata"]["name"] for node in nodes]
    stored = [_class(rng, name) for name in CLASSES]
    stored += [_driver(rng, name) for name in DRIVERS]
    stored += [_csi_node(rng, name) for name in names if rng.random() < 0.8]
    stored += [_capacity(rng, number) for number in range(rng.randint(0, 4))]
    for number in range(8):
        stored.append((VOLUMES, _volume(rng, f"free-{number}", names)))
    for namespace in namespaces:
        for number in range(12):
            stored += _claim(rng, namespace, f"claim-{number}", names)
    volumes = [item["metadata"]["name"] for path, item in stored if path == VOLUMES and "csi" in item["spec"]]
    for number in range(rng.randint(0, 10) if volumes else 0):
        source = {"persistentVolumeName": rng.choice(volumes)}
        spec = {"attacher": rng.choice(DRIVERS), "nodeName": rng.choice(names), "source": source}
        stored.append((f"{API}/volumeattachments", {"metadata": {"name": f"attached-{number}"}, "spec": spec}))
    return stored


def mounts(rng: random.Random, hopeless: float) -> list[Json]:
    """Volumes of a pod; a share of them can never be had.

    No claim twice: kube-scheduler 1.37 wants two volumes for it then, and we one.
    """
    volumes: list[Json] = []
    for number, claim in enumerate(rng.sample(range(12), rng.randint(1, 2))):
        name = f"claim-{claim}" if rng.random() > hopeless else "absent"
        volumes.append({"name": f"v{number}", "persistentVolumeClaim": {"claimName": name}})
    if rng.random() < 0.25:
        volumes.append({"name": "disk", **disk(rng)})
    if rng.random() < hopeless / 2:
        template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
        volumes.append({"name": "own", "ephemeral": {"volumeClaimTemplate": template}})
    return volumes


def disk(rng: random.Random) -> Json:
    """A disk that a pod names itself."""
    read_only, name = rng.random() < 0.5, rng.choice("xy")
    return rng.choice(
        [
            {"gcePersistentDisk": {"pdName": name, "readOnly": read_only}},
            {"awsElasticBlockStore": {"volumeID": name, "readOnly": read_only}},
            {"iscsi": {"targetPortal": "1.2.3.4", "iqn": f"iqn.2026-01.x:{name}", "lun": 0, "readOnly": read_only}},
            {"rbd": {"monitors": rng.sample(["a", "b", "c"], 2), "image": name, "readOnly": read_only}},
        ]
    )


def _class(rng: random.Random, name: str) -> Stored:
    provisioner, mode = CLASSES[name]
    item: Json = {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode}
    if name == "zonal":
        terms = [{"matchLabelExpressions": [{"key": ZONE, "values": rng.sample("abc", 2)}]}]
        item["allowedTopologies"] = terms
    return f"{API}/storageclasses", item


def _driver(rng: random.Random, name: str) -> Stored:
    spec = {
        "attachRequired": True,
        "storageCapacity": rng.random() < 0.5,
        "preventPodSchedulingIfMissing": name == "strict.csi",
    }
    return f"{API}/csidrivers", {"metadata": {"name": name}, "spec": spec}


def _csi_node(rng: random.Random, name: str) -> Stored:
    drivers = []
    for driver in rng.sample(DRIVERS, rng.randint(1, 3)):
        one: Json = {"name": driver, "nodeID": name, "topologyKeys": None}
        if rng.random() < 0.7:
            one["allocatable"] = {"count": rng.randint(1, 3)}
        drivers.append(one)
    return f"{API}/csinodes", {"metadata": {"name": name}, "spec": {"drivers": drivers}}


def _capacity(rng: random.Random, number: int) -> Stored:
    item: Json = {
        "metadata": {"name": f"capacity-{number}"},
        "storageClassName": rng.choice(["late", "zonal", "strict"]),
        "capacity": rng.choice(["1Gi", "50Gi"]),
    }
    if rng.random() < 0.3:
        item["maximumVolumeSize"] = "3Gi"
    if rng.random() < 0.9:
        item["nodeTopology"] = rng.choice([{}, {"matchLabels": {ZONE: rng.choice("abc")}}])
    return f"{API}/namespaces/blue/csistoragecapacities", item


def _affinity(rng: random.Random, names: list[str]) -> Json:
    requirement = rng.choice(
        [
            {"key": ZONE, "operator": "In", "values": rng.sample("abc", 2)},
            {"key": ZONE, "operator": "NotIn", "values": ["a"]},
            {"key": "rack", "operator": "Exists"},
            {"key": "cores", "operator": "Gt", "values": ["5"]},
            {"key": HOST, "operator": "In", "values": rng.sample(names, min(len(names), 3))},
        ]
    )
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}}


def _volume(rng: random.Random, name: str, names: list[str]) -> Json:
    spec: Json = {
        "capacity": {"storage": rng.choice(["1Gi", "5Gi", "20Gi"])},
        "accessModes": rng.choice([["ReadWriteOnce"], ["ReadWriteOnce", "ReadOnlyMany"], ["ReadWriteOncePod"]]),
        "storageClassName": rng.choice(["local", "local", "late"]),
        "volumeMode": rng.choice(["Filesystem", "Filesystem", "Filesystem", "Block"]),
    }
    if rng.random() < 0.5:
        spec["csi"] = {"driver": rng.choice(DRIVERS), "volumeHandle": f"handle-{name}"}
    else:
        spec["hostPath"] = {"path": "/x"}
    if rng.random() < 0.4:
        spec["nodeAffinity"] = _affinity(rng, names)
    labels = {"tier": rng.choice(["gold", "base"])}
    if rng.random() < 0.25:
        labels[rng.choice([ZONE, BETA_ZONE])] = rng.choice(["a", "b", "a__b", "c"])
    phase = "Available" if rng.random() < 0.85 else "Released"
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"phase": phase}}


def _claim(rng: random.Random, namespace: str, name: str, names: list[str]) -> list[Stored]:
    """A claim in one of the states that a claim can be in, and the volume that is its, if there is one."""
    spec: Json = {
        "accessModes": ["ReadWriteOncePod" if rng.random() < 0.15 else "ReadWriteOnce"],
        "resources": {"requests": {"storage": rng.choice(["1Gi", "2Gi", "10Gi", "60Gi"])}},
        "storageClassName": rng.choice(list(CLASSES)),
    }
    meta: Json = {"name": name}
    item = {"metadata": meta, "spec": spec, "status": {"phase": "Pending"}}
    stored: list[Stored] = [(CLAIMS.format(namespace), item)]
    kind = rng.random()
    if kind < 0.5:
        volume = f"bound-{namespace}-{name}"
        spec["volumeName"] = volume
        meta["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
        item["status"] = {"phase": "Bound" if kind < 0.48 else "Lost"}
        if kind < 0.47:
            held = _volume(rng, volume, names)
            held["spec"]["claimRef"] = {"namespace": namespace, "name": name}
            held["spec"]["storageClassName"] = spec["storageClassName"]
            stored.insert(0, (VOLUMES, {**held, "status": {"phase": "Bound"}}))
    elif kind < 0.53:
        spec["storageClassName"] = rng.choice(["", "unknown"])
    elif kind < 0.6:
        spec["storageClassName"] = rng.choice(["late", "zonal"])
        meta["annotations"] = {"volume.kubernetes.io/selected-node": rng.choice(names)}
    elif kind < 0.75:
        spec["storageClassName"] = "local"
        if rng.random() < 0.3:
            spec["selector"] = {"matchLabels": {"tier": "gold"}}
    return stored
