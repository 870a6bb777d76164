"""The auditor finds what it is there to find."""

from typing import Any

import msgspec
import pytest

from cloudai_kube.objects import Node, Pod
from cloudai_rts import contract
from cloudai_sandbox.audit import audit
from cloudai_sandbox.history import Change


def node(revision: int, cpu: str | None = "2") -> Change:
    """Node n, None: deleted."""
    raw = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": cpu, "pods": "10"}}}
    return Change(revision, "/registry/minions/n", node=msgspec.convert(raw, Node) if cpu else None)


def pod(revision: int, name: str, where: str = "", phase: str = "Pending", **more: Any) -> Change:
    """A pod of Task `task`, attempt `attempt`, that asks for one core; `phase` "" means it was deleted."""
    task, attempt, uid = more.get("task", ""), more.get("attempt", "1"), more.get("uid", name)
    owner = {"apiVersion": "cloudai.dev/v1alpha1", "kind": "Task", "name": task, "uid": task, "controller": True}
    owners = [owner] if task else []
    name = contract.pod_name(task, task, int(attempt)) if task else name
    raw = {
        "metadata": {"name": name, "uid": uid, "labels": {"cloudai.dev/attempt": attempt}, "ownerReferences": owners},
        "spec": {"nodeName": where, "containers": [{"resources": {"requests": {"cpu": "1"}}}]},
        "status": {"phase": phase},
    }
    return Change(revision, f"/registry/pods/ns/{name}", pod=msgspec.convert(raw, Pod) if phase else None)


def messages(*changes: Change) -> list[str]:
    """The violations of a history."""
    return [violation.message for violation in audit(changes).violations]


def test_a_good_history() -> None:
    """Two pods fill a node, one ends, a third takes its room."""
    history = (
        node(1),
        pod(2, "a", "n", task="t1"),
        pod(3, "b", "n", task="t2"),
        pod(4, "a", "n", "Succeeded", task="t1"),
        pod(5, "c", "n", task="t3"),
        pod(6, "c", "n", "", task="t3"),
        pod(7, "d", "n", task="t4"),
    )
    report = audit(history)
    assert (report.violations, report.binds, report.pods, report.fullest_share) == ([], 4, 4, 1.0)


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ((node(1), pod(2, "a", "n"), pod(3, "b", "n"), pod(4, "c", "n")), "over-committed: 3000 of 2000 cpu"),
        ((node(1), pod(2, "a", "n"), node(3, None), pod(4, "b", "n")), "does not exist"),
        ((node(1), node(1), pod(2, "a", "n"), pod(3, "a", "m")), "bound to n and then to m"),
        ((pod(1, "a", task="t"), pod(2, "b", task="t")), "has two pods"),
        ((pod(1, "a", task="t"), pod(2, "b", task="t", attempt="2")), "2 live pods"),
        ((pod(1, "a", task="t"), pod(2, "a", "", ""), pod(3, "a", task="t", uid="other")), "has two pods"),
    ],
)
def test_what_must_never_happen(history: tuple[Change, ...], message: str) -> None:
    """Each kind of violation is found."""
    assert any(message in found for found in messages(*history))


def test_a_node_that_shrinks_is_not_the_schedulers_fault() -> None:
    """Only a bind can over-commit."""
    assert messages(node(1), pod(2, "a", "n"), pod(3, "b", "n"), node(4, "1"), pod(5, "b", "n", "Running")) == []


@pytest.mark.parametrize("amount", ["10Pi", "50E", "1e99", "nonsense", "-1"])
def test_amounts_that_the_api_server_accepts_end_no_audit(amount: str) -> None:
    """On a node and in a pod; whatever else is wrong is still found."""
    odd_node, odd_pod = node(1), pod(2, "odd", "n")
    odd_node.node.status.allocatable["ephemeral-storage"] = amount  # type: ignore[union-attr]  # it is one of a node
    odd_pod.pod.spec.containers[0].resources.requests["memory"] = amount  # type: ignore[union-attr]  # of a pod
    found = messages(odd_node, odd_pod, pod(3, "a", "n"), pod(4, "b", "n"), pod(5, "c", "n"))
    assert any("over-committed" in message and "cpu" in message for message in found)
