"""What pods ask for, as upstream counts it."""

from typing import Any

import msgspec
import pytest

from cloudai_kube.demand import MOST_RESOURCES, capacity_of, countable, host_ports_of, requests_of
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod
from cloudai_kube.quantity import MAX_VALUE


def pod(**parts: Any) -> Pod:
    """A pod of these spec and status fields."""
    return msgspec.convert(
        {"metadata": {"name": "p"}, "spec": parts.get("spec", {}), "status": parts.get("status", {})}, Pod
    )


def box(cpu: str | None, **fields: Any) -> dict[str, Any]:
    """A container that requests `cpu`."""
    return {"name": fields.pop("name", "c"), "resources": {"requests": {"cpu": cpu} if cpu else {}}, **fields}


SIDECAR = {"restartPolicy": "Always"}
CASES: list[tuple[str, dict[str, Any], int]] = [
    ("containers add up", {"containers": [box("1"), box("500m")]}, 1500),
    ("limits stand in for requests", {"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, 2000),
    ("an init container runs alone", {"containers": [box("1")], "initContainers": [box("3")]}, 3000),
    ("a small init container costs nothing", {"containers": [box("1")], "initContainers": [box("1")]}, 1000),
    ("a sidecar runs beside", {"containers": [box("1")], "initContainers": [box("1", **SIDECAR)]}, 2000),
    ("init after sidecar", {"containers": [box("1")], "initContainers": [box("1", **SIDECAR), box("3")]}, 4000),
    ("init before sidecar", {"containers": [box("1")], "initContainers": [box("3"), box("1", **SIDECAR)]}, 3000),
    ("two sidecars", {"containers": [box("1")], "initContainers": [box("1", **SIDECAR), box("2", **SIDECAR)]}, 4000),
    ("overhead", {"containers": [box("1")], "overhead": {"cpu": "250m"}}, 1250),
    ("pod level replaces", {"containers": [box("1"), box("1")], "resources": {"requests": {"cpu": "5"}}}, 5000),
    (
        "pod level and overhead",
        {"containers": [box("1")], "resources": {"requests": {"cpu": "2"}}, "overhead": {"cpu": "1"}},
        3000,
    ),
]


@pytest.mark.parametrize(("what", "spec", "expected"), CASES, ids=[case[0] for case in CASES])
def test_cpu_of(what: str, spec: dict[str, Any], expected: int) -> None:
    """Millicores; every pod also takes one pod slot."""
    found = requests_of(pod(spec=spec))
    assert found["cpu"] == expected, what
    assert found["pods"] == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"name": "c", "allocatedResources": {"cpu": "3"}}, 3000),
        ({"name": "c", "resources": {"requests": {"cpu": "4"}}}, 4000),
        ({"name": "c", "allocatedResources": {"cpu": "500m"}, "resources": {"requests": {"cpu": "1"}}}, 2000),
    ],
)
def test_a_resize_counts_the_largest(status: dict[str, Any], expected: int) -> None:
    """Of spec, allocated and actual resources the largest counts."""
    found = requests_of(pod(spec={"containers": [box("2")]}, status={"containerStatuses": [status]}))
    assert found["cpu"] == expected


def resizing(*containers: tuple[str, str, str], **status: Any) -> dict[str, Any]:
    """A pod whose containers ask for, have been granted and have so many cores."""
    return {
        "spec": {"containers": [box(asked, name=str(at)) for at, (asked, _, _) in enumerate(containers)]},
        "status": {
            "containerStatuses": [
                {"name": str(at), "allocatedResources": {"cpu": granted}, "resources": {"requests": {"cpu": given}}}
                for at, (_, granted, given) in enumerate(containers)
            ],
            **status,
        },
    }


