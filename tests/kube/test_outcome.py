"""What became of a pod, by what ran."""

from typing import Any

import msgspec
import pytest

from cloudai_kube import moment, outcome, timestamp
from cloudai_kube.objects import Pod

NEVER = "1970-01-01T00:00:00Z"
CREATED = "2026-01-01T12:00:00Z"
NOON = timestamp.parse(CREATED)
TIMES = {"startedAt": "2026-01-01T12:00:05Z", "finishedAt": "2026-01-01T12:00:23Z"}
SOON = {"startedAt": "2026-01-01T12:00:05Z", "finishedAt": "2026-01-01T12:00:06Z"}
TARGET: dict[str, Any] = {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}


def ended(code: int, name: str = "task", **more: Any) -> dict[str, Any]:
    """Status of a container that has ended."""
    return {"name": name, "state": {"terminated": {"exitCode": code, **more}}}


def a_pod(phase: str, *containers: dict[str, Any], spec: dict[str, Any] | None = None, **parts: Any) -> Pod:
    """A pod of a Task in a state."""
    raw = {
        "metadata": {"name": "p", "creationTimestamp": CREATED, **parts.pop("metadata", {})},
        "spec": {"restartPolicy": "Never", "nodeName": "n", **(spec or {})},
        "status": {"phase": phase, "containerStatuses": list(containers), **parts},
    }
    return msgspec.convert(raw, Pod)


WAITING = {"name": "task", "state": {"waiting": {"reason": "PodInitializing"}}}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (a_pod("Succeeded", ended(0, **TIMES)), "Succeeded"),
        (a_pod("Running", {"name": "task", "state": {"running": {"startedAt": CREATED}}}), ""),
        (a_pod("Failed", ended(1, **TIMES)), "Failed"),
        # No container ever ran, whatever the word is.
        *((a_pod("Failed", reason=word), "Rejected") for word in ("OutOfcpu", "NodePorts", "TaintToleration", "")),
        (a_pod("Failed", WAITING), "Rejected"),
        # The runtime could not start it.
        (a_pod("Failed", ended(128, reason="StartError", startedAt=NEVER, finishedAt=CREATED)), "Rejected"),
        (a_pod("Failed", ended(127, reason="ContainerCannotRun", **SOON)), "Rejected"),
        (a_pod("Failed", ended(127, **TIMES)), "Failed"),
        # Its own fault, and the cluster's.
        (a_pod("Failed", ended(137, **TIMES), reason="Evicted"), "Failed"),
        (a_pod("Failed", ended(137, "ContainerStatusUnknown"), reason="Evicted"), "Failed"),
        (a_pod("Failed", ended(137, "ContainerStatusUnknown"), reason="Evicted", **TARGET), "Disrupted"),
        (a_pod("Failed", WAITING, reason="Evicted"), "Failed"),
        # A node under pressure did not admit it.
        (a_pod("Failed", reason="Evicted"), "Rejected"),
        (a_pod("Failed", ended(137, **TIMES), reason="Evicted", **TARGET), "Disrupted"),
        (a_pod("Failed", ended(137, **TIMES), reason="DeadlineExceeded"), "Failed"),
        (a_pod("Failed", ended(137, **TIMES), reason="NodeShutdown"), "Disrupted"),
        (a_pod("Failed", ended(137, **TIMES), reason="AWordOfTheNextRelease"), "Disrupted"),
        (a_pod("Failed", ended(137, **TIMES), **TARGET), "Disrupted"),
        # The node was started again: the exit code is the kubelet's invention.
        (a_pod("Failed", ended(137, reason="ContainerStatusUnknown", startedAt=None, finishedAt=None)), "Disrupted"),
        # The task's own container decides, not an injected one.
        (a_pod("Failed", ended(0, "istio-proxy", **TIMES), ended(137, reason="OOMKilled", **TIMES)), "Failed"),
        (a_pod("Failed", ended(1, "istio-proxy", **TIMES), ended(0, **TIMES)), "Succeeded"),
        (a_pod("Running", {"name": "proxy", "state": {"running": {}}}, ended(0, **TIMES)), "Succeeded"),
        (a_pod("Running", {"name": "proxy", "state": {"running": {}}}, ended(3, **TIMES)), "Failed"),
        (a_pod("Running", ended(1, **TIMES), spec={"restartPolicy": "OnFailure"}), ""),
    ],
)  # fmt: skip
def test_how_it_ended(pod: Pod, expected: str) -> None:
    """From container states, conditions and exits."""
    assert outcome.of(pod) == expected


