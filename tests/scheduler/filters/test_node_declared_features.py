"""NodeDeclaredFeatures; against kube-scheduler itself: tests/conformance."""

from typing import Any

import msgspec
import pytest
from tests.scheduler.filters.judging import said

from cloudai_kube.objects import Node, Pod
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters import node_declared_features
from cloudai_scheduler.filters.node_declared_features import NodeDeclaredFeatures

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
    assert node_declared_features.needed_by(pod) == needed


def test_nodes_that_declare_it() -> None:
    """All that is needed; a pod that needs nothing goes anywhere, and a node may be upgraded."""
    state = ClusterState()
    for name, declared in (("old", []), ("new", ["Other", "RestartAllContainersOnContainerExits"])):
        status = {"allocatable": {"cpu": "1"}, "declaredFeatures": declared}
        state.put_node(msgspec.convert({"metadata": {"name": name}, "status": status}, Node))
    plain = msgspec.convert({"metadata": {"name": "p"}}, Pod)
    needing = msgspec.convert({"metadata": {"name": "p"}, "spec": {"containers": [RESTART_ALL]}}, Pod)
    one = NodeDeclaredFeatures()
    assert said(state, plain, one) == ["", ""]
    assert said(state, needing, one) == [node_declared_features.REASON, ""]
    status = {"allocatable": {"cpu": "1"}, "declaredFeatures": ["RestartAllContainersOnContainerExits"]}
    state.put_node(msgspec.convert({"metadata": {"name": "old"}, "status": status}, Node))
    assert said(state, needing, one) == ["", ""]
