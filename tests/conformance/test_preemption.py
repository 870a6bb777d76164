"""Our preemption against kube-scheduler's own: the same words where nobody can be evicted, else an equally good choice.

One pod a cluster, because an eviction changes it. Nothing runs on the nodes: what is evicted stays and is seen to go.
"""

import asyncio
import os
import random
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from tests.conformance import peer
from tests.conformance.test_filters import Bench
from tests.conformance.worlds import NAMESPACES, World
from tests.conformance.worlds import draw as draw_world

from cloudai_kube.objects import Pod, PodDisruptionBudget
from cloudai_kube.transport import MERGE_PATCH, Transport
from cloudai_rts.load_history import LoadHistory
from cloudai_rts.ordering import Standing
from cloudai_rts.parameters import Document
from cloudai_rts.policy import Policy
from cloudai_rts.task import Task
from cloudai_sandbox.sandbox import Sandbox
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.cycle import Surroundings, Unschedulable, decide
from cloudai_scheduler.podclass import ClassTable
from cloudai_scheduler.preemption import EvictionRules
from cloudai_scheduler.queue import QueuedPod

WORLDS: Final = 5 * int(os.environ.get("CLOUDAI_CONFORMANCE_WORLDS", "2"))
PRIORITIES: Final = {"low": -5, "middle": 10, "high": 100}
BUDGETS: Final = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets"
SECONDS: Final = 30.0


