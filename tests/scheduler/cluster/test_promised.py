"""What annotations promise."""

import math
from typing import Any

import pytest

from cloudai_kube import timestamp
from cloudai_kube.promise import Arrivals
from cloudai_rts import contract
from cloudai_rts.contract import LABEL_TASK_TYPE
from cloudai_rts.parameters import Document, Indication, RuntimeModel
from cloudai_rts.tau import TauStore
from cloudai_scheduler.cluster.promised import Promised, read

Maker = Any
CREATED = timestamp.parse("2026-01-01T00:00:00Z")


def promise(pod: Any, arrivals: Arrivals | None = None) -> Promised:
    """Read a pod that asks for one core."""
    return read(pod, {"cpu": 1000, "memory": 1 << 30, "pods": 1}, arrivals or Arrivals(), Document(), TauStore(), 2.0)


def test_frozen_values_of_a_task(make: Maker) -> None:
    """The operator's annotations are taken as they are."""
    notes = {
        "cloudai.dev/arrival": "2026-01-01T00:00:10.500Z",
        "cloudai.dev/deadline": "2026-01-01T01:00:00.000Z",
        "cloudai.dev/reference-runtime-seconds": "123.5",
        "cloudai.dev/runtime-log-sd": "0.7",
    }
    owner = {"apiVersion": "cloudai.dev/v1alpha1", "kind": "Task", "name": "t", "uid": "uid-t", "controller": True}
    named = {"name": contract.pod_name("t", "uid-t", 2), "ownerReferences": [owner]}
    labels = {"cloudai.dev/task-type": "mixed"}
    found = promise(make.pod(metadata={"annotations": notes, "labels": labels, **named})).task
    assert (found.type, found.arrival, found.deadline) == ("mixed", CREATED + 10.5, CREATED + 3600)
    assert (found.reference_runtime, found.log_sd) == (123.5, 0.7)


@pytest.mark.parametrize("owner", [None, {"apiVersion": "x/v1", "kind": "Other", "uid": "uid-t"}])
def test_an_arrival_is_believed_of_a_tasks_pod_only(make: Maker, owner: dict[str, str] | None) -> None:
    """Of any other pod it is a claim, by which its author would be first, or make the history contradict itself."""
    owners = [] if owner is None else [{**owner, "name": "t", "controller": True}]
    meta = {"name": contract.pod_name("t", "uid-t", 1), "ownerReferences": owners}
    notes = {"cloudai.dev/arrival": "2020-01-01T00:00:00Z"}
    assert promise(make.pod(metadata={"annotations": notes, **meta})).task.arrival == CREATED


def test_any_pod_may_have_a_deadline(make: Maker) -> None:
    """finish-within counts from the creation; an expected run time is combined with what is known of the type."""
    notes = {"cloudai.dev/finish-within": "30m", "cloudai.dev/expected-runtime": "1h"}
    found = promise(make.pod(metadata={"annotations": notes})).task
    assert found.deadline == CREATED + 1800
    assert 120.0 < found.reference_runtime < 3600.0


def test_a_declared_run_time_alone_promises_twice_itself(make: Maker) -> None:
    """k x the declaration, as in a Task; a definite word goes before it."""
    notes = {"cloudai.dev/expected-runtime": "10m"}
    assert promise(make.pod(metadata={"annotations": notes})).task.deadline == CREATED + 1200
    notes["cloudai.dev/finish-within"] = "5m"
    assert promise(make.pod(metadata={"annotations": notes})).task.deadline == CREATED + 300


@pytest.mark.parametrize(
    ("key", "text", "seconds"),
    [
        ("finish-within", "10m", 300.0),
        ("finish-by", "2026-01-01T00:10:00Z", 300.0),
        ("deadline", "2026-01-01T00:10:00Z", 300.0),
        ("expected-runtime", "10m", 600.0),  # twice itself: a deadline that its user did not choose
    ],
)
def test_who_knows_his_pods_is_believed(make: Maker, key: str, text: str, seconds: float) -> None:
    """A namespace whose deadlines are twice what its pods take: ten minutes allowed, five expected."""
    heard = Indication(-math.log(2), 0.05, 100)
    exact = Indication(0.0, 0.05, 100)
    runtime = RuntimeModel(Sigma={"cpu-light": 1.0}, Allowed={"ns": heard}, Declared={"ns": exact})
    pod = make.pod(metadata={"annotations": {f"cloudai.dev/{key}": text}, "labels": {LABEL_TASK_TYPE: "cpu-light"}})
    amounts = {"cpu": 1000, "memory": 1 << 30, "pods": 1}
    task = read(pod, amounts, Arrivals(), Document(Runtime=runtime), TauStore({"cpu-light": 3600.0}), 2.0).task
    assert task.reference_runtime == pytest.approx(seconds, rel=0.02)


