"""Scores on small clusters; against kube-scheduler itself: tests/conformance."""

from typing import Any

import msgspec
import numpy as np
import pytest
from tests.scheduler.stored import a_claim, a_class, a_volume, add

from cloudai_kube.objects import Node, Pod
from cloudai_kube.storage_objects import CsiDriver, CsiStorageCapacity
from cloudai_kube.workload_objects import Service
from cloudai_rts.arrays import IntArray
from cloudai_scheduler import preferences
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.cycle import choice_of as make_choice
from cloudai_scheduler.filters.base import View
from cloudai_scheduler.podclass import ClassTable
from cloudai_scheduler.preferences.base import Choice, Preference
from cloudai_scheduler.preferences.image_locality import ImageLocality
from cloudai_scheduler.preferences.inter_pod_affinity import InterPodAffinity
from cloudai_scheduler.preferences.node_affinity import NodeAffinity
from cloudai_scheduler.preferences.pod_topology_spread import PodTopologySpread
from cloudai_scheduler.preferences.resources import most_allocated, spread_out
from cloudai_scheduler.preferences.taints import TaintToleration
from cloudai_scheduler.preferences.volume_binding import VolumeBinding

GI = 1 << 30


def a_node(name: str, zone: str = "a", gpus: str = "0", **parts: Any) -> Node:
    """Eight cores and 8 GiB."""
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, "zone": zone}
    room = {"cpu": "8", "memory": "8Gi", "pods": "99", "nvidia.com/gpu": gpus}
    status = {"allocatable": room, **parts.get("status", {})}
    raw = {"metadata": {"name": name, "labels": labels}, "spec": parts.get("spec", {}), "status": status}
    return msgspec.convert(raw, Node)


def a_pod(name: str = "p", node: str = "", app: str = "x", **parts: Any) -> Pod:
    """A pod of an app."""
    requests = parts.pop("requests", {"cpu": "1", "memory": "1Gi"})
    meta = {"name": name, "uid": name, "namespace": "ns", "labels": {"app": app}, **parts.pop("metadata", {})}
    containers = [{"name": "c", "image": parts.pop("image", "i"), "resources": {"requests": requests}}]
    return msgspec.convert({"metadata": meta, "spec": {"nodeName": node, "containers": containers, **parts}}, Pod)


def cluster(*items: Node | Pod) -> ClusterState:
    """Nodes and pods."""
    state = ClusterState()
    for item in items:
        if isinstance(item, Node):
            state.put_node(item)
        else:
            state.put_pod(item)
    return state


def choice_of(state: ClusterState, pod: Pod, slots: list[int] | None = None) -> Choice:
    """All nodes, or these."""
    pod_class = ClassTable().of(pod)
    pod_class.refresh(state)
    verdicts = pod_class.verdicts
    view = View(state, Rejections(), pod, verdicts.affine, verdicts.tolerated, 0.0)
    mask = np.full(len(state.fleet), slots is None)
    mask[slots or []] = True
    return make_choice(view, pod_class, mask)


def scores(one: Preference[Any], state: ClusterState, pod: Pod, slots: list[int] | None = None) -> list[int] | None:
    """The scores of a pod's nodes; None where it has nothing to say."""
    ask = one.asks(pod)
    found = None if ask is None else one.scores(ask, choice_of(state, pod, slots))
    return None if found is None else found.tolist()


def _listed(found: IntArray | None) -> list[int]:
    assert found is not None
    return [int(score) for score in found]


def near(weight: int = 1, app: str = "x", key: str = "zone", kind: str = "podAffinity") -> dict[str, Any]:
    """A wish for the company of an app."""
    term = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}}
    wish = {"weight": weight, "podAffinityTerm": term}
    return {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}}


