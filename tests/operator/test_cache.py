"""What the operator knows, and who is woken by a change."""

from typing import Any

import msgspec
import pytest
from tests.operator.conftest import a_task

from cloudai_kube.objects import Node, Pod
from cloudai_operator.cache import REMEMBERED_LOST, Cache, PodStore, Unreadable
from cloudai_rts import contract


def a_pod(uid: str, node: str = "", owner: str = "task-uid", **metadata: Any) -> Pod:
    """A pod of a Task."""
    owners = [{"apiVersion": "cloudai.dev/v1alpha1", "kind": "Task", "name": "t", "uid": owner, "controller": True}]
    names = {"name": contract.pod_name("t", owner, 1), "namespace": "ns", "uid": uid}
    raw: dict[str, Any] = {
        "metadata": {**names, "ownerReferences": owners, **metadata},
        "spec": {"nodeName": node, "restartPolicy": "Never"},
    }
    return msgspec.convert(raw, Pod)


def a_node(name: str, ready: str = "True") -> Node:
    """A node."""
    status = {"conditions": [{"type": "Ready", "status": ready}]}
    return msgspec.convert({"metadata": {"name": name}, "status": status}, Node)


def test_an_older_task_never_replaces_a_newer_one() -> None:
    """Our own patch's answer may overtake the watch."""
    cache = Cache(lambda _uid: None, lambda: 0.0)
    new, old = a_task(), a_task()
    new.metadata.resourceVersion, old.metadata.resourceVersion = "12", "9"
    cache.put_task(new)
    cache.put_task(old)
    assert cache.tasks["task-uid"] is new


def test_a_created_pod_that_is_gone_already_stays_gone() -> None:
    """The answer to the creation may come after the deletion's event."""
    woken: list[str] = []
    cache = Cache(woken.append, lambda: 0.0)
    cache.put_pod(a_pod("p"))
    cache.remove_pod("p")
    cache.put_created(a_pod("p"))
    assert cache.pods_of(a_task()) == []
    assert woken == ["task-uid", "task-uid"]


def test_lost_nodes_wake_those_they_carried() -> None:
    """By event and by relist alike; a node that returns is not lost."""
    woken: list[str] = []
    cache = Cache(woken.append, lambda: 100.0, node_gone_seconds=30.0)
    cache.retain_nodes([a_node("a").metadata, a_node("b").metadata])
    cache.put_pod(a_pod("p", "a"))
    cache.put_pod(a_pod("q", "b", "other-task"))
    woken.clear()
    cache.apply_node("DELETED", a_node("a"))
    assert (woken, cache.gone_nodes()) == (["task-uid"], {"a": 130.0})
    cache.retain_nodes([a_node("a").metadata])
    assert cache.gone_nodes() == {"b": 130.0}
    assert woken == ["task-uid", "other-task"]


def test_lost_nodes_without_pods_are_forgotten() -> None:
    """Machines of a cloud have new names every day."""
    cache = Cache(lambda _uid: None, lambda: 0.0)
    cache.retain_nodes([])
    for number in range(2 * REMEMBERED_LOST):
        cache.put_pod(a_pod(f"p{number}", f"n{number}"))
        cache.remove_pod(f"p{number}")
    assert len(cache.gone_nodes()) <= REMEMBERED_LOST
    cache.put_pod(a_pod("p", "n"))
    cache.retain_nodes([])
    assert cache.gone_nodes().keys() == {"n"}


def test_a_relist_removes_what_it_does_not_show() -> None:
    """A deletion that the watch missed."""
    cache = Cache(lambda _uid: None, lambda: 0.0)
    cache.put_pod(a_pod("p"))
    cache.put_pod(a_pod("q"))
    cache.retain_pods([a_pod("q").metadata])
    assert [pod.metadata.uid for pod in cache.pods_of(a_task())] == ["q"]


