"""Classes: pods that ask the same of nodes share the judgement of every node."""

from typing import Any

import pytest
from tests.scheduler.conftest import Make

from cloudai_kube.objects import Pod
from cloudai_scheduler.podclass import ClassTable

WISH = {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
TOKEN = {"name": "kube-api-access-x7k2p", "projected": {"sources": []}}


def pod(make: Make, **container: Any) -> Pod:
    """A pod whose container has these fields."""
    asked = {"name": "c", "resources": {"requests": {"cpu": "1"}}, **container}
    return make.pod(spec={"containers": [asked]})


@pytest.mark.parametrize(
    "other",
    [
        {"metadata": {"labels": {"a": "b"}, "annotations": {"cloudai.dev/deadline": "x"}}},
        {"spec": {"volumes": [TOKEN]}},
        {"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5}},
    ],
)
def test_what_asks_nothing_of_a_node_makes_no_class(make: Make, other: dict[str, Any]) -> None:
    """Every pod has a volume of its own with a drawn name: a class of its own would cost milliseconds."""
    table = ClassTable()
    assert table.of(make.pod()) is table.of(make.pod(**other))


def test_nor_does_what_it_runs(make: Make) -> None:
    """Image, command, arguments and the container's name."""
    table = ClassTable()
    assert table.of(pod(make)) is table.of(pod(make, name="d", image="w:2", command=["a"], args=["--seed=7"]))


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeSelector": {"zone": "a"}},
        {"priority": 7},
        {"tolerations": [{"key": "a", "operator": "Exists"}]},
        {"overhead": {"cpu": "10m"}},
        {"resources": {"requests": {"cpu": "3"}}},
        {"initContainers": [{"resources": {"requests": {"cpu": "9"}}}]},
        {"initContainers": [{"restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}]},
        {"containers": [{"resources": {"requests": {"cpu": "2"}}}]},
        {"containers": [{"resources": {"requests": {"cpu": "1"}}, "ports": [{"hostPort": 80}]}]},
        {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [WISH]}}},
    ],
)
def test_what_asks_something_of_a_node_does(make: Make, spec: dict[str, Any]) -> None:
    """Selectors, tolerations, requests of every kind, host ports."""
    table = ClassTable()
    assert table.of(make.pod()) is not table.of(make.pod(spec=spec))


def test_what_a_pod_reports_is_not_what_its_like_ask_for(make: Make) -> None:
    """A tenant who may write the status of a pod changes nothing for others of that shape."""
    reported = [{"name": "c", "allocatedResources": {"cpu": "1000000"}}]
    table = ClassTable()
    first = table.of(make.pod(status={"containerStatuses": reported}))
    asked = [ask for one, ask in first.asks if one.name == "NodeResourcesFit"]
    assert asked == [first.amounts] == [{"cpu": 1000, "pods": 1}]
