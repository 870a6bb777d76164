"""NodeDeclaredFeatures; against kube-scheduler itself: tests/conformance."""

from typing import Any

import msgspec
import pytest

from cloudai_kube.objects import Node, Pod
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters import node_declared_features

RESTART_ALL = {"restartPolicyRules": [{"action": "RestartAllContainers"}]}
OPTIONS = {"volumeMounts": [{"bindMountOptions": ["noexec"]}]}


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        ({}, set()),
        ({"containers": [RESTART_ALL]}, {"RestartAllContainersOnContainerExits"}),
        ({"initContainers": [RESTART_ALL]}, {"RestartAllContainersOnContainerExits"}),
        ({"containers": [{"restartPolicyRules": [{"action": "Restart"}]}]}, set()),
        ({"hostNetwork": True, "hostUsers": False}, {"UserNamespacesHostNetworkSupport"}),
        ({"hostNetwork": True}, set()),
        ({"hostUsers": False}, set()),
        ({"containers": [OPTIONS]}, {"VolumeBindMountOptions"}),
    ],
)
def test_what_a_pod_needs(spec: dict[str, Any], needed: set[str]) -> None:
    """Inferred from its spec, as upstream does."""
    pod = msgspec.convert({"metadata": {"name": "p"}, "spec": spec}, Pod)
    assert node_declared_features.asks(pod) == needed


def test_nodes_that_declare_it() -> None:
    """All that is needed; a pod that needs nothing goes anywhere, and a node may be upgraded."""
    state = ClusterState()
    for name, declared in (("old", []), ("new", ["A", "B"])):
        status = {"allocatable": {"cpu": "1"}, "declaredFeatures": declared}
        state.put_node(msgspec.convert({"metadata": {"name": name}, "status": status}, Node))
    assert node_declared_features.declaring(frozenset(), state) is None
    mask = node_declared_features.declaring(frozenset({"A"}), state)
    assert mask is not None
    assert mask.tolist() == [False, True]
    status = {"allocatable": {"cpu": "1"}, "declaredFeatures": ["A"]}
    state.put_node(msgspec.convert({"metadata": {"name": "old"}, "status": status}, Node))
    mask = node_declared_features.declaring(frozenset({"A"}), state)
    assert mask is not None
    assert mask.tolist() == [True, True]
