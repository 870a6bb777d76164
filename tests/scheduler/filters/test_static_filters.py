"""Static predicates with upstream's semantics and reasons."""

from typing import Any

import msgspec
import pytest

from cloudai_kube.objects import Pod, Taint
from cloudai_scheduler import filters
from cloudai_scheduler.cluster.state import NodeInfo
from cloudai_scheduler.filters import node_affinity, taints

AFFINITY = "node(s) didn't match Pod's node affinity/selector"
NARROWED = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
TAINT = "node(s) had untolerated taint(s)"
CORDON = "node(s) were unschedulable"


def node(**fields: Any) -> NodeInfo:
    """Node `n1` in zone a with 4 disks."""
    labels = {"zone": "a", "disks": "4", "nanoseconds": "1764345600000000000"}
    values = {"labels": labels, "taints": (), "unschedulable": False, **fields}
    return NodeInfo(name="n1", slot=0, node_class="c", **values)


def pod(**spec: Any) -> Pod:
    """A pod with this spec."""
    return msgspec.convert({"metadata": {"name": "p"}, "spec": spec}, Pod)


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    """Required node affinity with these terms."""
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    """One requirement."""
    return {"key": key, "operator": operator, "values": list(values)}


def test_a_free_node_is_possible() -> None:
    """Nothing asked, nothing against it."""
    assert filters.judge(pod(), node())[0] is None


@pytest.mark.parametrize(
    ("requirement", "matches"),
    [
        (expression("zone", "In", "a", "b"), True),
        (expression("zone", "In", "b"), False),
        (expression("none", "In", "b"), False),
        (expression("zone", "NotIn", "b"), True),
        (expression("none", "NotIn", "b"), True),
        (expression("zone", "NotIn", "a"), False),
        (expression("zone", "Exists"), True),
        (expression("none", "Exists"), False),
        (expression("none", "DoesNotExist"), True),
        (expression("zone", "DoesNotExist"), False),
        (expression("disks", "Gt", "3"), True),
        (expression("disks", "Gt", "4"), False),
        (expression("disks", "Lt", "5"), True),
        (expression("zone", "Gt", "1"), False),
        (expression("none", "Lt", "1"), False),
        (expression("nanoseconds", "Gt", "1700000000000000000"), True),
        (expression("disks", "Gt", "0000000000000000000003"), True),
        (expression("disks", "Lt", "9223372036854775808"), False),
        (expression("disks", "Gt", "1_0"), False),
        (expression("disks", "Gt", "3", "4"), False),
        (expression("zone", "Like", "a"), False),
    ],
)
def test_operators(requirement: dict[str, Any], matches: bool) -> None:
    """Every operator, with absent labels and labels that are no numbers."""
    found, _ = filters.judge(pod(affinity=affinity({"matchExpressions": [requirement]})), node())
    assert found == (None if matches else AFFINITY)


def test_terms_are_ored_and_requirements_anded() -> None:
    """One term that holds is enough; in a term all must hold; an empty term matches nothing."""
    yes, no = expression("zone", "In", "a"), expression("zone", "In", "b")
    assert (
        filters.judge(pod(affinity=affinity({"matchExpressions": [no]}, {"matchExpressions": [yes]})), node())[0]
        is None
    )
    assert filters.judge(pod(affinity=affinity({"matchExpressions": [yes, no]})), node())[0] == AFFINITY
    assert filters.judge(pod(affinity=affinity({})), node())[0] == AFFINITY


def test_selector_and_affinity_must_both_hold() -> None:
    """nodeSelector AND affinity."""
    yes = affinity({"matchExpressions": [expression("zone", "In", "a")]})
    assert filters.judge(pod(nodeSelector={"zone": "b"}, affinity=yes), node())[0] == AFFINITY
    assert filters.judge(pod(nodeSelector={"zone": "a"}, affinity=yes), node())[0] is None


def test_names_narrow_only_if_every_term_has_them() -> None:
    """`matchFields metadata.name In` in all terms narrows the node set before anything else is looked at."""
    here, there = expression("metadata.name", "In", "n1"), expression("metadata.name", "In", "n2")
    assert filters.judge(pod(affinity=affinity({"matchFields": [here]})), node())[0] is None
    assert filters.judge(pod(affinity=affinity({"matchFields": [there]})), node(unschedulable=True))[0] == NARROWED
    open_term = {"matchExpressions": [expression("zone", "In", "b")]}
    assert filters.judge(pod(affinity=affinity({"matchFields": [there]}, open_term)), node())[0] == AFFINITY
    assert node_affinity.named_nodes(pod(affinity=affinity({"matchFields": [here, there]}))) == set()


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"operator": "Exists"}, True),
        ({"key": "j", "operator": "Exists"}, False),
        ({"key": "k", "operator": "", "value": "v"}, True),
        ({"key": "k", "operator": "Lt", "value": "9"}, False),
    ],
)
def test_tolerations(toleration: dict[str, Any], tolerated: bool) -> None:
    """Empty key and effect are wildcards, an empty operator is Equal, Exists ignores the value."""
    tainted = node(taints=(Taint("k", "v", "NoSchedule"),))
    assert filters.judge(pod(tolerations=[toleration]), tainted)[0] == (None if tolerated else TAINT)


@pytest.mark.parametrize(
    ("effect", "excluded"), [("NoSchedule", True), ("NoExecute", True), ("PreferNoSchedule", False)]
)
def test_effects(effect: str, excluded: bool) -> None:
    """Hard taints exclude; PreferNoSchedule is only disliked."""
    tainted = node(taints=(Taint("k", "v", effect),))
    assert filters.judge(pod(), tainted)[0] == (TAINT if excluded else None)
    assert taints.disliked(pod(), tainted) == (not excluded)


def test_cordon() -> None:
    """A cordoned node is excluded before its taint is looked at, unless the cordon is tolerated."""
    cordon = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
    assert filters.judge(pod(), node(unschedulable=True, taints=(cordon,)))[0] == CORDON
    tolerant = pod(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}])
    assert filters.judge(tolerant, node(unschedulable=True, taints=(cordon,)))[0] is None


def test_node_name() -> None:
    """spec.nodeName names one node."""
    assert filters.judge(pod(nodeName="n1"), node())[0] is None
    assert filters.judge(pod(nodeName="n2"), node())[0] == "node(s) didn't match the requested node name"