@pytest.mark.parametrize(
    ("status", "is_prepared"),
    [
        ({"conditions": [{"type": "PodReadyToStartContainers", "status": "True"}]}, True),
        ({"conditions": [{"type": "PodReadyToStartContainers", "status": "False"}], "startTime": CREATED}, False),
        ({"startTime": CREATED}, True),  # a virtual kubelet, which has no such word
        ({}, False),  # no kubelet has seen it
    ],
)
def test_whether_network_and_volumes_are_there(status: dict[str, Any], is_prepared: bool) -> None:
    """An image may take as long as it takes; what comes before it has a deadline."""
    pod = msgspec.convert({"metadata": {"name": "p"}, "status": {"phase": "Pending", **status}}, Pod)
    assert outcome.is_prepared(pod) is is_prepared


def test_the_tasks_own_container_is_explained_and_measured() -> None:
    """Not the proxy that ran for ten minutes."""
    proxy = ended(0, "proxy", startedAt="2026-01-01T12:00:00Z", finishedAt="2026-01-01T12:10:50Z")
    pod = a_pod("Failed", proxy, ended(137, reason="OOMKilled", **TIMES))
    assert outcome.explain(pod) == "exit code 137 (OOMKilled)"
    assert outcome.run_of(pod).seconds == 18.0


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-01-01T12:00:05Z", "2026-01-01T12:00:23Z", (NOON + 5, NOON + 23)),
        ("1970-01-01T00:00:00Z", "2026-01-01T12:00:23Z", (None, NOON + 23)),
        ("0001-01-01T00:00:00Z", "2026-01-01T12:00:23Z", (None, NOON + 23)),
        (None, "2026-01-01T12:00:23Z", (None, NOON + 23)),
        (None, None, (None, None)),
        ("2026-01-01T12:00:30Z", "2026-01-01T12:00:23Z", (None, NOON + 23)),
        ("2025-12-31T00:00:00Z", "2026-01-01T12:00:23Z", (None, NOON + 23)),
        ("rubbish", "2026-01-01T12:00:23Z", (None, NOON + 23)),
    ],
)
def test_times_that_mean_none(start: str | None, end: str | None, expected: tuple[float | None, float | None]) -> None:
    """Epoch zero, Go's year 1, null, a start after the end or before the pod was there."""
    run = outcome.run_of(a_pod("Failed", ended(1, startedAt=start, finishedAt=end)))
    assert (run.start, run.end) == expected


@pytest.mark.parametrize(
    ("seconds", "ready", "targeted", "expected"),
    [(29, False, False, False), (31, False, False, True), (31, True, False, False), (31, True, True, True),
     (601, True, False, True)],
)  # fmt: skip
def test_a_machine_that_cannot_say_any_more(seconds: float, ready: bool, targeted: bool, expected: bool) -> None:
    """A pod that should be gone: lost after a time, sooner where the cluster has given its node up."""
    pod = a_pod("Running", metadata={"deletionTimestamp": CREATED}, **(TARGET if targeted else {}))
    assert outcome.is_lost(pod, NOON + seconds, ready) is expected
    assert not outcome.is_lost(a_pod("Running"), NOON + 1e6, ready)


@pytest.mark.parametrize(("seconds_before", "expected"), [(0, "Disrupted"), (4, "Disrupted"), (6, "Failed")])
def test_clocks_of_node_and_api_server_differ(seconds_before: int, expected: str) -> None:
    """A container that ended a moment before its pod's deletion by another clock was ended by that."""
    asked = NOON + 100
    times = {"startedAt": timestamp.whole_seconds(NOON), "finishedAt": timestamp.whole_seconds(asked - seconds_before)}
    deleted = {"deletionTimestamp": timestamp.whole_seconds(asked + 30), "deletionGracePeriodSeconds": 30}
    assert outcome.of(a_pod("Failed", ended(143, **times), metadata=deleted)) == expected


def test_moments() -> None:
    """Read and written as containers' times are."""
    assert moment.text(moment.read(CREATED)) == CREATED
    assert moment.text(None) == ""
    assert moment.read("") is None
