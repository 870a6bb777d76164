"""Pods that are nobody's Task, as history."""

from typing import Any

import msgspec
import pytest

from cloudai_kube import timestamp
from cloudai_kube.foreign import record_of, record_of_deleted
from cloudai_kube.objects import ContainerState, Pod, PodStatus, Running
from cloudai_kube.promise import Arrivals
from cloudai_rts.nodeclass import ClassRules

DECISION = '{"policy":"rts","parametersVersion":3,"nodeClass":"NVIDIA-V100","load":0.25,"available":{"cpu":8}}'
NOON = timestamp.parse("2026-01-01T12:00:00Z")


def a_pod(decision: str = DECISION, **notes: str) -> Pod:
    """A finished pod with a main container and a sidecar."""

    def ended(name: str, start: str, finish: str) -> dict[str, Any]:
        state = {
            "terminated": {
                "exitCode": 0,
                "startedAt": f"2026-01-01T12:{start}Z",
                "finishedAt": f"2026-01-01T12:{finish}Z",
            }
        }
        return {"name": name, "state": state}

    annotations = {
        "cloudai.dev/decision": decision,
        **{f"cloudai.dev/{key.replace('_', '-')}": v for key, v in notes.items()},
    }
    raw = {
        "metadata": {
            "name": "p", "namespace": "ns", "uid": "u", "creationTimestamp": "2026-01-01T12:00:00Z",
            "labels": {"cloudai.dev/bound-by": "cloudai-scheduler"},
            "annotations": annotations,
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "job", "controller": True}
            ],
        },
        "spec": {
            "schedulerName": "cloudai-scheduler",
            "nodeName": "n",
            "containers": [
                {"name": "main", "resources": {"limits": {"cpu": "8", "memory": "4Gi", "nvidia.com/gpu": "2"}}},
                {"name": "side", "resources": {"requests": {"cpu": "100m"}}},
            ],
        },
        "status": {
            "phase": "Succeeded",
            "containerStatuses": [ended("side", "00:10", "00:20"), ended("main", "00:05", "01:05")],
        },
    }  # fmt: skip
    return msgspec.convert(raw, Pod)


def test_nobody_moves_the_arrival_of_a_record() -> None:
    """It is the creation, which the API server sets; a claim of 2020 would make a record that nobody can use."""
    claimed = record_of(a_pod(arrival="2020-01-01T00:00:00Z"), Arrivals(), 2.0)
    assert claimed is not None
    assert claimed.arrival == NOON


def test_a_pod_of_a_job() -> None:
    """All containers together, from the first start to the last end; its own promise, its type as the scheduler's."""
    record = record_of(a_pod(finish_within="10m"), Arrivals(), 2.0)
    assert record is not None
    assert (record.cpu, record.gpu, record.gpu_resource) == (8.1, 2.0, "nvidia.com/gpu")
    assert (record.start - NOON, record.finish - NOON) == (5.0, 65.0)
    assert (record.deadline, record.violated) == (NOON + 600, False)
    assert (record.type, record.node_class, record.task_uid) == ("gpu-training", "NVIDIA-V100", "u")


def test_a_pod_that_claims_to_be_bound_by_another_scheduler_than_its_own() -> None:
    """A label and a decision on a pod of the default scheduler are no record."""
    pod = a_pod(finish_within="10m")
    pod.spec.schedulerName = "default-scheduler"
    assert record_of(pod, Arrivals(), 2.0) is None


def test_accelerators_are_those_that_the_scheduler_publishes() -> None:
    """A chip that no built-in list knows."""
    pod = a_pod()
    pod.spec.containers[0].resources.limits = {"cpu": "8", "example.com/chip": "2"}
    record = record_of(pod, Arrivals(), 2.0, rules=ClassRules(accelerators=("example.com/chip",)))
    assert record is not None
    assert (record.gpu, record.gpu_resource) == (2.0, "example.com/chip")


@pytest.mark.parametrize(
    "decision",
    ["", "{", "[]", '{"parametersVersion":18446744073709551616}', '{"load":"much"}', "[" * 5000],
)
def test_rubbish_is_no_record(decision: str) -> None:
    """Strangers may write into the annotation; none of it reaches the database."""
    assert record_of(a_pod(decision), Arrivals(), 2.0) is None


def test_promises_are_read_as_the_scheduler_reads_them() -> None:
    """A declared run time promises k times itself; what cannot be read counts as absent; a retry has no new clock."""
    record = record_of(a_pod(expected_runtime="1m"), Arrivals(), 2.0)
    assert record is not None
    assert (record.declared, record.deadline, record.allowed) == (60.0, NOON + 120, None)
    unreadable = record_of(a_pod(finish_by="soon"), Arrivals(), 2.0)
    assert unreadable is not None
    assert unreadable.deadline is None
    arrivals = Arrivals()
    first = a_pod()
    first.metadata = msgspec.structs.replace(first.metadata, uid="first", creationTimestamp="2026-01-01T11:59:00Z")
    first.status.phase = "Failed"
    arrivals.note(first)
    second = a_pod(finish_within="10m")
    second.status.phase = "Failed"
    retry = record_of(second, arrivals, 2.0)
    assert retry is not None
    assert (retry.arrival, retry.deadline, retry.allowed) == (NOON, NOON + 540, 600.0)


@pytest.mark.parametrize(
    ("status", "outcome", "seconds"),
    [
        ({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}, "Disrupted", 60.0),
        ({"phase": "Failed", "reason": "OutOfcpu", "containerStatuses": []}, "Rejected", 0.0),
        ({"phase": "Failed"}, "Failed", 60.0),
        (
            {
                "phase": "Failed",
                "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-01-01T12:02:05Z"}
                ],
                "containerStatuses": [{"name": "main", "state": {"running": {"startedAt": "2026-01-01T12:00:05Z"}}}],
            },
            "Disrupted",
            120.0,
        ),
        ({"phase": "Running"}, None, 0.0),
    ],
)
def test_what_became_of_it(status: dict[str, Any], outcome: str | None, seconds: float) -> None:
    """An evicted pod did not fail, a refused one has no run time, a lost one ran until it was given up."""
    pod = a_pod(finish_within="10m")
    changes = msgspec.convert(
        {"containerStatuses": msgspec.to_builtins(pod.status.containerStatuses), **status}, PodStatus
    )
    pod = msgspec.structs.replace(pod, status=changes)
    record = record_of(pod, Arrivals(), 2.0)
    assert (record.outcome if record else None) == outcome
    if record is not None:
        assert record.runtime == seconds
        assert record.violated is (True if outcome == "Failed" else None)


@pytest.mark.parametrize(
    ("phase", "when", "lasted"), [("Running", "12:01:35", 60.0), ("Running", "", None), ("Pending", "12:01:35", None)]
)
def test_a_pod_that_is_deleted_while_it_runs(phase: str, when: str, lasted: float | None) -> None:
    """It lasted at least until somebody asked for that; who never ran, or ended nobody knows when, is not recorded."""
    pod = a_pod()
    for status in pod.status.containerStatuses:
        ended = status.state.terminated
        status.state = ContainerState(running=Running(startedAt=ended.startedAt if ended else None))
    pod.status.phase = phase
    pod.metadata.deletionTimestamp = f"2026-01-01T{when}Z" if when else None
    pod.metadata.deletionGracePeriodSeconds = 30
    record = record_of_deleted(pod, Arrivals(), 2.0)
    assert (None if record is None else (record.outcome, record.runtime)) == (
        None if lasted is None else ("Deleted", lasted)
    )
