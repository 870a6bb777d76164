"""Evictions at work, on a real HTTP server."""

import asyncio
from typing import Any

from aiohttp import web
from tests.api_server import running, status, until
from tests.scheduler.live import NODES, PODS, Live, a_node, a_pod, cluster, live

from cloudai_scheduler.scheduler import Scheduler


def sized(name: str, cpu: str, priority: int = 0, **parts: Any) -> dict[str, Any]:
    """A pod of this size and priority."""
    container = {"name": "c", "image": "work:1", "resources": {"requests": {"cpu": cpu}}}
    spec = {"containers": [container], "priority": priority, **parts.pop("spec", {})}
    return a_pod(name, spec=spec, **parts)


def there(here: Live, name: str) -> bool:
    """Whether a pod still exists."""
    return f"ns/{name}" in here.server.objects[PODS]


async def test_the_less_important_pod_makes_room() -> None:
    """It is told for whom, deleted by its UID, and the other one is bound; who waits says where it is going."""
    async with cluster("a") as here:
        here.server.put(PODS, sized("small", "1"))
        here.server.put(PODS, sized("low", "5"))
        await here.bound("small", "low")
        here.server.put(PODS, sized("high", "6", 100))
        await here.bound("high")
        assert (there(here, "low"), there(here, "small")) == (False, True)
        told = [body for asked, body in here.server.bodies if asked.startswith("PATCH") and "pods/low/status" in asked]
        assert told[0]["status"]["conditions"][0]["reason"] == "PreemptionByScheduler"
        assert any("pods/high/status" in asked and body["status"].get("nominatedNodeName") == "a"
                   for asked, body in here.server.bodies if asked.startswith("PATCH"))  # fmt: skip
        deleted = [body for asked, body in here.server.bodies if asked.startswith("DELETE")]
        assert deleted == [{"preconditions": {"uid": "uid-low"}}]
        await until(lambda: "Preempted" in here.events("low"))
        assert here.scheduler.state.nominations.by_node == {}


async def test_the_room_is_kept_until_the_pod_is_gone() -> None:
    """A pod of lower priority does not slip in while the victim takes its time."""
    async with cluster("a") as here:
        here.server.put(PODS, sized("low", "8"))
        await here.bound("low")
        here.server.fail("DELETE .*/pods/low", lambda _request: status(200, "Success"))  # it takes its grace period
        here.server.put(PODS, sized("high", "6", 100))
        await until(lambda: here.scheduler.state.nominations.node_of("uid-high") == "a")
        here.server.put(PODS, sized("middle", "4", 50))
        await until(lambda: bool(here.condition("middle")))
        assert "preempting 1 victims" in here.condition("high")["message"]
        here.server.remove(PODS, "low")
        await here.bound("high")
        assert here.node_of("middle") == ""


async def test_room_that_is_kept_no_longer_is_taken() -> None:
    """The pod that it was kept for is deleted: one of lower priority does not wait for five minutes."""
    async with cluster("a") as here:
        here.server.put(PODS, sized("low", "8"))
        await here.bound("low")
        here.server.fail("DELETE .*/pods/low", lambda _request: status(200, "Success"))  # it takes its grace period
        here.server.put(PODS, sized("high", "8", 100))
        await until(lambda: here.scheduler.state.nominations.node_of("uid-high") == "a")
        here.server.fail("POST .*/pods/high/binding", lambda _request: status(500, "InternalError"), times=9)
        here.server.put(PODS, sized("middle", "4", 50))
        await until(lambda: bool(here.condition("middle")))
        here.server.remove(PODS, "high")
        here.server.remove(PODS, "low")
        await here.bound("middle")


async def test_an_eviction_that_fails_after_the_pod_has_found_room() -> None:
    """The pod is on its way to another node by then, and stays so: nothing is decided twice."""
    async with cluster("a") as here:
        here.server.put(PODS, sized("low", "8"))
        await here.bound("low")
        answered, bound = asyncio.Event(), asyncio.Event()

        async def late(_request: web.Request) -> web.StreamResponse:
            await answered.wait()
            return status(500, "InternalError", "sorry")

        async def slow(request: web.Request) -> web.StreamResponse:
            body = await request.json()
            await bound.wait()
            return here.server.act(request, body)

        here.server.fail("DELETE .*/pods/low", late)
        here.server.fail("POST .*/pods/high/binding", slow)
        here.server.put(PODS, sized("high", "6", 100))
        await until(lambda: here.scheduler.state.nominations.node_of("uid-high") == "a")
        here.server.put(NODES, a_node("b"))
        await until(lambda: "uid-high" in here.scheduler.state.pods)
        answered.set()
        await asyncio.sleep(1.5)
        bound.set()
        await here.bound("high")
        assert (here.node_of("high"), there(here, "low")) == ("b", True)
        assert sum("pods/high/binding" in asked for asked in here.server.requests) == 1