def test_soft_taints() -> None:
    """Each that is not tolerated counts; none anywhere is no reason."""
    old = {"key": "old", "effect": "PreferNoSchedule"}
    slow = {"key": "slow", "effect": "PreferNoSchedule"}
    state = cluster(a_node("a"), a_node("b", spec={"taints": [old]}), a_node("c", spec={"taints": [old, slow]}))
    assert scores(TaintToleration(), state, a_pod()) == [100, 50, 0]
    tolerated = a_pod(tolerations=[{"key": "old", "operator": "Exists"}])
    assert scores(TaintToleration(), state, tolerated) == [100, 100, 0]
    assert scores(TaintToleration(), state, a_pod(), [0]) is None


def test_preferred_nodes() -> None:
    """The weights of the terms that hold."""
    terms = [
        {"weight": 10, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}},
        {"weight": 30, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}},
    ]
    state = cluster(a_node("1", "a"), a_node("2", "b"), a_node("3", "c"))
    pod = a_pod(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}})
    assert scores(NodeAffinity(), state, pod) == [25, 100, 0]
    assert scores(NodeAffinity(), state, a_pod()) is None


def test_company() -> None:
    """What the pod wishes for, what others wish for, and what others require."""
    nodes = (a_node("1", "a"), a_node("2", "b"), a_node("3", "c"))
    state = cluster(*nodes, a_pod("m", "1"), a_pod("n", "1"), a_pod("o", "2"))
    assert scores(InterPodAffinity(), state, a_pod(**near())) == [100, 50, 0]
    assert scores(InterPodAffinity(), state, a_pod(**near(kind="podAntiAffinity"))) == [0, 50, 100]
    assert scores(InterPodAffinity(), state, a_pod(**near(app="nobody"))) == [0, 0, 0]
    assert scores(InterPodAffinity(), state, a_pod()) is None
    state = cluster(*nodes, a_pod("m", "1", "y", **near(5)), a_pod("n", "2", "y", **near(5, kind="podAntiAffinity")))
    assert scores(InterPodAffinity(), state, a_pod()) == [100, 0, 50]
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}}
    required = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    state = cluster(*nodes, a_pod("m", "3", "y", affinity=required))
    assert scores(InterPodAffinity(), state, a_pod()) == [0, 0, 100]
    state.remove_pod("m")
    assert scores(InterPodAffinity(), state, a_pod()) is None


def test_soft_spread() -> None:
    """Fewer pods in the domain are better; a node without the label is not scored."""
    wish = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    spread: dict[str, Any] = {"topologySpreadConstraints": [{**wish, "labelSelector": {"matchLabels": {"app": "x"}}}]}
    bare = msgspec.convert({"metadata": {"name": "4"}, "status": {"allocatable": {"cpu": "8", "pods": "9"}}}, Node)
    state = cluster(a_node("1", "a"), a_node("2", "a"), a_node("3", "b"), bare, a_pod("m", "1"), a_pod("n", "1"))
    assert scores(PodTopologySpread(), state, a_pod(**spread)) == [0, 0, 100, 0]
    assert scores(PodTopologySpread(), state, a_pod()) is None


def test_what_belongs_together_is_spread_by_default() -> None:
    """Over hosts and zones, pods behind one Service and of one controller; others say nothing."""
    state = cluster(a_node("1", "a"), a_node("2", "a"), a_node("3", "b"), a_pod("m", "1"), a_pod("n", "1"))
    assert scores(PodTopologySpread(), state, a_pod()) is None
    service = msgspec.convert(
        {"metadata": {"name": "s", "namespace": "ns"}, "spec": {"selector": {"app": "x"}}}, Service
    )
    state.workloads.services.apply("ADDED", service)
    found = scores(PodTopologySpread(), state, a_pod())
    assert found is not None
    assert found[0] < found[1] < found[2] == 100


