"""The pod of an attempt."""

from typing import Any

import pytest
from tests.operator.conftest import a_task

from cloudai_kube.task import Json
from cloudai_operator import pod


def build(**spec: Any) -> Json:
    """The pod of an accepted Task."""
    task = a_task(**spec)
    task.status.arrivalTime = task.status.deadline = "2026-01-01T00:00:00Z"
    task.status.type = "mixed"
    return pod.build(task, 3, "cloudai-scheduler")


def test_the_name_follows_from_the_task_and_the_attempt() -> None:
    """So that a creation that is repeated after a crash collides with itself; a namesake Task has other names."""
    one, other = a_task(), a_task()
    other.metadata.uid = "another"
    assert pod.name_of(one, 1) == pod.name_of(one, 1) != pod.name_of(one, 2)
    assert pod.name_of(one, 1) != pod.name_of(other, 1)
    assert pod.name_of(one, 1).startswith("t-")


def test_restricted_pod_security() -> None:
    """All that the restricted level of Pod Security demands, without a word from the user."""
    made = build()["spec"]
    container = made["containers"][0]["securityContext"]
    assert made["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}, "runAsNonRoot": True}
    assert container == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert not made["automountServiceAccountToken"]


def test_root_is_the_users_own_word() -> None:
    """runAsUser 0 is passed on; the namespace's level decides."""
    assert "runAsNonRoot" not in build(securityContext={"runAsUser": 0})["spec"]["securityContext"]


def test_gpus_join_the_limits() -> None:
    """Under the resource's name."""
    made = build(gpus=2, gpuResourceName="amd.com/gpu")["spec"]["containers"][0]["resources"]
    assert made["limits"]["amd.com/gpu"] == "2"


def test_ours_go_before_the_users_labels() -> None:
    """Owner, attempt and frozen values."""
    meta = build(podLabels={"team": "a"})["metadata"]
    assert meta["labels"] == {
        "team": "a",
        "cloudai.dev/task": "t",
        "cloudai.dev/task-type": "mixed",
        "cloudai.dev/attempt": "3",
    }
    assert meta["ownerReferences"][0]["uid"] == "task-uid"
    assert meta["ownerReferences"][0]["controller"] is True


@pytest.mark.parametrize("terms", [[], [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}]])
def test_a_target_node_narrows_every_term(terms: list[Json]) -> None:
    """Terms are ORed: one that were left alone would let the pod go elsewhere."""
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    affinity = {"nodeAffinity": {key: {"nodeSelectorTerms": terms}}} if terms else {}
    made = build(targetNode="n7", affinity=affinity)["spec"]["affinity"]["nodeAffinity"][key]["nodeSelectorTerms"]
    only = {"key": "metadata.name", "operator": "In", "values": ["n7"]}
    assert len(made) == max(1, len(terms))
    assert all(term["matchFields"] == [only] for term in made)
