"""VolumeBinding on small clusters; against kube-scheduler itself: tests/conformance."""

from typing import Any

import msgspec
import pytest
from tests.scheduler.filters.judging import said
from tests.scheduler.stored import NAMESPACE, a_claim, a_class, a_user, a_volume, add, cluster

from cloudai_kube.storage_objects import CsiDriver, CsiStorageCapacity
from cloudai_scheduler.cluster.pod_volumes import PodVolumes
from cloudai_scheduler.cluster.storage import Plan
from cloudai_scheduler.filters.volume_binding import (
    BIND_REASON,
    GONE_REASON,
    IMMEDIATE,
    NODE_REASON,
    SPACE_REASON,
    VolumeBinding,
    plan_for,
)

LOCAL = a_class("local", "kubernetes.io/no-provisioner")
LATE = a_class("late")
BOUND = {"pv.kubernetes.io/bind-completed": "yes"}
LETTERS = {"": "y", NODE_REASON: "n", BIND_REASON: "b", SPACE_REASON: "s", f"{BIND_REASON}, {NODE_REASON}": "+"}


def letters(zones: str, *items: Any, claims: tuple[str, ...] = ("c",)) -> str:
    """One letter a node for a pod with these claims."""
    state = cluster(zones, LOCAL, LATE, a_class("now", mode="Immediate"), *items)
    return "".join(LETTERS.get(text, "?") for text in said(state, a_user("p", *claims), VolumeBinding()))


def kept_for(name: str, uid: str = "") -> dict[str, Any]:
    """A reference to a claim."""
    return {"spec": {"claimRef": {"namespace": NAMESPACE, "name": name, "uid": uid}}}


@pytest.mark.parametrize(
    ("zones", "items", "expected"),
    [
        ("ab", [a_claim("c", volume="v"), a_volume("v", zone="a")], "yn"),
        ("ab-", [a_claim("c", volume="v"), a_volume("v")], "yyy"),
        ("ab", [a_claim("c", "local"), a_volume("v", zone="b")], "by"),
        ("ab", [a_claim("c", "local", "9Gi"), a_volume("v", zone="b")], "bb"),
        ("ab", [a_claim("c", "local"), a_volume("v", spec={"claimRef": {"namespace": "x", "name": "c"}})], "bb"),
        ("ab", [a_claim("c", "local"), a_volume("v", **kept_for("c"))], "yy"),
        ("ab", [a_claim("c", "local"), a_volume("v", **kept_for("c", "other"))], "bb"),
        ("ab", [a_claim("c", "local"), a_volume("v", zone="a", **kept_for("c")), a_volume("w", size="2Gi")], "yb"),
        ("ab", [a_claim("c", "local", spec={"volumeMode": "Block"}), a_volume("v")], "bb"),
        ("ab", [a_claim("c", "local", spec={"accessModes": ["ReadWriteMany"]}), a_volume("v")], "bb"),
        ("ab", [a_claim("c", "local", spec={"selector": {"matchLabels": {"t": "1"}}}), a_volume("v")], "bb"),
        (
            "ab",
            [a_claim("c", "local", spec={"selector": {"matchLabels": {"t": "1"}}}), a_volume("v", labels={"t": "1"})],
            "yy",
        ),
        ("ab", [a_claim("c")], "yy"),
        ("ab", [a_claim("c", metadata={"annotations": {"volume.kubernetes.io/selected-node": "1"}})], "by"),
        ("ab", [a_claim("c", metadata={"annotations": {"volume.kubernetes.io/selected-node": "gone"}})], "bb"),
    ],
)
def test_verdicts(zones: str, items: list[Any], expected: str) -> None:
    """Bound volumes, volumes to be found, volumes to be made."""
    assert letters(zones, *items) == expected


def test_two_claims_need_two_volumes() -> None:
    """And both kinds of reasons count on one node."""
    claims = (a_claim("c", "local"), a_claim("d", "local"))
    assert letters("aab", *claims, a_volume("v"), a_volume("w", zone="a"), claims=("c", "d")) == "yyb"
    bound = (a_claim("c", volume="v"), a_volume("v", zone="a"), a_claim("d", "local"), a_volume("w", zone="a"))
    assert letters("ab", *bound, claims=("c", "d")) == "y+"


@pytest.mark.parametrize(
    ("size", "largest", "expected"), [("1Gi", None, "ys"), ("9Gi", None, "ss"), ("1Gi", "1Mi", "ss")]
)
def test_room_that_a_driver_reports(size: str, largest: str | None, expected: str) -> None:
    """Only of drivers that say that they report it, in the topology that they name."""
    capacity = {"storageClassName": "late", "capacity": "5Gi", "nodeTopology": {"matchLabels": {"zone": "a"}}}
    raw = {"metadata": {"name": "r", "namespace": "x"}, **capacity, "maximumVolumeSize": largest}
    report = msgspec.convert(raw, CsiStorageCapacity)
    driver = msgspec.convert({"metadata": {"name": "disk.csi"}, "spec": {"storageCapacity": True}}, CsiDriver)
    assert letters("ab", a_claim("c", size=size), report, driver) == expected
    assert letters("ab", a_claim("c", size=size), report) == "yy"


