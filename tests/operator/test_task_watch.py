"""kopf's watch on a real HTTP server: one Task never hides the others, and silence is noticed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.api_server import ApiServer, running, status, until
from tests.operator.live import TASKS, a_task

from cloudai_kube.connection import Connection
from cloudai_kube.scope import Scope
from cloudai_kube.task import Task
from cloudai_operator.cache import Cache, Unreadable
from cloudai_operator.task_watch import TaskRead, TaskWatch, list_tasks, read_task, task_of
from cloudai_sandbox.poisons import deepened


def kinds(plural: str, kind: str, namespaced: bool) -> bytes:
    """What discovery says of a group with one kind."""
    verbs = ["get", "list", "watch", "patch"]
    resource = {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": namespaced, "verbs": verbs}
    return json.dumps({"resources": [resource]}).encode()


def groups(**versions: str) -> bytes:
    """What discovery says of groups, by name and version."""
    found = [
        {"name": name, "preferredVersion": {"version": version}, "versions": [{"version": version}]}
        for name, version in versions.items()
    ]
    return json.dumps({"groups": found}).encode()


DISCOVERY = {
    "/api": b'{"versions":["v1"]}',
    "/api/v1": kinds("namespaces", "Namespace", namespaced=False),
    "/apis": groups(**{"cloudai.dev": "v1alpha1", "apiextensions.k8s.io": "v1"}),
    "/apis/cloudai.dev/v1alpha1": kinds("tasks", "Task", namespaced=True),
    "/apis/apiextensions.k8s.io/v1": kinds("customresourcedefinitions", "CustomResourceDefinition", namespaced=False),
}


@asynccontextmanager
async def watching(
    server: ApiServer, silence_seconds: float = 75.0
) -> AsyncIterator[tuple[TaskWatch, list[str], list[None]]]:
    """A watch that runs: what it saw, and whether it gave up."""
    server.raw |= DISCOVERY
    seen: list[str] = []
    ends: list[None] = []

    def see(event: str, task: TaskRead | Exception) -> None:
        read = task.meta if isinstance(task, Unreadable) else task.metadata if isinstance(task, Task) else None
        seen.append(f"{event} {read.name if read else task}")

    loop = asyncio.get_running_loop()
    watch = TaskWatch(
        Connection(server.url, None, lambda: "Bearer secret"), loop, see, lambda: ends.append(None), silence_seconds
    )
    watch.start()
    try:
        yield watch, seen, ends
    finally:
        await asyncio.to_thread(watch.stop)


async def test_a_deep_task_hides_nobody() -> None:
    """Neither in kopf's list nor in its watch; the token is ours."""
    async with running() as (server, _):
        deep = server.put(TASKS, a_task("deep"))
        deep["metadata"]["managedFields"] = "DEEP"
        listed = {"kind": "TaskList", "metadata": {"resourceVersion": "5"}, "items": [deep, a_task("early")]}
        server.raw[TASKS] = deepened(json.dumps(listed).encode())
        async with watching(server) as (watch, seen, ends):
            await until(lambda: {"ADDED deep", "ADDED early"} <= set(seen), 10)
            await until(lambda: server.watching(TASKS), 10)
            line = deepened(json.dumps({"type": "MODIFIED", "object": deep}).encode())
            server.tell_raw(TASKS, line)
            server.put(TASKS, a_task("late"))
            await until(lambda: "ADDED late" in seen, 10)
            assert "MODIFIED deep" in seen
            assert (watch.problem(), ends) == (None, [])
            assert set(server.headers[-3:]) == {"Bearer secret"}


async def test_a_silent_watch_is_a_problem() -> None:
    """Bookmarks come every minute: two of them missed, and the process says that it is not well."""
    async with running() as (server, _), watching(server, silence_seconds=0.3) as (watch, seen, _):
        server.put(TASKS, a_task("t"))
        await until(lambda: server.watching(TASKS), 10)
        await until(lambda: seen, 10)

        async def hang(_: Any) -> Any:
            await asyncio.sleep(30)

        server.fail("watch=true", hang, times=100)
        server.end_watches()
        begun = time.monotonic()
        await until(lambda: watch.problem() is not None, 10)
        assert "has said nothing" in str(watch.problem())
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("code", [403, 429, 500])
async def test_a_watch_that_is_refused_is_a_problem(code: int) -> None:
    """Although lists succeed: what happens after them is missed."""
    async with running() as (server, _):
        server.fail("watch=true", lambda _: status(code, "No", "no"), times=10_000)
        async with watching(server, silence_seconds=0.3) as (watch, _, _):
            await until(lambda: watch.problem() is not None, 10)
            assert "has said nothing" in str(watch.problem())


