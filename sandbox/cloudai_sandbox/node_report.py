"""What a kubelet and a storage driver report of a node beside its resources: features, images, volumes. Pure.

Drivers and their room are asked for on the Node object: annotation `sandbox.cloudai.dev/drivers`, such as
`disk.example.com=5` (so many volumes at most), and `sandbox.cloudai.dev/room`, such as `fast=100Gi` (by storage class).
"""

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cloudai_rts import contract

ANNOTATION_DRIVERS: Final = "sandbox.cloudai.dev/drivers"
ANNOTATION_ROOM: Final = "sandbox.cloudai.dev/room"
CSI_NODES: Final = "/apis/storage.k8s.io/v1/csinodes"
CAPACITIES: Final = "/apis/storage.k8s.io/v1/namespaces/{}/csistoragecapacities"
FEATURES: Final = (
    "RestartAllContainersOnContainerExits",
    "UserNamespacesHostNetworkSupport",
    "VolumeBindMountOptions",
)
"""What a kubelet 1.37 can do that an older one cannot (`component-helpers/nodedeclaredfeatures`)."""
MOST_IMAGES: Final = 50
"""As many as a kubelet names (`nodeStatusMaxImages`)."""
_MEBI: Final = 1 << 20
Json = dict[str, Any]


def images(names: Iterable[str]) -> list[Json]:
    """Images that are on the node, the last ones first; each has the same size on every node, 50 MiB to 2 GiB."""
    last = list(dict.fromkeys(reversed(list(names))))[:MOST_IMAGES]
    return [{"names": [name], "sizeBytes": (50 + zlib.crc32(name.encode()) % 2_000) * _MEBI} for name in last]


def csi_node(name: str, uid: str, annotations: Mapping[str, str]) -> Json:
    """The CSINode that a kubelet keeps for its node, with a driver for each that is asked for."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}
    drivers = [
        {
            "name": driver,
            "nodeID": name,
            "topologyKeys": [contract.LABEL_HOSTNAME],
            **({"allocatable": {"count": int(count)}} if count.isdigit() else {}),
        }
        for driver, count in pairs(annotations.get(ANNOTATION_DRIVERS, ""))
    ]
    return {"metadata": {"name": name, "ownerReferences": [owner]}, "spec": {"drivers": drivers}}


def capacities(name: str, annotations: Mapping[str, str]) -> list[Json]:
    """What the drivers' provisioners say of the room on a node, by storage class."""
    return [
        {
            "metadata": {"name": f"{name}-{kind}"},
            "storageClassName": kind,
            "capacity": room,
            "nodeTopology": {"matchLabels": {contract.LABEL_HOSTNAME: name}},
        }
        for kind, room in pairs(annotations.get(ANNOTATION_ROOM, ""))
    ]


def pairs(text: str) -> list[tuple[str, str]]:
    """`a=1,b=2` as pairs; a name alone has an empty value."""
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    return [(name, value) for name, _, value in parts]