def test_topologies_of_a_class() -> None:
    """A volume is made only there."""
    terms = [{"matchLabelExpressions": [{"key": "zone", "values": ["b", "c"]}]}]
    assert letters("abc-", a_class("zonal", allowedTopologies=terms), a_claim("c", "zonal")) == "byyb"


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([], 'persistentvolumeclaim "c" not found'),
        ([a_claim("c", "now")], IMMEDIATE),
        ([a_claim("c", "unknown")], IMMEDIATE),
        ([a_claim("c", spec={"volumeName": "v"})], IMMEDIATE),
        ([a_claim("c", volume="v", status={"phase": "Lost"})], 'claim "c" bound to non-existent persistentvolume "v"'),
        ([a_claim("c", metadata={"deletionTimestamp": "2027-01-01T00:00:00Z"})], 'claim "c" is being deleted'),
    ],
)
def test_pods_that_no_node_can_help(items: list[Any], words: str) -> None:
    """The claim itself is the reason."""
    state = cluster("a", LATE, a_class("now", mode="Immediate"), *items)
    assert words in said(state, a_user("p", "c"), VolumeBinding())[0]


def test_claims_that_are_made_for_a_pod() -> None:
    """They are waited for, and must belong to the pod."""
    state = cluster("a", LATE)
    pod = a_user("p", volumes=[{"name": "s", "ephemeral": {}}])
    waiting = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-s"'
    assert said(state, pod, VolumeBinding()) == [waiting]
    add(state, a_claim("p-s"))
    assert said(state, pod, VolumeBinding()) == ["PVC ns/p-s was not created for pod ns/p (pod is not owner)"]
    owner = {"kind": "Pod", "name": "p", "uid": "uid-p", "controller": True}
    add(state, a_claim("p-s", metadata={"ownerReferences": [owner]}))
    assert said(state, pod, VolumeBinding()) == [""]


def test_the_plan_takes_the_smallest_and_provisions_the_rest() -> None:
    """A volume that is promised to one pod is not there for the next."""
    state = cluster("ab", LOCAL, LATE, a_claim("c", "local"), a_claim("d", "local"), a_claim("e"))
    add(state, a_volume("big", size="9Gi"), a_volume("small", size="2Gi"), a_volume("far", size="1Gi", zone="b"))
    first = PodVolumes.of(a_user("p", "c", "e")).claims
    plan = plan_for(first, state, 0)
    assert plan == Plan((("small", (NAMESPACE, "c")),), ((NAMESPACE, "e"),))
    state.storage.assume(plan, "0")
    second = PodVolumes.of(a_user("q", "d")).claims
    assert plan_for(second, state, 0) == Plan((("big", (NAMESPACE, "d")),))
    assert said(state, a_user("r", "e"), VolumeBinding()) == ["", BIND_REASON]
    before = VolumeBinding().mark(second, state)
    state.storage.release(plan, is_written=False)
    assert VolumeBinding().mark(second, state) != before
    assert plan_for(second, state, 0) == Plan((("small", (NAMESPACE, "d")),))


def test_what_wakes_a_pod() -> None:
    """Its claim, a volume or class of its claim's class; nothing of another's."""
    state = cluster("a", LOCAL, LATE, a_claim("c", "local"), a_claim("other"))
    ask = PodVolumes.of(a_user("p", "c")).claims
    for change, wakes in (
        (a_claim("c", "local"), True),
        (a_claim("other"), False),
        (a_volume("v"), True),
        (a_volume("w", "late"), False),
        (a_class("late"), False),
        (LOCAL, True),
    ):
        before = VolumeBinding().mark(ask, state)
        add(state, change)
        assert (VolumeBinding().mark(ask, state) != before) == wakes


def test_a_bound_claim_whose_volume_is_not_there() -> None:
    """Of an ephemeral claim nobody else would notice: its volume's event comes later."""
    owner = {"kind": "Pod", "name": "p", "uid": "uid-p", "controller": True}
    state = cluster("ab", LATE, a_claim("p-s", volume="v", metadata={"ownerReferences": [owner], "annotations": BOUND}))
    pod = a_user("p", volumes=[{"name": "s", "ephemeral": {}}])
    assert said(state, pod, VolumeBinding()) == [GONE_REASON] * 2
    add(state, a_volume("v", zone="b"))
    assert said(state, pod, VolumeBinding()) == [NODE_REASON, ""]
