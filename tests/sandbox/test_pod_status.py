"""The status of a simulated pod is that of a real one, container by container."""

from typing import Any

import msgspec

from cloudai_kube.demand import requests_of
from cloudai_kube.objects import Pod
from cloudai_sandbox import pod_status

AT = 1_800_000_000.0


def a_pod(**status: Any) -> Pod:
    """A plain init container, a sidecar, and two containers, one of which asks for nothing."""
    spec = {
        "initContainers": [
            {"name": "prepare", "image": "a:1"},
            {"name": "proxy", "image": "b:1", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
        ],
        "containers": [
            {"name": "work", "image": "c:1", "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}}},
            {"name": "log", "image": "d:1"},
        ],
    }
    return msgspec.convert(
        {"metadata": {"name": "p", "uid": "u", "generation": 3}, "spec": spec, "status": status}, Pod
    )


def test_every_container_reports() -> None:
    """What was given to it, its image, and that plain init containers are through."""
    status = pod_status.running(a_pod(), AT)
    work, log = status["containerStatuses"]
    prepare, proxy = status["initContainerStatuses"]
    assert work["allocatedResources"] == {"cpu": "2", "memory": "1Gi"}
    assert work["resources"] == {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    assert (log["image"], "resources" in log) == ("d:1", False)
    assert prepare["state"]["terminated"]["exitCode"] == 0
    assert "running" in proxy["state"]
    kinds = {condition["type"] for condition in status["conditions"] if condition["status"] == "True"}
    assert kinds == {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"}


def test_what_is_reported_is_what_is_counted() -> None:
    """A pod that runs asks for the same as before it ran."""
    assert requests_of(a_pod(**pod_status.running(a_pod(), AT))) == requests_of(a_pod())


def test_a_resize_that_cannot_be_says_why() -> None:
    """The condition of Kubernetes 1.37, and it is taken away once the containers have what they ask for."""
    [pending] = pod_status.not_resized(a_pod(), "OutOfcpu", AT)["conditions"]
    assert (pending["type"], pending["status"], pending["reason"]) == ("PodResizePending", "True", "Deferred")
    done = pod_status.resized(a_pod(), AT, AT)
    assert [status["name"] for status in done["initContainerStatuses"]] == ["prepare", "proxy"]
    [settled] = done["conditions"]
    assert (settled["type"], settled["$patch"]) == ("PodResizePending", "delete")


def test_an_end() -> None:
    """The exit code decides the phase."""
    assert pod_status.ended(a_pod(), AT, 0, AT + 5)["phase"] == "Succeeded"
    failed = pod_status.ended(a_pod(), AT, 3, AT + 5)
    assert failed["phase"] == "Failed"
    assert {one["state"]["terminated"]["exitCode"] for one in failed["containerStatuses"]} == {3}
    assert pod_status.rejected("OutOfcpu", AT)["reason"] == "OutOfcpu"
