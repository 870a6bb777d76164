"""VolumeZone on small clusters; against kube-scheduler itself: tests/conformance."""

from typing import Any

import msgspec
import pytest
from tests.scheduler.filters.judging import said
from tests.scheduler.stored import a_claim, a_class, a_user, a_volume, add, cluster

from cloudai_kube.objects import Node
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters.volume_zone import REASON, VolumeZone

ZONE, BETA = "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"


def nodes(*labels: dict[str, str]) -> ClusterState:
    """Nodes with these labels."""
    state = ClusterState()
    for number, one in enumerate(labels):
        raw = {"metadata": {"name": str(number), "labels": one}, "status": {"allocatable": {"cpu": "9", "pods": "9"}}}
        state.put_node(msgspec.convert(raw, Node))
    return state


@pytest.mark.parametrize(
    ("labels", "passes"),
    [
        ({ZONE: "a"}, [True, False, True, False]),
        ({ZONE: "a__b"}, [True, True, True, False]),
        ({ZONE: "a__"}, [True, True, True, True]),
        ({BETA: "a"}, [True, False, True, False]),
        ({ZONE: "a", REGION: "r"}, [False, False, True, False]),
        ({}, [True, True, True, True]),
    ],
)
def test_verdicts(labels: dict[str, str], passes: list[bool]) -> None:
    """Old and new labels, lists, nodes that name no place."""
    state = nodes({ZONE: "a"}, {ZONE: "b"}, {}, {REGION: "r"})
    add(state, a_claim("c", volume="v"), a_volume("v", labels=labels))
    assert said(state, a_user("p", "c"), VolumeZone()) == ["" if one else REASON for one in passes]


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([a_claim("c", volume="v")], 'persistentvolume "v" not found'),
        ([a_claim("c", "")], "PersistentVolumeClaim had no pv name and storageClass name"),
        ([a_claim("c", "gone")], 'storageclass.storage.k8s.io "gone" not found'),
        ([a_claim("c", "now"), a_class("now", mode="Immediate")], "PersistentVolume had no name"),
        ([a_claim("c"), a_class("late")], ""),
    ],
)
def test_what_is_missing(items: list[Any], words: str) -> None:
    """Named, whatever the nodes are like."""
    assert said(cluster("a", *items), a_user("p", "c"), VolumeZone()) == [words]
