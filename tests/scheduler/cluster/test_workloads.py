"""Which pods belong together: by their Services and their controller, as kube-scheduler's helper says."""

from typing import Any

import msgspec
import pytest

from cloudai_kube.objects import Pod
from cloudai_kube.workload_objects import ReplicaSet, ReplicationController, Service, StatefulSet
from cloudai_scheduler.cluster.selector import Matcher
from cloudai_scheduler.cluster.workloads import Workloads


def a_pod(labels: dict[str, str], **owner: Any) -> Pod:
    """A pod, perhaps with a controller."""
    references = [{"uid": "u", "name": "o", "controller": True, **owner}] if owner else []
    meta = {"name": "p", "namespace": "ns", "uid": "p", "labels": labels, "ownerReferences": references}
    return msgspec.convert({"metadata": meta, "spec": {"containers": []}}, Pod)


def meta(name: str, namespace: str = "ns") -> dict[str, str]:
    """Of an object."""
    return {"name": name, "namespace": namespace}


def a_service(name: str, selector: dict[str, str] | None, namespace: str = "ns") -> Service:
    """A Service."""
    return msgspec.convert({"metadata": meta(name, namespace), "spec": {"selector": selector}}, Service)


def keys(found: Matcher | None) -> set[str]:
    """The labels that are asked for."""
    return set() if found is None or found.tests is None else {test.key for test in found.tests}


def cluster() -> Workloads:
    """Services and one controller of each kind."""
    known = Workloads()
    for service in (
        a_service("web", {"app": "web"}),
        a_service("all", {"app": "web", "tier": "front"}),
        a_service("none", None),
        a_service("empty", {}),
        a_service("foreign", {"app": "web", "team": "b"}, "else"),
        a_service("other", {"app": "db"}),
    ):
        known.services.apply("ADDED", service)
    known.replication_controllers.apply(
        "ADDED", msgspec.convert({"metadata": meta("o"), "spec": {"selector": {"rc": "1"}}}, ReplicationController)
    )
    selector = {"matchLabels": {"rs": "1"}, "matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}]}
    known.replica_sets.apply(
        "ADDED", msgspec.convert({"metadata": meta("o"), "spec": {"selector": selector}}, ReplicaSet)
    )
    known.stateful_sets.apply(
        "ADDED",
        msgspec.convert({"metadata": meta("o"), "spec": {"selector": {"matchLabels": {"ss": "1"}}}}, StatefulSet),
    )
    return known


@pytest.mark.parametrize(
    ("labels", "owner", "asked"),
    [
        ({"app": "web"}, {}, {"app"}),
        ({"app": "web", "tier": "front"}, {}, {"app", "tier"}),
        ({"app": "else"}, {}, set()),
        ({"app": "web"}, {"apiVersion": "apps/v1", "kind": "ReplicaSet"}, {"app", "rs", "canary"}),
        ({}, {"apiVersion": "apps/v1", "kind": "StatefulSet"}, {"ss"}),
        ({}, {"apiVersion": "v1", "kind": "ReplicationController"}, {"rc"}),
        ({}, {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "gone"}, set()),
        ({}, {"apiVersion": "apps/v1", "kind": "StatefulSet", "controller": False}, set()),
        ({}, {"apiVersion": "batch/v1", "kind": "Job"}, set()),
        ({}, {"apiVersion": "example.com/v1", "kind": "ReplicaSet"}, set()),
    ],
)
def test_companions(labels: dict[str, str], owner: dict[str, Any], asked: set[str]) -> None:
    """All Services with the pod behind them, and the controller that the pod has, if it is of a known kind."""
    assert keys(cluster().companions(a_pod(labels, **owner))) == asked


def test_services_come_and_go() -> None:
    """A changed selector counts at once, and nothing is left of one that is deleted."""
    known = Workloads()
    known.services.apply("ADDED", a_service("s", {"app": "web"}))
    known.services.apply("MODIFIED", a_service("s", {"app": "web", "tier": "front"}))
    assert known.companions(a_pod({"app": "web"})) is None
    assert keys(known.companions(a_pod({"app": "web", "tier": "front"}))) == {"app", "tier"}
    known.services.retain([])
    assert known.companions(a_pod({"app": "web", "tier": "front"})) is None
