"""A trace out of the pods that a cluster still has."""

import json
from typing import Any

import pytest

from cloudai_cli import pod_list
from cloudai_cli.errors import InputError
from cloudai_rts.contract import CPU, DEFAULT_GPU_RESOURCE


def pod(name: str = "train-abcde", phase: str = "Succeeded", **state: str) -> dict[str, Any]:
    """A pod of a Job that ran for an hour."""
    ended = {"startedAt": "2026-03-01T10:05:00Z", "finishedAt": "2026-03-01T11:05:00Z", "exitCode": 0, **state}
    return {
        "metadata": {
            "name": name,
            "namespace": "ml",
            "uid": name,
            "creationTimestamp": "2026-03-01T10:00:00Z",
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": "j", "controller": True}
            ],
        },
        "spec": {
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1500m", DEFAULT_GPU_RESOURCE: "2"}}}],
        },
        "status": {"phase": phase, "containerStatuses": [{"name": "c", "state": {"terminated": ended}}]},
    }


def read(*pods: object) -> Any:
    """Runs and omissions of a list of pods."""
    return pod_list.read(json.dumps({"kind": "List", "items": pods}))


def test_a_pod_is_a_run() -> None:
    """Requests, times, and the workload that it belongs to."""
    [run], left_out = read(pod())
    assert (run.seconds, run.started - run.created, run.workload) == (3600.0, 300.0, "ml/train")
    assert (run.requests[CPU], run.requests[DEFAULT_GPU_RESOURCE]) == (1.5, 2.0)
    assert not left_out


def test_what_is_left_out_is_counted() -> None:
    """Pods that still run, tell no times, or cannot be read; the others are taken."""
    bad = pod("bad")
    bad["spec"] = 7
    runs, left_out = read(
        pod("running", "Running"), pod("odd", startedAt=""), bad, pod("nonsense", startedAt="x"), pod()
    )
    assert [run.uid for run in runs] == ["train-abcde"]
    assert left_out == {"did not succeed": 1, "have no times, or contradicting ones": 1, "cannot be read": 2}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"items": 7}', "[" * 100_000])
def test_other_files(text: str) -> None:
    """The message says which command writes what is needed."""
    with pytest.raises(InputError, match="kubectl get pods"):
        pod_list.read(text)