def test_a_deadline_that_the_operator_derived_says_nothing(make: Maker) -> None:
    """A multiple of what the type takes is no word of its user, also where nothing else of the Task can be read."""
    notes = {"cloudai.dev/deadline": "2026-01-01T00:10:00Z", "cloudai.dev/deadline-source": "Learned"}
    pod = make.pod(metadata={"annotations": {**notes, "cloudai.dev/reference-runtime-seconds": "0"}})
    runtime = RuntimeModel(Sigma={"cpu-light": 1.0}, Allowed={"ns": Indication(-math.log(2), 0.05, 100)})
    amounts = {"cpu": 1000, "memory": 1 << 30, "pods": 1}
    task = read(pod, amounts, Arrivals(), Document(Runtime=runtime), TauStore({"cpu-light": 3600.0}), 2.0).task
    assert (task.reference_runtime, task.log_sd) == (3600.0, 1.0)


def test_a_retry_does_not_reset_the_clock(make: Maker) -> None:
    """Where a Job's pods come one after the other because the last one failed, arrival is the first one's creation."""
    arrivals = Arrivals()
    arrivals.note(make.pod("a", metadata=a_part_of("Job"), status={"phase": "Failed"}))
    retry = make.pod("b", metadata={**a_part_of("Job"), "creationTimestamp": "2026-01-01T00:10:00Z"})
    assert promise(retry, arrivals).task.deadline == CREATED + 1800


@pytest.mark.parametrize(
    ("kind", "phase"), [("Workflow", "Failed"), ("ReplicaSet", "Failed"), ("Job", "Running"), ("Job", "Succeeded")]
)
def test_many_promises_of_one_controller(make: Maker, kind: str, phase: str) -> None:
    """Steps of a workflow, replicas, and pods of a Job with several completions have clocks of their own."""
    arrivals = Arrivals()
    arrivals.note(make.pod("a", metadata=a_part_of(kind), status={"phase": phase}))
    second = make.pod("b", metadata={**a_part_of(kind), "creationTimestamp": "2026-01-01T00:10:00Z"})
    assert promise(second, arrivals).task.deadline == CREATED + 600 + 1800


def test_a_foreign_namespace_cannot_move_a_jobs_clock(make: Maker) -> None:
    """An owner reference is a claim: it can name any UID."""
    arrivals = Arrivals()
    forged = {**a_part_of("Job"), "namespace": "attacker", "creationTimestamp": "2020-01-01T00:00:00Z"}
    arrivals.note(make.pod("forged", metadata=forged, status={"phase": "Failed"}))
    assert promise(make.pod("b", metadata=a_part_of("Job")), arrivals).task.deadline == CREATED + 1800


def a_part_of(kind: str) -> dict[str, Any]:
    """Metadata of a pod of a controller, to be finished within half an hour."""
    group = {"Job": "batch/v1", "ReplicaSet": "apps/v1"}.get(kind, "argoproj.io/v1alpha1")
    owner = {"apiVersion": group, "kind": kind, "name": "j", "uid": "job-1", "controller": True}
    return {"ownerReferences": [owner], "annotations": {"cloudai.dev/finish-within": "30m"}}


@pytest.mark.parametrize(
    "note",
    [
        {"cloudai.dev/deadline": "soon"},
        {"cloudai.dev/finish-within": "5 minutes"},
        {"cloudai.dev/reference-runtime-seconds": "NaN"},
        {"cloudai.dev/runtime-log-sd": "-1"},
        {"cloudai.dev/expected-runtime": "1y"},
    ],
)
def test_unreadable_values_count_as_absent(make: Maker, note: dict[str, str]) -> None:
    """And the message names the annotation."""
    found = promise(make.pod(metadata={"annotations": note}))
    assert len(found.problems) == 1
    assert next(iter(note)) in found.problems[0]
    assert found.task.deadline is None


def test_nothing_promised(make: Maker) -> None:
    """No annotation: no deadline, the type inferred, its cold run time."""
    found = promise(make.pod()).task
    assert (found.deadline, found.type, found.reference_runtime) == (None, "cpu-light", 120.0)