async def test_an_eviction_that_fails_is_tried_again() -> None:
    """The API server refuses once; nothing is lost."""
    async with cluster("a") as here:
        here.server.put(PODS, sized("low", "8"))
        await here.bound("low")
        here.server.fail("DELETE .*/pods/low", lambda _request: status(500, "InternalError", "sorry"))
        here.server.put(PODS, sized("high", "6", 100))
        await here.bound("high", seconds=10.0)


async def test_a_new_leader_knows_whom_the_room_is_for() -> None:
    """From the status of the pod that waits."""
    async with running() as (server, transport):
        server.put(NODES, a_node("a"))
        server.put(PODS, sized("first", "6", 100, status={"nominatedNodeName": "a"}))
        earlier = {"creationTimestamp": "2025-01-01T00:00:00Z"}  # so it would be first
        server.put(PODS, sized("second", "6", 100, metadata=earlier))
        async with live(server, transport) as here:
            await here.bound("first")
            assert here.node_of("second") == ""


async def test_without_preemption_nobody_is_evicted() -> None:
    """And the message has no word of it."""
    async with cluster("a", preemption=None) as here:
        here.server.put(PODS, sized("low", "8"))
        await here.bound("low")
        here.server.put(PODS, sized("high", "6", 100))
        await until(lambda: bool(here.condition("high")))
        assert here.condition("high")["message"] == "0/1 nodes are available: 1 Insufficient cpu."
        assert there(here, "low")
        assert isinstance(here.scheduler, Scheduler)


async def test_room_that_is_not_enough_by_itself_wakes_those_that_may_evict() -> None:
    """A pod of the same priority goes: with what a weaker one holds there is room."""
    async with cluster("a") as here:
        here.server.put(PODS, sized("strong", "4", 100))
        here.server.put(PODS, sized("other", "2", 100))
        here.server.put(PODS, sized("weak", "2"))
        await here.bound("strong", "other", "weak")
        here.server.put(PODS, sized("high", "4", 100))
        await until(lambda: bool(here.condition("high")))
        here.server.remove(PODS, "other")
        await here.bound("high", seconds=10.0)
        assert (there(here, "weak"), there(here, "strong")) == (False, True)


async def test_a_conflict_is_no_eviction() -> None:
    """The victim is still there after a 409: nobody waits for it to go, it is tried again."""
    async with cluster("a") as here:
        here.server.put(PODS, sized("low", "8"))
        await here.bound("low")
        here.server.fail("DELETE .*/pods/low", lambda _request: status(409, "Conflict", "the object has been modified"))
        here.server.put(PODS, sized("high", "6", 100))
        await here.bound("high", seconds=10.0)


async def test_the_node_that_was_kept_is_gone() -> None:
    """The pod for which room was made there looks elsewhere at once, and so does one whose node is cordoned."""
    async with cluster("a", "b") as here:
        for name in ("x", "y"):
            here.server.put(PODS, sized(f"low-{name}", "8"))
        await here.bound("low-x", "low-y")
        here.server.fail("DELETE .*/pods/low", lambda _request: status(200, "Success"), times=9)
        here.server.put(PODS, sized("high", "6", 100))
        await until(lambda: here.scheduler.state.nominations.node_of("uid-high") != "")
        first = here.scheduler.state.nominations.node_of("uid-high")
        second = "b" if first == "a" else "a"
        here.server.remove(NODES, first, "")
        await until(lambda: here.scheduler.state.nominations.node_of("uid-high") == second, 10)
        told = here.server.objects[PODS]["ns/high"]["status"]
        await until(lambda: here.server.objects[PODS]["ns/high"]["status"].get("nominatedNodeName") == second)
        here.server.put(NODES, {**a_node(second), "spec": {"unschedulable": True}})
        await until(lambda: not here.server.objects[PODS]["ns/high"]["status"].get("nominatedNodeName"), 10)
        assert told["nominatedNodeName"]
        assert here.scheduler.state.nominations.by_node == {}


async def test_pods_that_are_alike_each_make_room() -> None:
    """What one of them found is no answer for the other: each evicts on a node of its own."""
    async with cluster("a", "b") as here:
        for name in ("x", "y"):
            here.server.put(PODS, sized(f"low-{name}", "8"))
        await here.bound("low-x", "low-y")
        here.server.fail("DELETE .*/pods/low", lambda _request: status(200, "Success"), times=9)
        for name in ("a", "b"):
            here.server.put(NODES, {**a_node(name), "spec": {"unschedulable": True}})
        for name in ("p", "q"):
            here.server.put(PODS, sized(f"high-{name}", "6", 100))
        await until(lambda: bool(here.condition("high-p") and here.condition("high-q")))
        for name in ("a", "b"):
            here.server.put(NODES, a_node(name))
        kept = here.scheduler.state.nominations
        await until(lambda: {kept.node_of("uid-high-p"), kept.node_of("uid-high-q")} == {"a", "b"}, 10)
