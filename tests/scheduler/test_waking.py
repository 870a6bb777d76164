"""Pods that wait for other pods are looked at again when those come or go."""

import time

from tests.api_server import running, until
from tests.scheduler.live import NODES, PODS, a_node, a_pod, cluster, live

from cloudai_kube import timestamp
from cloudai_scheduler.queue import Cause

NEAR_DB = {
    "podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "host", "labelSelector": {"matchLabels": {"app": "db"}}}
        ]
    }
}
NOT_NEAR_DB = {"podAntiAffinity": NEAR_DB["podAffinity"]}


async def test_a_pod_waits_for_the_one_that_it_must_be_near() -> None:
    """And is placed beside it as soon as that one has a node, though nothing was freed."""
    async with running() as (server, transport):
        for name in ("a", "b"):
            server.put(NODES, a_node(name, labels={"host": name}))
        async with live(server, transport) as here:
            server.put(PODS, a_pod("web", spec={"affinity": NEAR_DB}))
            await until(lambda: here.condition("web"))
            assert "didn't match pod affinity rules" in here.condition("web")["message"]
            server.put(PODS, a_pod("db", metadata={"labels": {"app": "db"}}))
            await here.bound("db", "web")
            assert here.node_of("web") == here.node_of("db")


async def test_a_pod_waits_until_others_are_gone() -> None:
    """Its own anti-affinity, and that of a pod that is there against it."""
    async with running() as (server, transport):
        server.put(NODES, a_node("a", labels={"host": "a"}))
        async with live(server, transport) as here:
            server.put(PODS, a_pod("db", metadata={"labels": {"app": "db"}}, spec={"affinity": NOT_NEAR_DB}))
            await here.bound("db")
            server.put(PODS, a_pod("web", spec={"affinity": NOT_NEAR_DB}))
            server.put(PODS, a_pod("second", metadata={"labels": {"app": "db"}}))
            await until(lambda: here.condition("web") and here.condition("second"))
            assert "didn't match pod anti-affinity rules" in here.condition("web")["message"]
            assert "didn't satisfy existing pods anti-affinity rules" in here.condition("second")["message"]
            server.remove(PODS, "db")
            await until(lambda: here.node_of("web") or here.node_of("second"), 10)


async def test_pods_spread_over_zones() -> None:
    """One by one, each bind counted before the next decision."""
    async with running() as (server, transport):
        for name in ("a1", "a2", "b1"):
            server.put(NODES, a_node(name, labels={"zone": name[0]}))
        selector = {"matchLabels": {"app": "x"}}
        spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
        async with live(server, transport) as here:
            for number in range(6):
                spec = {"topologySpreadConstraints": [spread]}
                server.put(PODS, a_pod(f"p{number}", metadata={"labels": {"app": "x"}}, spec=spec))
            await here.bound(*(f"p{number}" for number in range(6)), seconds=10)
            assert sorted(here.node_of(f"p{number}")[0] for number in range(6)) == list("aaabbb")


async def test_a_pod_whose_own_labels_change_is_looked_at_again() -> None:
    """What others think of it goes by its labels."""
    async with running() as (server, transport):
        server.put(NODES, a_node("a", labels={"host": "a"}))
        async with live(server, transport) as here:
            server.put(PODS, a_pod("web", spec={"affinity": NOT_NEAR_DB}))
            await here.bound("web")
            server.put(PODS, a_pod("other", metadata={"labels": {"app": "db"}}))
            await until(lambda: here.condition("other"))
            body = server.objects[PODS]["ns/other"]
            server.put(PODS, {**body, "metadata": {**body["metadata"], "labels": {"app": "cache"}}})
            await here.bound("other")


async def test_the_namespace_that_had_less_gets_the_room() -> None:
    """Though the other one's deadline is nearer; with a half-life of 0 the deadline decides."""
    whole = [{"name": "c", "resources": {"requests": {"cpu": "8"}}}]
    soon = {"annotations": {"cloudai.dev/finish-within": "2m", "cloudai.dev/expected-runtime": "1s"}}
    for half_life, first in ((600.0, "modest"), (0.0, "greedy")):
        async with running() as (server, transport):
            server.put(NODES, a_node("a"))
            async with live(server, transport, fair_share_half_life_seconds=half_life) as here:
                server.put(PODS, a_pod("there", "greedy", spec={"containers": whole}))
                await here.bound("there", namespace="greedy")
                here.scheduler.state.shares.advance(time.time(), here.scheduler.state.fleet)
                now = timestamp.whole_seconds(time.time())
                for name in ("greedy", "modest"):
                    meta = {"creationTimestamp": now, **(soon if name == "greedy" else {})}
                    server.put(PODS, a_pod("next", name, spec={"containers": whole}, metadata=meta | {"uid": name}))
                    await until(lambda name=name: here.condition("next", name))  # type: ignore[misc]
                server.remove(PODS, "there", "greedy")
                await here.bound("next", namespace=first)
                other = {"greedy": "modest", "modest": "greedy"}[first]
                assert here.node_of("next", other) == ""


async def test_a_domain_that_goes_with_its_node_holds_up_nobody() -> None:
    """Pods that had to be spread over two zones need not once there is one; nor if a node is in another zone now."""
    async with running() as (server, transport):
        server.put(NODES, a_node("a", labels={"zone": "a"}))
        server.put(NODES, a_node("b", cpu="0", labels={"zone": "b"}))
        selector = {"matchLabels": {"app": "x"}}
        spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
        async with live(server, transport) as here:
            spec = {"topologySpreadConstraints": [spread]}
            for number in range(2):
                server.put(PODS, a_pod(f"p{number}", metadata={"labels": {"app": "x"}}, spec=spec))
            await until(lambda: here.node_of("p0") or here.node_of("p1"))
            await until(lambda: bool(here.condition("p0") or here.condition("p1")))
            server.remove(NODES, "b", "")
            await here.bound("p0", "p1", seconds=10.0)


async def test_pods_that_are_alike_say_what_is_so_now() -> None:
    """The second one is not looked at again, but its words are those of the cluster as it is, not as it was."""
    async with cluster("a") as here:
        large = {"containers": [{"name": "c", "image": "w:1", "resources": {"requests": {"cpu": "16"}}}]}
        for name in ("p", "q"):
            here.server.put(PODS, a_pod(name, spec=large))
        await until(lambda: bool(here.condition("p") and here.condition("q")))
        here.server.put(NODES, a_node("b"))
        here.server.put(NODES, {**a_node("c", cpu="32"), "spec": {"unschedulable": True}})
        here.scheduler.queue.wake_all(here.scheduler.clock() + 60.0, Cause.PARKED_LONG)
        here.scheduler.wake()
        said = "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu."
        await until(lambda: all(here.condition(name)["message"].startswith(said) for name in ("p", "q")), 10)