@pytest.mark.parametrize(
    "claim",
    [
        {"ownerReferences": []},
        {"name": "any-name"},
        {"name": contract.pod_name("t", "another-uid", 1)},
        {"ownerReferences": [{"apiVersion": "evil.example/v1", "kind": "Task", "name": "t", "uid": "task-uid"}]},
        {
            "ownerReferences": [
                {"apiVersion": "evil.example/v1", "kind": "Task", "name": "t", "uid": "task-uid", "controller": True}
            ]
        },
    ],
)
def test_claims_of_strangers_are_no_facts(claim: dict[str, Any]) -> None:
    """A pod is a Task's only if its name proves it; labels and owner references can be forged."""
    cache = Cache(lambda _uid: None, lambda: 0.0)
    cache.put_pod(a_pod("p", labels={"cloudai.dev/task": "t", "cloudai.dev/attempt": "7"}, **claim))
    assert cache.owners() == set()


def test_a_pod_in_a_foreign_namespace_is_not_the_tasks() -> None:
    """Whatever its name and owner say."""
    cache = Cache(lambda _uid: None, lambda: 0.0)
    cache.put_pod(a_pod("p", namespace="attacker"))
    assert cache.pods_of(a_task()) == []


def test_the_last_state_of_a_deleted_pod_is_kept_until_it_is_booked() -> None:
    """Success is never run again because somebody tidied up."""
    cache = Cache(lambda _uid: None, lambda: 0.0)
    ended, running = a_pod("p"), a_pod("q")
    ended.status.phase = "Succeeded"
    running.status.phase = "Running"
    for pod in (ended, running):
        cache.put_pod(pod)
        PodStore(cache).apply("DELETED", pod)
    assert cache.pods_of(a_task()) == [ended]
    cache.forget_ends("task-uid", [a_pod("p")])  # an earlier state was handled while the end came
    assert cache.pods_of(a_task()) == [ended]
    cache.forget_ends("task-uid", [ended])
    assert cache.pods_of(a_task()) == []


def test_a_list_that_lacks_a_finished_pod() -> None:
    """The watch had shown its success before it broke: that is what counts."""
    cache = Cache(lambda _uid: None, lambda: 0.0)
    ended = a_pod("p")
    ended.status.phase = "Succeeded"
    cache.put_pod(ended)
    cache.retain_pods([])
    assert cache.pods_of(a_task()) == [ended]


def test_nodes_that_are_not_ready() -> None:
    """Those whose pods may never say what becomes of them wake their Tasks once."""
    woken: list[str] = []
    cache = Cache(woken.append, lambda: 0.0)
    cache.put_pod(a_pod("p", "a"))
    woken.clear()
    for ready in ("True", "Unknown", "Unknown"):
        cache.apply_node("MODIFIED", a_node("a", ready))
    assert (cache.unready_nodes(), woken) == ({"a"}, ["task-uid"])
    cache.apply_node("MODIFIED", a_node("a"))
    assert cache.unready_nodes() == set()


def test_a_task_that_cannot_be_read_exists() -> None:
    """Its pods are not those of a Task that is gone, and it is looked at once for each thing that is wrong."""
    woken: list[str] = []
    cache = Cache(woken.append, lambda: 0.0)
    cache.put_task(a_task())
    cache.put_pod(a_pod("p"))
    woken.clear()
    for problem in ("a", "a", "b"):
        cache.put_unreadable(Unreadable(a_task().metadata, problem, []))
    assert woken == ["task-uid", "task-uid"]
    assert cache.owners() - cache.known() == set()
    cache.put_task(a_task())
    assert cache.unreadable == {}


def test_a_list_of_one_namespace_says_nothing_of_others() -> None:
    """Where only some namespaces are watched each is listed by itself."""
    cache = Cache(lambda _uid: None, lambda: 0.0)
    here, there = PodStore(cache, "ns"), PodStore(cache, "elsewhere")
    here.apply("ADDED", a_pod("p"))
    there.apply("ADDED", a_pod("q", owner="other-task", namespace="elsewhere"))
    there.retain([])
    assert cache.owners() == {"task-uid"}
    here.retain([])
    assert cache.owners() == set()