def draw(seed: int) -> tuple[World, list[dict[str, Any]]]:
    """A crowded cluster with budgets, and one pod that wants a place in it."""
    rng = random.Random(f"preemption-{seed}")
    world = draw_world(
        seed, rng.choice(["NodeResourcesFit", "NodePorts", "InterPodAffinity", "PodTopologySpread"]), 6, 30, 1
    )
    taken: set[tuple[str, int]] = set()
    for number, placed in enumerate(world.placed):
        _take_ports(placed["spec"], taken)
        placed["spec"]["priorityClassName"] = rng.choice(["low", "low", "middle"])
        placed["spec"]["containers"][0]["resources"] = {"requests": {"cpu": rng.choice(["100m", "500m", "1"])}}
        placed["status"] = {"startTime": f"2026-01-01T00:{number:02}:00Z"}
    spec = world.waiting[0]["spec"]
    spec["priorityClassName"] = rng.choice(["low", "middle", "high", "high", "high"])
    spec["containers"][0]["resources"] = {"requests": {"cpu": rng.choice(["400m", "1500m", "1900m", "7"])}}
    budgets = []
    for number in range(rng.randint(0, 3)):
        selector = {"matchLabels": {"app": rng.choice(["web", "db", "batch"])}} if rng.random() < 0.9 else {}
        meta = {"name": f"budget-{number}", "namespace": rng.choice(list(NAMESPACES))}
        status = {"disruptionsAllowed": rng.randint(0, 2), "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 3}
        budgets.append({"metadata": meta, "spec": {"minAvailable": 1, "selector": selector}, "status": status})
    return world, budgets


def _take_ports(spec: dict[str, Any], taken: set[tuple[str, int]]) -> None:
    """No two pods of a node hold one port: kube-scheduler does not count how many do."""
    for port in spec["containers"][0].get("ports", []):
        if (spec["nodeName"], port["hostPort"]) in taken:
            del spec["containers"][0]["ports"]
            return
        taken.add((spec["nodeName"], port["hostPort"]))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Started once: kube-scheduler without anything that stops it."""
    folder = tmp_path_factory.mktemp("preemption")
    with Sandbox(folder, run=(), kubelets=False, namespaces=("default", *NAMESPACES)) as sandbox:
        for name, value in PRIORITIES.items():
            sandbox.plane.kubectl("create", "priorityclass", name, f"--value={value}")
        with peer.running(sandbox.plane, folder, records=False) as recorder:
            yield Bench(sandbox.plane, recorder)


async def _play(bench: Bench, world: World, budgets: list[dict[str, Any]]) -> tuple[Pod, set[str], ClusterState]:
    """What kube-scheduler does with the pod: the pod then, the pods that it evicts, and the cluster as it was."""
    async with Transport(bench.config, "preemption", 16) as transport:
        for node in world.nodes:
            await transport.request("POST", "/api/v1/nodes", node)
        for budget in budgets:
            path = BUDGETS.format(budget["metadata"]["namespace"])
            await transport.request("POST", path, budget)
            await _status(transport, f"{path}/{budget['metadata']['name']}", budget["status"])
        for placed in world.placed:
            path = f"/api/v1/namespaces/{placed['metadata']['namespace']}/pods"
            await transport.request("POST", path, placed)
            await _status(transport, f"{path}/{placed['metadata']['name']}", placed["status"])
        await asyncio.sleep(0.5)
        state = await bench.read(transport)
        for namespace in NAMESPACES:
            for raw in await bench.items(transport, BUDGETS.format(namespace)):
                state.budgets.apply("ADDED", msgspec.convert(raw, PodDisruptionBudget))
        pod = world.waiting[0]
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods"
        await transport.request("POST", path, pod)
        end = asyncio.get_running_loop().time() + SECONDS
        while True:
            assert asyncio.get_running_loop().time() < end, "kube-scheduler has not decided"
            await asyncio.sleep(0.1)
            seen = await transport.get(f"{path}/{pod['metadata']['name']}", Pod)
            told = [one for one in seen.status.conditions if one.type == "PodScheduled"]
            if told:
                break
        wanted = told[0].message.partition("preempting ")[2].partition(" ")[0]
        while True:
            listed = [msgspec.convert(raw, Pod) for raw in await bench.items(transport, "/api/v1/pods")]
            known = {placed["metadata"]["name"] for placed in world.placed}
            left = {one.metadata.name for one in listed if one.metadata.deletionTimestamp is None}
            if not wanted or len(known - left) >= int(wanted):
                return seen, known - left, state
            assert asyncio.get_running_loop().time() < end, "kube-scheduler has not evicted all that it said"
            await asyncio.sleep(0.05)


async def _status(transport: Transport, path: str, status: dict[str, Any]) -> None:
    await transport.request("PATCH", f"{path}/status", {"status": status}, content_type=MERGE_PATCH)


def ours(state: ClusterState, pod: Pod) -> Unschedulable | None:
    """What we would do; None: there is room without any eviction."""
    around = Surroundings(state, Rejections(), LoadHistory(), Policy(state.fleet, Document()), EvictionRules())
    pod_class = ClassTable().of(pod)
    pod_class.refresh(state)
    entry = QueuedPod(pod, pod_class, Task("t", 1.0, 1.0), Standing(0, None, 0.0, 0.0), 0, 0.0, "")
    found = decide(around, entry, 0.0)
    return found if isinstance(found, Unschedulable) else None


@pytest.mark.parametrize("seed", range(WORLDS))
def test_the_same_choice(bench: Bench, seed: int) -> None:
    """The node and the victims, or the words."""
    world, budgets = draw(seed)
    try:
        seen, gone, state = asyncio.run(_play(bench, world, budgets))
        pod = msgspec.convert(world.waiting[0] | {"status": {}}, Pod)
        pod.metadata.uid, pod.spec.priority = seen.metadata.uid, seen.spec.priority
        pod.spec.preemptionPolicy = seen.spec.preemptionPolicy
        found = ours(state, pod)
        told = next(one for one in seen.status.conditions if one.type == "PodScheduled")
        if found is None:
            assert told.status == "True"
            bench.tried["room"] += 1
        elif found.evictions is None:
            assert (told.message, gone) == (found.message, set())
            bench.tried["nobody"] += 1
        else:
            node = state.by_slot[found.evictions.slot].name
            victims = {placed.name for placed in found.evictions.victims}
            assert (seen.status.nominatedNodeName, gone) == (node, victims)
            assert told.message == found.message
            bench.tried["evicted"] += 1
    finally:
        asyncio.run(_clear(bench))
        bench.clear()


async def _clear(bench: Bench) -> None:
    async with Transport(bench.config, "preemption") as transport:
        for namespace in NAMESPACES:
            await transport.request("DELETE", BUDGETS.format(namespace))


def test_every_outcome_was_seen(bench: Bench) -> None:
    """Room without evictions, evictions, nobody to evict."""
    assert min(bench.tried[kind] for kind in ("room", "evicted", "nobody")) >= WORLDS // 10, bench.tried