def test_a_task_that_cannot_be_read_is_known_by_its_header() -> None:
    """From a list and from the watch alike; without a name it is nobody."""
    body = {**a_task("t"), "spec": {"gpus": "many"}, "status": {"conditions": [{"type": "X"}]}}
    for read in (read_task(json.dumps(body).encode()), task_of(body)):
        assert isinstance(read, Unreadable)
        assert (read.meta.name, read.conditions) == ("t", [{"type": "X"}])
        assert "gpus" in read.problem
    with pytest.raises(msgspec.DecodeError):
        read_task(b'{"metadata": 3}')
    with pytest.raises(msgspec.ValidationError):
        task_of({"metadata": 3})


async def test_tasks_that_cannot_be_read_are_counted() -> None:
    """Once for what is wrong with each, and those without a name; the others are taken."""
    async with running() as (server, transport):
        items: list[Any] = [a_task("good"), {**a_task("bad"), "spec": 3}, {"metadata": 3, "spec": {}}]
        items[0]["metadata"]["uid"], items[1]["metadata"]["uid"] = "u0", "u1"
        server.raw[TASKS] = json.dumps({"metadata": {"resourceVersion": "5"}, "items": items}).encode()
        parked: list[object] = []
        cache = Cache(lambda _uid: None, time.time, parked=parked.append)
        for _ in range(2):
            await list_tasks(transport, cache, park=parked.append)
        assert [task.metadata.name for task in cache.tasks.values()] == ["good"]
        assert [type(one).__name__ for one in parked].count("Unreadable") == 1
        assert len(parked) == 3


async def test_large_tasks_do_not_hold_the_loop() -> None:
    """What lies deep in 1.4 MB of managed fields is cut in a thread."""
    async with running() as (server, transport):
        task = server.put(TASKS, a_task("deep"))
        task["metadata"]["managedFields"] = ["DEEP"] * 40
        listed = {"metadata": {"resourceVersion": "5"}, "items": [task]}
        server.raw[TASKS] = deepened(json.dumps(listed).encode(), 3_000)
        cache, longest, done = Cache(lambda _uid: None, time.time), 0.0, asyncio.Event()

        async def beat() -> None:
            nonlocal longest
            while not done.is_set():
                begun = time.thread_time()
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - begun)

        beating = asyncio.create_task(beat())
        await list_tasks(transport, cache)
        done.set()
        await beating
        assert [task.metadata.name for task in cache.tasks.values()] == ["deep"]
        assert longest < 0.05


async def test_a_dead_thread_is_a_problem() -> None:
    """Before it starts there is none: a standby does not follow Tasks."""
    async with running() as (server, _):
        watch = TaskWatch(Connection(server.url, None), asyncio.get_running_loop(), lambda *_: None, lambda: None, 75.0)
        assert watch.problem() is None
        async with watching(server) as (started, _, _):
            await until(lambda: server.watching(TASKS), 10)
            await asyncio.to_thread(started.stop)
            assert started.problem() == "the thread that follows Tasks has ended"


async def test_only_watched_namespaces_are_listed() -> None:
    """One request a namespace; a Task elsewhere is not seen."""
    async with running() as (server, transport):
        for namespace in ("a", "b", "c"):
            path = f"/apis/cloudai.dev/v1alpha1/namespaces/{namespace}/tasks"
            task = a_task(f"t-{namespace}", namespace)
            task["metadata"]["uid"] = f"uid-{namespace}"
            listed = {"metadata": {"resourceVersion": "5"}, "items": [task]}
            server.raw[path] = json.dumps(listed).encode()
        cache = Cache(lambda _uid: None, time.time)
        await list_tasks(transport, cache, Scope(("a", "b")))
        assert sorted(task.metadata.name for task in cache.tasks.values()) == ["t-a", "t-b"]
        await list_tasks(transport, cache, Scope(("a",)))
        assert [task.metadata.name for task in cache.tasks.values()] == ["t-a"]