INFEASIBLE = {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]}
WHOLE = {"allocatedResources": {"cpu": "2"}, "resources": {"requests": {"cpu": "3"}}}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (resizing(("2", "1", "1"), ("1", "2", "2")), 3000),
        (resizing(("1", "4", "2"), ("1", "1", "1")), 5000),
        (resizing(("1", "1", "4"), ("1", "1", "1")), 5000),
        (resizing(("9", "2", "3"), **INFEASIBLE), 3000),
        (resizing(("1", "1", "1"), **WHOLE), 3000),
        (resizing(("9", "1", "1"), **WHOLE, **INFEASIBLE), 3000),
    ],
)
def test_of_three_totals_the_largest_counts(parts: dict[str, Any], expected: int) -> None:
    """Not the sum of each container's largest; totals of the whole pod are taken where the kubelet reports them."""
    assert requests_of(pod(**parts))["cpu"] == expected


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ({"cpu": "8"}, {**WHOLE, **INFEASIBLE}, {"cpu": 3000}),
        ({"cpu": "8"}, WHOLE, {"cpu": 8000}),
        ({"cpu": "1"}, WHOLE, {"cpu": 3000}),
        (
            {"hugepages-2Mi": "2Mi"},
            {"allocatedResources": {"hugepages-2Mi": "4Mi"}, "resources": {"requests": {"hugepages-2Mi": "2Mi"}}},
            {"hugepages-2Mi": 4 << 20, "cpu": 1000},
        ),
    ],
)
def test_a_whole_pod_that_is_resized(asked: dict[str, str], status: dict[str, Any], expected: dict[str, int]) -> None:
    """The largest of what is asked, granted and given, without what will never be."""
    found = requests_of(pod(spec={"containers": [box("1")], "resources": {"requests": asked}}, status=status))
    assert {name: found.get(name) for name in expected} == expected


def test_pods_that_ask_for_nothing() -> None:
    """Only the pod slot."""
    assert requests_of(pod(spec={"containers": [box(None)]})) == {"pods": 1}


@pytest.mark.parametrize("text", ["-1", "lots", "1e999999999"])
def test_unreadable_requests(text: str) -> None:
    """An error that names the value, never a wrong number."""
    with pytest.raises(FormatError, match=r"lots|-1|1e999999999"):
        requests_of(pod(spec={"containers": [box(text)]}))


def test_host_ports() -> None:
    """Containers and sidecars have them; plain init containers are gone by then."""
    port = {"ports": [{"hostPort": 80, "protocol": "TCP"}]}
    spec = {
        "containers": [
            box("1", ports=[{"hostPort": 53, "protocol": "UDP", "hostIP": "10.0.0.1"}, {"containerPort": 1}])
        ],
        "initContainers": [box("1", **port), box("1", ports=[{"hostPort": 81}], **SIDECAR)],
    }
    assert host_ports_of(pod(spec=spec)) == {("UDP", "10.0.0.1", 53), ("TCP", "0.0.0.0", 81)}


def test_sums_stay_within_bounds() -> None:
    """1,100 containers of 8Pi each are more than any machine has, and no overflow."""
    many = {"containers": [{"name": f"c{i}", "resources": {"requests": {"memory": "8Pi"}}} for i in range(1100)]}
    assert requests_of(pod(spec=many))["memory"] == MAX_VALUE
    assert "memory" not in countable(requests_of(pod(spec=many)))
    assert countable({"cpu": 4000, "pods": 1}) == {"cpu": 4000, "pods": 1}


def test_what_a_node_offers() -> None:
    """One odd resource costs that resource only; what is more than any machine has counts as the limit."""
    found, problems = capacity_of({"cpu": "10k", "ephemeral-storage": "10Pi", "memory": "4Ti", "pods": "many"})
    assert found == {"cpu": 10_000_000, "ephemeral-storage": MAX_VALUE, "memory": 4 << 40}
    assert len(problems) == 1
    assert "pods counts as 0" in problems[0]
    found, problems = capacity_of({"cpu": "4", **{f"example.com/r{i}": "1" for i in range(15_000)}})
    assert (len(found), found["cpu"], len(problems)) == (MOST_RESOURCES, 4000, 1)
