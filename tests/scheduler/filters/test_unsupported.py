"""Constraints that no filter reads: each is named, whatever release of Kubernetes it comes from."""

import json
from typing import Any

import pytest

from cloudai_scheduler.filters import unsupported

NAME = "cloudai-scheduler"


def decoded(spec: dict[str, Any], scheduler: str = NAME) -> Any:
    """The pod as the reflector reads it."""
    body = {"metadata": {"name": "p"}, "spec": {"schedulerName": scheduler, "containers": [], **spec}}
    return unsupported.Decode(frozenset({NAME}))(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"affinity": {"nodeAffinity": {"newRule": {}}}}, "spec.affinity.nodeAffinity.newRule"),
        ({"tolerations": [{"key": "a", "graceful": True}]}, "spec.tolerations[0].graceful"),
        ({"topologySpreadConstraints": [{"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "x": 1}]}, ".x"),
        ({"resources": {"devices": []}}, "spec.resources"),
        ({"volumes": [{"name": "v", "aVolumeOfTheNextRelease": {}}]}, "spec.volumes.aVolumeOfTheNextRelease"),
        ({"gangOf": 3}, "spec.gangOf"),
        ({"containers": [{"name": "a"}, {"name": "b", "near": "c"}]}, "spec.containers[1].near"),
        ({"initContainers": [{"name": "a", "resources": {"devices": []}}]}, "spec.initContainers[0].resources.devices"),
    ],
)
def test_fields_of_the_next_release(spec: dict[str, Any], path: str) -> None:
    """A field that nobody here has heard of counts as a hard constraint, at every depth."""
    assert any(path in text for text in unsupported.hard(decoded(spec)))


@pytest.mark.parametrize("kind", sorted(unsupported.PLACELESS_VOLUMES))
def test_volumes_that_ask_nothing_of_a_node(kind: str) -> None:
    """They are no constraint."""
    assert unsupported.hard(decoded({"volumes": [{"name": "v", kind: {}}]})) == ()


@pytest.mark.parametrize("field", sorted(unsupported.IRRELEVANT))
def test_fields_that_ask_nothing_of_a_node(field: str) -> None:
    """Pods of every day have them."""
    assert unsupported.hard(decoded({field: None})) == ()


@pytest.mark.parametrize("field", sorted(unsupported.IRRELEVANT_IN_CONTAINERS))
def test_fields_of_containers_that_ask_nothing_of_a_node(field: str) -> None:
    """Pods of every day have them."""
    assert unsupported.hard(decoded({"containers": [{"name": "c", field: None}]})) == ()


def test_what_is_only_wished_for() -> None:
    """It keeps nothing waiting; where there is too much of it, that is told."""
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}
    many = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}] * 65}
    spec = {
        "affinity": {"podAffinity": preferred, "podAntiAffinity": preferred},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway"}],
    }
    pod = decoded(spec)
    assert unsupported.hard(pod) == ()
    assert unsupported.soft(pod) == ()
    assert len(unsupported.soft(decoded({"affinity": {"podAffinity": many, "podAntiAffinity": many}}))) == 2


def test_pods_of_others_are_not_looked_at() -> None:
    """What they ask for is no business of ours, and costs nothing."""
    assert decoded({"gangOf": 3}, scheduler="default-scheduler").unread == ()


def test_a_field_too_deep_to_decode() -> None:
    """It is cut, and still known to be there."""
    deep = b'{"metadata":{"name":"p"},"spec":{"schedulerName":"cloudai-scheduler","odd":' + b'{"a":' * 5000
    pod = unsupported.Decode(frozenset({NAME}))(deep + b"1" + b"}" * 5000 + b"}}")
    assert pod.metadata.name == "p"
    assert unsupported.hard(pod) == ("spec.odd",)
