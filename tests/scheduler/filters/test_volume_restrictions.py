"""VolumeRestrictions on small clusters; against kube-scheduler itself: tests/conformance."""

from typing import Any

import pytest
from tests.scheduler.filters.judging import said
from tests.scheduler.stored import a_claim, a_user, add, cluster

from cloudai_kube.demand import Demand
from cloudai_scheduler.filters.volume_restrictions import DISK_REASON, ONCE_POD_REASON, VolumeRestrictions


def gce(read_only: bool = False) -> dict[str, Any]:
    """A disk of GCE."""
    return {"name": "d", "gcePersistentDisk": {"pdName": "x", "readOnly": read_only}}


def rbd(*monitors: str, image: str = "i", read_only: bool = False) -> dict[str, Any]:
    """A disk of Ceph."""
    return {"name": "d", "rbd": {"monitors": list(monitors), "image": image, "readOnly": read_only}}


def ebs(read_only: bool) -> dict[str, Any]:
    """A disk of EBS."""
    return {"name": "d", "awsElasticBlockStore": {"volumeID": "x", "readOnly": read_only}}


@pytest.mark.parametrize(
    ("there", "new", "conflict"),
    [
        (gce(), gce(), True),
        (gce(read_only=True), gce(), True),
        (gce(read_only=True), gce(read_only=True), False),
        (ebs(True), ebs(True), True),
        (rbd("a", "b"), rbd("b", "c"), True),
        (rbd("a"), rbd("b"), False),
        (rbd("a"), rbd("a", image="j"), False),
        (rbd("a", read_only=True), rbd("a", read_only=True), False),
        (gce(), {"name": "e", "emptyDir": {}}, False),
    ],
)
def test_disks(there: dict[str, Any], new: dict[str, Any], conflict: bool) -> None:
    """One pod on a node, unless all of them only read; on other nodes nothing is in the way."""
    state = cluster("aa", a_user("old", node="0", volumes=[there]))
    assert said(state, a_user("p", volumes=[new]), VolumeRestrictions()) == [DISK_REASON if conflict else "", ""]
    state.remove_pod("uid-old")
    assert said(state, a_user("p", volumes=[new]), VolumeRestrictions()) == ["", ""]
    assert state.storage.disks == {}


def test_a_claim_for_one_pod() -> None:
    """No node is possible while another pod uses it, and its end wakes the one that waits."""
    state = cluster("aa", a_claim("c", spec={"accessModes": ["ReadWriteOncePod"]}), a_user("old", "c", node="0"))
    pod, one = a_user("p", "c"), VolumeRestrictions()
    ask = one.asks(pod, Demand({}, frozenset()))
    assert ask is not None
    assert said(state, pod, one) == [ONCE_POD_REASON] * 2
    before = one.mark(ask, state)
    state.remove_pod("uid-old")
    assert one.mark(ask, state) != before
    assert said(state, pod, one) == ["", ""]
    add(state, a_claim("c"), a_user("old", "c", node="0"))
    assert said(state, pod, one) == ["", ""]


def test_a_claim_that_is_not_there() -> None:
    """It is named."""
    assert said(cluster("a"), a_user("p", "c"), VolumeRestrictions()) == ['persistentvolumeclaim "c" not found']
