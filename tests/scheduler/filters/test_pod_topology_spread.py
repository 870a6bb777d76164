"""PodTopologySpread on small clusters; against kube-scheduler itself: tests/conformance."""

from typing import Any

import msgspec
import pytest
from tests.scheduler.filters.judging import view

from cloudai_kube.demand import Demand
from cloudai_kube.objects import Node, Pod
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters import pod_topology_spread
from cloudai_scheduler.filters.pod_topology_spread import PodTopologySpread


def cluster(zones: str, pods: str) -> ClusterState:
    """One node a letter of `zones` (- has no zone), and one pod of app x on the node with each digit of `pods`."""
    state = ClusterState()
    for number, zone in enumerate(zones):
        labels = {} if zone == "-" else {"zone": zone}
        node = {
            "metadata": {"name": str(number), "labels": labels},
            "status": {"allocatable": {"cpu": "9", "pods": "9"}},
        }
        state.put_node(msgspec.convert(node, Node))
    for number, slot in enumerate(pods):
        meta = {"name": f"p{number}", "uid": f"p{number}", "namespace": "ns", "labels": {"app": "x"}}
        state.put_pod(msgspec.convert({"metadata": meta, "spec": {"nodeName": slot}}, Pod))
    return state


def judge(state: ClusterState, affine: str = "", **fields: Any) -> str:
    """One letter a node: y it passes, n it does not, l it lacks the label."""
    selector = {"matchLabels": {"app": "x"}}
    wish = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
    meta = {"namespace": "ns", "labels": {"app": "x", "hash": "1"}}
    pod = msgspec.convert({"metadata": meta, "spec": {"topologySpreadConstraints": [{**wish, **fields}]}}, Pod)
    constraints = PodTopologySpread().asks(pod, Demand({}, frozenset()))
    assert constraints is not None
    passing, lacking = pod_topology_spread.verdicts(constraints, view(state, pod, affine))
    return "".join("l" if lack else "y" if ok else "n" for ok, lack in zip(passing, lacking, strict=True))


@pytest.mark.parametrize(
    ("zones", "pods", "affine", "fields", "verdict"),
    [
        ("ab", "", "", {}, "yy"),
        ("ab", "0", "", {}, "ny"),
        ("ab", "0", "", {"maxSkew": 2}, "yy"),
        ("aab", "01", "", {}, "nny"),
        ("ab-", "", "", {}, "yyl"),
        ("ab", "0", "yn", {}, "yy"),
        ("ab", "0", "yn", {"nodeAffinityPolicy": "Ignore"}, "ny"),
        ("ab", "00", "", {"minDomains": 2, "maxSkew": 2}, "ny"),
        ("ab", "01", "", {"minDomains": 3}, "nn"),
        ("ab", "0", "", {"labelSelector": {}}, "yy"),
        ("ab", "0", "", {"labelSelector": None}, "yy"),
        ("ab", "0", "", {"labelSelector": {"matchLabels": {"app": "y"}}}, "yy"),
        ("ab", "0", "", {"matchLabelKeys": ["hash"]}, "yy"),
        ("ab", "0", "", {"matchLabelKeys": ["absent"]}, "ny"),
        ("--", "0", "", {}, "ll"),
    ],
)
def test_verdicts(zones: str, pods: str, affine: str, fields: dict[str, Any], verdict: str) -> None:
    """Skew, missing labels, inclusion, the least with few domains, selectors that are empty or not there."""
    assert judge(cluster(zones, pods), affine, **fields) == verdict


def test_pods_that_are_being_deleted_do_not_count() -> None:
    """As upstream: the domain is about to have room."""
    state = cluster("ab", "0")
    meta = {"name": "p0", "uid": "p0", "namespace": "ns", "labels": {"app": "x"}}
    leaving = {**meta, "deletionTimestamp": "2027-01-01T00:00:00Z"}
    state.put_pod(msgspec.convert({"metadata": leaving, "spec": {"nodeName": "0"}}, Pod))
    assert judge(state) == "yy"
