"""Our state against the API server's, on a real HTTP server."""

import asyncio
import os
import signal

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.api_server import until
from tests.scheduler.live import NODES, PODS, a_node, a_pod, cluster

from cloudai_kube.objects import Node, Pod
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.comparer import Comparer, sums


async def test_what_has_been_lost_is_named() -> None:
    """A node and pods whose events never came; nothing is said while all is as it should be."""
    async with cluster("a", "b") as here:
        here.server.put(PODS, a_pod("p"))
        here.server.put(PODS, a_pod("q"))
        await here.bound("p", "q")
        await until(lambda: all(not placed.assumed for placed in here.scheduler.state.pods.values()))
        comparer = Comparer(here.scheduler.binder.transport, here.scheduler, 0.0, 0.05)
        assert await comparer.compare() == []
        here.server.tell = lambda *_: None  # type: ignore[method-assign]  # the watch loses everything from here on
        here.server.put(NODES, a_node("lost"))
        here.server.put(PODS, a_pod("r", spec={"nodeName": "a"}))
        here.server.remove(PODS, "p")
        here.scheduler.state.fleet.request(0, {"cpu": 7})
        kinds = sorted(one.kind for one in await comparer.compare())
        assert kinds == ["node", "pod", "pod", "sum"]


async def test_everything_that_may_be_lost_is_seen() -> None:
    """What a node offers, what a pod holds, who waits, what is assumed for nobody, and each ledger."""
    async with cluster("a", "b") as here:
        ports = [{"name": "c", "ports": [{"hostPort": 80, "containerPort": 80}]}]
        here.server.put(PODS, a_pod("p", spec={"nodeName": "a", "containers": ports}))
        await until(lambda: here.scheduler.state.pods)
        comparer = Comparer(here.scheduler.binder.transport, here.scheduler, 0.0, 0.05)
        assert await comparer.compare() == []
        state, tell = here.scheduler.state, here.server.tell
        here.server.tell = lambda *_: None  # type: ignore[method-assign]  # events are lost
        here.server.put(NODES, {**a_node("b"), "spec": {"unschedulable": True}})
        assert [found.text for found in await comparer.compare()] == [
            "node b has other labels, taints or amounts than we know"
        ]
        body = here.server.objects[PODS]["ns/p"]
        grown = [{**ports[0], "resources": {"requests": {"cpu": "7"}}}]
        here.server.put(PODS, {**body, "spec": {**body["spec"], "containers": grown}})
        here.server.put(PODS, a_pod("forgotten"))
        ghost = here.scheduler.intake.as_placed(
            msgspec.convert(a_pod("ghost"), Pod),
            here.scheduler.intake.classes.of(msgspec.convert(a_pod("x"), Pod)),
            "a",
        )
        state.assume(ghost)
        texts = {found.text for found in await comparer.compare()}
        assert {
            "pod ns/p holds other amounts than we count",
            "pod ns/forgotten waits, and is not in the queue",
            "pod ns/ghost is assumed on a, and does not exist",
        } <= texts
        state.ports.occupy(0, state.pods["uid-p"].ports)
        state.neighbours.occupy(0, state.pods["uid-p"].neighbour)
        state.shares.hold("ns", {"cpu": 5})
        ledgers = {found.text for found in await comparer.compare() if found.kind == "ledger"}
        assert ledgers == {
            "host port 80/TCP is held by others than the pods say",
            "the neighbours counted in namespace ns are not its pods",
            "namespace ns holds other amounts than its pods do",
        }
        here.server.tell = tell  # type: ignore[method-assign]  # they arrive again


async def test_events_under_way_are_no_difference() -> None:
    """It is gone at the second look."""
    async with cluster("a") as here:
        comparer = Comparer(here.scheduler.binder.transport, here.scheduler, 0.0, 0.2)
        tell, held = here.server.tell, []
        here.server.tell = lambda *told: held.append(told)  # type: ignore[method-assign]  # they are late
        here.server.put(PODS, a_pod("r", spec={"nodeName": "a"}))
        here.server.put(NODES, a_node("b"))
        comparing = asyncio.create_task(comparer.compare())
        await asyncio.sleep(0.1)
        here.server.tell = tell  # type: ignore[method-assign]  # they arrive again
        for told in held:
            tell(*told)
        assert await comparing == []


async def test_it_compares_when_it_is_asked() -> None:
    """As a signal does; the metric counts what lasts."""
    async with cluster("a") as here:
        comparer = Comparer(here.scheduler.binder.transport, here.scheduler, 0.0, 0.02)
        task = asyncio.create_task(comparer.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, comparer.ask)
        try:
            here.scheduler.state.fleet.request(0, {"cpu": 7})
            await asyncio.sleep(0.05)
            os.kill(os.getpid(), signal.SIGUSR2)
            count = here.scheduler.metrics.cache_mismatches.labels("sum")._value  # noqa: SLF001  no other way to read it
            await until(lambda: count.get() == 1)
        finally:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR2)
            task.cancel()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.booleans()), max_size=30))
def test_sums_are_those_of_the_pods(steps: list[tuple[int, int, bool]]) -> None:
    """After any sequence of pods and nodes that come and go."""
    state = ClusterState()
    for pod, node, comes in steps:
        if not comes and pod == 0:
            state.remove_node(str(node))
        elif pod == 0:
            state.put_node(msgspec.convert(a_node(str(node)), Node))
        elif comes and str(pod) not in state.pods:
            body = a_pod(str(pod), metadata={"uid": str(pod)}, spec={"nodeName": str(node)})
            state.put_pod(msgspec.convert(body, Pod))
        elif not comes:
            state.remove_pod(str(pod))
    assert list(sums(state)) == []
