"""kopf's watch on a real HTTP server: one Task never hides the others, and silence is noticed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.api_server import ApiServer, running, until
from tests.operator.live import TASKS, a_task

from cloudai_kube.connection import Connection
from cloudai_kube.scope import Scope
from cloudai_operator.cache import Cache
from cloudai_operator.task_watch import TaskWatch, list_tasks
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

    def see(event: str, raw: dict[str, Any]) -> None:
        seen.append(f"{event} {raw['metadata']['name']}")

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