def test_images() -> None:
    """Bytes that are there count, as far as other nodes have them too; small ones make no difference."""
    big, small = {"names": ["torch:latest"], "sizeBytes": 2000 << 20}, {"names": ["tiny:1"], "sizeBytes": 1 << 20}
    state = cluster(a_node("1", status={"images": [big, small]}), a_node("2", status={"images": [small]}))
    assert scores(ImageLocality(), state, a_pod(image="torch")) == [100, 0]
    assert scores(ImageLocality(), state, a_pod(image="tiny:1")) == [0, 0]
    assert scores(ImageLocality(), state, a_pod(image="unknown")) is None
    state.put_node(a_node("1", status={"images": []}))
    assert scores(ImageLocality(), state, a_pod(image="torch")) is None


def test_room() -> None:
    """The emptier node; of containers that say nothing what they usually take; balance of CPU and memory."""
    state = cluster(a_node("1"), a_node("2"), a_pod("m", "1", requests={"cpu": "4", "memory": "4Gi"}))
    state.put_pod(a_pod("n", "2", requests={}))
    pod = a_pod()
    assert spread_out(choice_of(state, pod))[0].tolist() == [37, 85]
    even = a_pod(requests={"cpu": "4"})
    assert _listed(spread_out(choice_of(state, even))[1]) == [62, 62]
    assert spread_out(choice_of(state, a_pod(requests={})))[1] is None
    state.put_pod(a_pod("o", "2", requests={"memory": "4Gi"}))
    assert _listed(spread_out(choice_of(state, even))[1]) == [62, 87]


def test_packed_resources() -> None:
    """GPU nodes are filled one by one if that is set; pods without GPUs are spread all the same."""
    nodes = (a_node("1", gpus="8"), a_node("2", gpus="8"))
    asks = {"cpu": "1", "nvidia.com/gpu": "2"}
    state = cluster(*nodes, a_pod("m", "2", requests=asks))
    pod = a_pod(requests=asks)
    assert _listed(most_allocated(choice_of(state, pod), ("*/gpu",))) == [25, 50]
    assert most_allocated(choice_of(state, a_pod()), ("*/gpu",)) is None
    for packed, expected in ((("*/gpu",), 1), ((), 0)):
        assert int(np.argmax(preferences.totals(preferences.NOTHING_WISHED, choice_of(state, pod), packed))) == expected
    assert int(np.argmax(preferences.totals(preferences.NOTHING_WISHED, choice_of(state, a_pod()), ("*/gpu",)))) == 0


@pytest.mark.parametrize("reports", [True, False])
def test_free_storage(reports: bool) -> None:
    """Volumes that are there: the share that is left; volumes to be made: of what the driver reports."""
    state = cluster(a_node("1", "a"), a_node("2", "b"))
    add(state, a_class("local", "kubernetes.io/no-provisioner"), a_class("late"), a_claim("c", "local"), a_claim("d"))
    add(state, a_volume("v", size="2Gi", zone="a"), a_volume("w", size="10Gi", zone="b"))
    capacity = {"storageClassName": "late", "capacity": "4Gi", "nodeTopology": {"matchLabels": {"zone": "a"}}}
    if reports:
        raw = {"metadata": {"name": "disk.csi"}, "spec": {"storageCapacity": True}}
        add(state, msgspec.convert(raw, CsiDriver))
        add(state, msgspec.convert({"metadata": {"name": "r", "namespace": "x"}, **capacity}, CsiStorageCapacity))

    def user(claim: str) -> Pod:
        return a_pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": claim}}])

    assert scores(VolumeBinding(), state, user("c")) == [50, 90]
    assert scores(VolumeBinding(), state, user("d")) == ([75, 0] if reports else [0, 0])


def test_wishes_are_a_share_of_what_could_be_wished() -> None:
    """For the risk: in 0..1, over those that have something to say; None where nobody has."""
    state = cluster(a_node("1", "a"), a_node("2", "b"), a_pod("m", "1"))
    pod = a_pod(**near())
    found = preferences.wished(preferences.wishes_of(pod), choice_of(state, pod))
    assert found is not None
    assert found.tolist() == [1.0, 0.0]
    assert preferences.wished(preferences.wishes_of(a_pod()), choice_of(state, a_pod())) is None
