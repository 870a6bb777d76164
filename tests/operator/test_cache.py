"""What the operator knows, and who is woken by a change."""

from typing import Any

import msgspec
from tests.operator.conftest import a_task

from cloudai_kube.objects import Named, Pod
from cloudai_operator.cache import Cache


def a_pod(uid: str, node: str = "", owner: str = "task-uid") -> Pod:
    """A pod of a Task."""
    owners = [{"kind": "Task", "name": "t", "uid": owner, "controller": True}]
    raw: dict[str, Any] = {"metadata": {"name": uid, "uid": uid, "ownerReferences": owners}, "spec": {"nodeName": node}}
    return msgspec.convert(raw, Pod)


def a_node(name: str) -> Named:
    """A node."""
    return msgspec.convert({"metadata": {"name": name}}, Named)


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
    assert cache.pods_of("task-uid") == []
    assert woken == ["task-uid", "task-uid"]


def test_lost_nodes_wake_those_they_carried() -> None:
    """By event and by relist alike; a node that returns is not lost."""
    woken: list[str] = []
    cache = Cache(woken.append, lambda: 100.0, node_gone_seconds=30.0)
    cache.replace_nodes([a_node("a"), a_node("b")])
    cache.put_pod(a_pod("p", "a"))
    cache.put_pod(a_pod("q", "b", "other-task"))
    woken.clear()
    cache.apply_node("DELETED", a_node("a"))
    assert (woken, cache.gone_nodes()) == (["task-uid"], {"a": 130.0})
    cache.replace_nodes([a_node("a")])
    assert cache.gone_nodes() == {"b": 130.0}
    assert woken == ["task-uid", "other-task"]


def test_a_relist_removes_what_it_does_not_show() -> None:
    """A deletion that the watch missed."""
    cache = Cache(lambda _uid: None, lambda: 0.0)
    cache.put_pod(a_pod("p"))
    cache.replace_pods([a_pod("q")])
    assert [pod.metadata.uid for pod in cache.pods_of("task-uid")] == ["q"]


def test_others_pods_are_nobodys() -> None:
    """Only a controlling Task owns."""
    cache = Cache(lambda _uid: None, lambda: 0.0)
    stranger = a_pod("p")
    stranger.metadata.ownerReferences = []
    cache.put_pod(stranger)
    assert cache.owners() == set()
