"""A trace out of the pods that a cluster still has."""

import json
from typing import Any

import pytest

from cloudai_cli import pod_list
from cloudai_cli.errors import InputError
from cloudai_cli.imported import to_trace
from cloudai_rts.contract import CPU, DEFAULT_GPU_RESOURCE, LABEL_GPU_PRODUCT


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


A100, H100 = "NVIDIA-A100-SXM4-40GB", "NVIDIA-H100-80GB-HBM3"


def term(*values: str, key: str = LABEL_GPU_PRODUCT) -> dict[str, Any]:
    """A node selector term that names values of a label."""
    return {"matchExpressions": [{"key": key, "operator": "In", "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "terms", "product", "widened"),
    [
        ({LABEL_GPU_PRODUCT: A100}, [], A100, 0),
        ({"cloud.google.com/gke-accelerator": "nvidia-l4"}, [], "nvidia-l4", 0),
        ({}, [term(H100)], H100, 0),
        ({}, [term(A100), term(A100)], A100, 0),
        ({}, [term(A100, H100)], "", 1),
        ({}, [term(A100), term("x", key="zone")], "", 0),
        ({"zone": "a"}, [], "", 0),
    ],
)
def test_the_product_that_a_pod_names(
    selector: dict[str, str], terms: list[dict[str, Any]], product: str, widened: int
) -> None:
    """One restricts the task to it; several cannot be said in a trace, which is counted; an open term names none."""
    written = pod()
    written["spec"]["nodeSelector"] = selector
    if terms:
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        written["spec"]["affinity"] = {"nodeAffinity": required}
    runs, _ = read(written)
    trace = to_trace(runs, 2.0)
    assert (trace.tasks[0].gpu_product, trace.widened) == (product, widened)


def test_a_slice_is_a_product() -> None:
    """A pod that asks for slices of a GPU runs on machines with such slices only."""
    written = pod()
    written["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "1", "nvidia.com/mig-1g.5gb": "2"}
    [task] = to_trace(read(written)[0], 2.0).tasks
    assert (task.gpu, task.gpu_product, task.gpu_resource) == (2, "nvidia.com/mig-1g.5gb", "nvidia.com/mig-1g.5gb")


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
