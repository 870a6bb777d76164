"""InterPodAffinity on small clusters; against kube-scheduler itself: tests/conformance."""

from typing import Any

import msgspec
import pytest

from cloudai_kube.objects import Node, Pod
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters import inter_pod_affinity


def term(app: str, key: str = "zone", **fields: Any) -> dict[str, Any]:
    """Pods of an app in a domain."""
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}, **fields}


def a_pod(app: str, namespace: str = "ns", node: str = "", **affinity: Any) -> Pod:
    """A pod of an app, with required terms by kind."""
    wishes = {kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms} for kind, terms in affinity.items()}
    meta = {"name": f"{app}{node}", "uid": f"{app}{node}", "namespace": namespace, "labels": {"app": app}}
    return msgspec.convert({"metadata": meta, "spec": {"nodeName": node, "affinity": wishes}}, Pod)


def cluster(zones: str, *pods: Pod) -> ClusterState:
    """One node a letter (- has no zone), named by its number."""
    state = ClusterState()
    for number, zone in enumerate(zones):
        labels = {"host": str(number), **({} if zone == "-" else {"zone": zone})}
        node = {
            "metadata": {"name": str(number), "labels": labels},
            "status": {"allocatable": {"cpu": "9", "pods": "9"}},
        }
        state.put_node(msgspec.convert(node, Node))
    for pod in pods:
        state.put_pod(pod)
    return state


def verdict(state: ClusterState, pod: Pod) -> str:
    """One letter a node: y, or the kind of term that is against it (Near, Apart, Rejected)."""
    wishes = inter_pod_affinity.wishes_of(pod)
    masks = (
        ("N", inter_pod_affinity.near(wishes, state)),
        ("A", inter_pod_affinity.apart(wishes, state)),
        ("R", inter_pod_affinity.welcome(pod, state)),
    )
    letters = ""
    for slot in range(len(state.fleet)):
        letters += next((name for name, mask in masks if mask is not None and not mask[slot]), "y")
    return letters


@pytest.mark.parametrize(
    ("zones", "there", "pod", "expected"),
    [
        ("aab-", [a_pod("db", node="0")], a_pod("web", podAffinity=[term("db")]), "yyNN"),
        ("ab", [], a_pod("web", podAffinity=[term("db")]), "NN"),
        ("ab-", [], a_pod("web", podAffinity=[term("web")]), "yyN"),
        ("ab", [a_pod("web", node="0")], a_pod("web", podAffinity=[term("web")]), "yN"),
        ("aab", [a_pod("db", node="0")], a_pod("web", podAffinity=[term("db"), term("db", "host")]), "yNN"),
        ("ab", [a_pod("db", "other", "0")], a_pod("web", podAffinity=[term("db")]), "NN"),
        ("ab", [a_pod("db", "other", "0")], a_pod("web", podAffinity=[term("db", namespaces=["other"])]), "yN"),
        ("ab", [a_pod("db", "other", "0")], a_pod("web", podAffinity=[term("db", namespaceSelector={})]), "yN"),
        ("aab-", [a_pod("db", node="0")], a_pod("web", podAntiAffinity=[term("db")]), "AAyy"),
        ("aab", [a_pod("db", node="0", podAntiAffinity=[term("web")])], a_pod("web"), "RRy"),
        ("aab", [a_pod("db", node="0", podAntiAffinity=[term("web", "host")])], a_pod("web"), "Ryy"),
        ("aab", [a_pod("db", node="0", podAntiAffinity=[term("web")])], a_pod("cache"), "yyy"),
        ("ab", [a_pod("db", node="0")], a_pod("web", podAffinity=[{"topologyKey": "zone"}]), "NN"),
    ],
)
def test_verdicts(zones: str, there: list[Pod], pod: Pod, expected: str) -> None:
    """Near, apart, rejected by those that are there; the first of a series; namespaces; labels that are missing."""
    assert verdict(cluster(zones, *there), pod) == expected


def test_labels_of_namespaces() -> None:
    """A selector over namespaces follows their labels."""
    state = cluster("ab", a_pod("db", "other", "0"))
    pod = a_pod("web", podAffinity=[term("db", namespaceSelector={"matchLabels": {"team": "x"}})])
    assert verdict(state, pod) == "NN"
    state.neighbours.put_namespace("other", {"team": "x"})
    assert verdict(state, pod) == "yN"
    state.neighbours.put_namespace("other", None)
    assert verdict(state, pod) == "NN"
