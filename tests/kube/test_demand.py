"""What pods ask for, as upstream counts it."""

from typing import Any

import msgspec
import pytest

from cloudai_kube.demand import host_ports_of, ports_conflict, requests_of
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod


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


def test_pods_that_ask_for_nothing() -> None:
    """Only the pod slot."""
    assert requests_of(pod(spec={"containers": [box(None)]})) == {"pods": 1}


@pytest.mark.parametrize("text", ["-1", "lots", "1e99"])
def test_unreadable_requests(text: str) -> None:
    """An error that names the value, never a wrong number."""
    with pytest.raises(FormatError, match=r"lots|-1|1e99"):
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


@pytest.mark.parametrize(
    ("wanted", "used", "conflict"),
    [
        (("TCP", "0.0.0.0", 80), ("TCP", "10.0.0.1", 80), True),
        (("TCP", "10.0.0.1", 80), ("TCP", "0.0.0.0", 80), True),
        (("TCP", "10.0.0.1", 80), ("TCP", "10.0.0.2", 80), False),
        (("TCP", "10.0.0.1", 80), ("TCP", "10.0.0.1", 80), True),
        (("UDP", "0.0.0.0", 80), ("TCP", "0.0.0.0", 80), False),
        (("TCP", "0.0.0.0", 80), ("TCP", "0.0.0.0", 81), False),
    ],
)
def test_port_conflicts(wanted: tuple[str, str, int], used: tuple[str, str, int], conflict: bool) -> None:
    """Same protocol and port; 0.0.0.0 conflicts with every address."""
    assert ports_conflict([wanted], [used]) is conflict
