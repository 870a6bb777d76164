"""NodeVolumeLimits on small clusters; against kube-scheduler itself: tests/conformance."""

from typing import Any

import msgspec
import pytest
from tests.scheduler.filters.judging import said
from tests.scheduler.stored import a_claim, a_class, a_user, a_volume, add, cluster

from cloudai_kube.objects import Node
from cloudai_kube.storage_objects import CsiDriver, CsiNode, VolumeAttachment
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters.node_volume_limits import REASON, NodeVolumeLimits


def limit(node: str, count: int | None, driver: str = "disk.csi") -> CsiNode:
    """So many volumes on a node."""
    drivers = [{"name": driver, "allocatable": None if count is None else {"count": count}}]
    return msgspec.convert({"metadata": {"name": node}, "spec": {"drivers": drivers}}, CsiNode)


def disk(name: str, driver: str = "disk.csi") -> list[Any]:
    """A claim with a volume of a driver."""
    source = {"csi": {"driver": driver, "volumeHandle": f"handle-{name}"}}
    return [a_claim(name, volume=f"v-{name}"), a_volume(f"v-{name}", spec=source)]


def attached(node: str, volume: str) -> VolumeAttachment:
    """A volume that the attacher has brought to a node."""
    spec = {"attacher": "disk.csi", "nodeName": node, "source": {"persistentVolumeName": volume}}
    return msgspec.convert({"metadata": {"name": f"{node}-{volume}"}, "spec": spec}, VolumeAttachment)


def full(state: ClusterState, *claims: str) -> list[bool]:
    """Nodes that cannot attach these claims of a pod."""
    return [text == REASON for text in said(state, a_user("p", *claims), NodeVolumeLimits())]


def test_volumes_of_pods_count_once() -> None:
    """Up to the limit of the node; one that is there already needs no further place; no limit, no question."""
    state = cluster("abc", limit("0", 1), limit("1", 2), limit("2", None), *disk("x"), *disk("y"))
    add(state, a_user("one", "x", node="0"), a_user("two", "x", node="0"), a_user("three", "x", node="1"))
    assert full(state, "x") == [False, False, False]
    assert full(state, "y") == [True, False, False]
    assert full(state, "x", "y") == [True, False, False]
    state.remove_pod("uid-one")
    assert full(state, "y") == [True, False, False]
    state.remove_pod("uid-two")
    assert full(state, "y") == [False, False, False]


def test_volumes_that_are_still_attached_count() -> None:
    """Of pods that are gone; not twice where a pod uses them."""
    state = cluster("ab", limit("0", 1), limit("1", 1), *disk("x"), *disk("y"), attached("0", "v-x"))
    assert full(state, "y") == [True, False]
    add(state, a_user("one", "x", node="0"))
    assert full(state, "x") == [False, False]
    state.storage.attachments.apply("DELETED", attached("0", "v-x"))
    state.remove_pod("uid-one")
    assert full(state, "y") == [False, False]


def test_claims_without_a_volume_count_for_their_class() -> None:
    """They will have one of that driver; a claim that becomes bound is counted under its volume."""
    state = cluster("a", limit("0", 1), a_class("late"), a_claim("x"), a_claim("y"), a_user("one", "x", node="0"))
    assert full(state, "y") == [True]
    assert full(state, "x") == [False]
    source = {"csi": {"driver": "other.csi", "volumeHandle": "h"}, "claimRef": {"namespace": "ns", "name": "x"}}
    add(state, a_claim("x", volume="v"), a_volume("v", spec=source), a_claim("x", volume="v"))
    assert full(state, "y") == [False]


@pytest.mark.parametrize(
    ("prevents", "expected"), [(True, "disk.csi CSI driver is not installed on the node"), (False, "")]
)
def test_a_driver_that_is_missing(prevents: bool, expected: str) -> None:
    """Only where the driver asks for it; a node without a CSINode has none."""
    spec = {"preventPodSchedulingIfMissing": prevents}
    driver = msgspec.convert({"metadata": {"name": "disk.csi"}, "spec": spec}, CsiDriver)
    state = cluster("abc", limit("0", None), limit("1", 3, "other.csi"), driver, *disk("x"))
    assert said(state, a_user("p", "x"), NodeVolumeLimits()) == ["", expected, expected]


def test_a_node_without_any_driver() -> None:
    """Its CSINode has null in place of a list."""
    bare = msgspec.json.decode(b'{"metadata": {"name": "0"}, "spec": {"drivers": null}}', type=CsiNode)
    state = cluster("a", bare, *disk("x"))
    assert full(state, "x") == [False]


def test_a_node_that_takes_the_place_of_another() -> None:
    """Slots are used again: nothing of the old node's volumes is left."""
    state = cluster("ab", limit("0", 1), *disk("x"), *disk("y"), a_user("one", "x", node="0"))
    assert full(state, "y") == [True, False]
    state.remove_node("0")
    state.remove_pod("uid-one")
    add(state, limit("new", 1))
    node = {"metadata": {"name": "new"}, "status": {"allocatable": {"cpu": "9", "pods": "9"}}}
    state.put_node(msgspec.convert(node, Node))
    assert full(state, "y") == [False, False]
