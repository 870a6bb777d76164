"""Where plain pods go: kube-scheduler's choice must be one of those that we score best.

Pods come one after another, as the choice among equals is drawn. Nodes with images, soft taints and labels; pods with
wishes of every kind, some of them a ReplicaSet's, some behind Services.
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
from tests.conformance.worlds import HOST, NAMESPACES, RACK, ZONE, Json

from cloudai_kube.objects import Pod
from cloudai_kube.transport import MERGE_PATCH, Transport
from cloudai_kube.workload_objects import ReplicaSet, Service
from cloudai_sandbox.sandbox import Sandbox
from cloudai_scheduler import preferences
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.cluster.table import Table
from cloudai_scheduler.cycle import choice_of
from cloudai_scheduler.filters.base import View
from cloudai_scheduler.podclass import ClassTable
from cloudai_scheduler.profile import STOCK
from cloudai_scheduler.walk import walk

WORLDS: Final = 2 * int(os.environ.get("CLOUDAI_CONFORMANCE_WORLDS", "2"))
PODS: Final = 12
SECONDS: Final = 20.0
PROFILES: Final = {peer.PROFILED: peer.PROFILE}
SETS: Final = "/apis/apps/v1/namespaces/{}/replicasets"
SERVICES: Final = "/api/v1/namespaces/{}/services"
IMAGES: Final = {"registry.example/tiny:1": 9 << 20, "registry.example/torch:2": 5 << 30, "vllm": 900 << 20}


def a_node(rng: random.Random, number: int) -> Json:
    """A node with room, some images, perhaps a soft taint."""
    name = f"node-{number}"
    labels = {HOST: name, **({ZONE: rng.choice("abc")} if rng.random() < 0.9 else {}), RACK: rng.choice("12")}
    taints = [{"key": "old", "effect": "PreferNoSchedule"}] if rng.random() < 0.3 else []
    room = {"cpu": rng.choice(["4", "8", "32"]), "memory": rng.choice(["8Gi", "32Gi"]), "pods": "110"}
    chosen = rng.sample(sorted(IMAGES), rng.randint(0, 3))
    images = [{"names": [_tagged(one)], "sizeBytes": IMAGES[one]} for one in chosen]
    status = {
        "allocatable": room,
        "capacity": room,
        "images": images,
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}, "status": status}


def _tagged(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def a_pod(rng: random.Random, name: str, sets: dict[str, str]) -> Json:
    """A pod with wishes."""
    app = rng.choice(["web", "db"])
    requests = rng.choice([{}, {"cpu": "100m"}, {"cpu": "500m", "memory": "1Gi"}, {"memory": "2Gi"}])
    spec: Json = {
        "containers": [{"name": "c", "image": rng.choice(sorted(IMAGES)), "resources": {"requests": requests}}]
    }
    affinity: Json = {}
    if rng.random() < 0.4:
        expression = {"key": rng.choice([ZONE, RACK]), "operator": "In", "values": [rng.choice(["a", "b", "1"])]}
        preference = {"matchExpressions": [expression]}
        wish = {"weight": rng.randint(1, 100), "preference": preference}
        affinity["nodeAffinity"] = {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}
    for kind in ("podAffinity", "podAntiAffinity"):
        if rng.random() < 0.4:
            term = {"topologyKey": rng.choice([ZONE, HOST, RACK]), "labelSelector": {"matchLabels": {"app": app}}}
            affinity[kind] = {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": rng.randint(1, 100), "podAffinityTerm": term}
                ]
            }
    if affinity:
        spec["affinity"] = affinity
    if rng.random() < 0.3:
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": rng.randint(1, 3),
                "topologyKey": rng.choice([ZONE, HOST, RACK]),
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app": app}},
            }
        ]
    if rng.random() < 0.3:
        spec["tolerations"] = [{"key": "old", "operator": "Exists"}]
    if rng.random() < 0.3:
        spec["schedulerName"] = peer.PROFILED
    labels = {"app": app, **({"tier": rng.choice(["front", "back"])} if rng.random() < 0.6 else {})}
    meta: Json = {"name": name, "namespace": "blue", "labels": labels}
    if rng.random() < 0.5:
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app, "uid": sets[app], "controller": True}
        meta["ownerReferences"] = [owner]
    return {"metadata": meta, "spec": spec}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Started once: kube-scheduler that binds."""
    folder = tmp_path_factory.mktemp("preferences")
    with (
        Sandbox(folder, run=(), kubelets=False, namespaces=("default", *NAMESPACES)) as sandbox,
        peer.running(sandbox.plane, folder, records=False) as recorder,
    ):
        yield Bench(sandbox.plane, recorder)


def best(state: ClusterState, pod: Pod) -> set[str]:
    """The nodes with the highest sum."""
    profile = PROFILES.get(pod.spec.schedulerName, STOCK)
    pod_class = ClassTable(PROFILES).of(pod)
    pod_class.refresh(state)
    verdicts = pod_class.verdicts
    view = View(state, Rejections(), pod, verdicts.affine, verdicts.tolerated, 0.0)
    choice = choice_of(view, pod_class, walk(view, pod_class).feasible)
    totals = preferences.totals(preferences.wishes_of(pod, profile), choice)
    return {state.fleet.names[slot] for slot in choice.slots[totals == totals.max()]}


async def _play(bench: Bench, seed: int) -> list[tuple[str, str, set[str]]]:
    """Each pod, where kube-scheduler put it, and our best nodes."""
    rng = random.Random(f"preferences-{seed}")
    results: list[tuple[str, str, set[str]]] = []
    async with Transport(bench.config, "preferences", 16) as transport:
        for number in range(rng.randint(3, 9)):
            await transport.request("POST", "/api/v1/nodes", a_node(rng, number))
        sets: dict[str, str] = {}
        for app in ("web", "db"):
            labels = {"app": app}
            template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
            body = {"metadata": {"name": app}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
            made = msgspec.json.decode(await transport.request("POST", SETS.format("blue"), body))
            sets[app] = made["metadata"]["uid"]
        for name, selector in (("web", {"app": "web"}), ("front", {"app": "web", "tier": "front"})):
            if rng.random() < 0.6:
                service = {"metadata": {"name": name}, "spec": {"selector": selector, "ports": [{"port": 80}]}}
                await transport.request("POST", SERVICES.format("blue"), service)
        await asyncio.sleep(0.7)
        for number in range(PODS):
            state = await bench.read(transport)
            await _read_workloads(bench, transport, state)
            raw = a_pod(rng, f"pod-{number}", sets)
            path = "/api/v1/namespaces/blue/pods"
            pod = msgspec.json.decode(await transport.request("POST", path, raw), type=Pod)
            node = await _node_of(transport, f"{path}/{pod.metadata.name}")
            results.append((pod.metadata.name, node, best(state, pod)))
            await asyncio.sleep(0.15)
    return results


async def _read_workloads(bench: Bench, transport: Transport, state: ClusterState) -> None:
    """Services and ReplicaSets of the API server."""
    kinds: list[tuple[str, type[Any], Table[Any]]] = [
        (SERVICES, Service, state.workloads.services),
        (SETS, ReplicaSet, state.workloads.replica_sets),
    ]
    for path, kind, table in kinds:
        for raw in await bench.items(transport, path.format("blue")):
            table.apply("ADDED", msgspec.convert(raw, kind))


async def _node_of(transport: Transport, path: str) -> str:
    end = asyncio.get_running_loop().time() + SECONDS
    while True:
        seen = await transport.get(path, Pod)
        if seen.spec.nodeName:
            return seen.spec.nodeName
        assert asyncio.get_running_loop().time() < end, f"{path}: {[one.message for one in seen.status.conditions]}"
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_the_same_place(bench: Bench, seed: int) -> None:
    """For each pod of a sequence."""
    try:
        results = asyncio.run(_play(bench, seed))
        assert [(name, node) for name, node, nodes in results if node not in nodes] == []
        bench.tried["pods"] += len(results)
        bench.tried["decided"] += sum(len(nodes) == 1 for _, _, nodes in results)
    finally:
        asyncio.run(_clear(bench))
        bench.clear()


async def _clear(bench: Bench) -> None:
    async with Transport(bench.config, "preferences") as transport:
        body = {"metadata": {"finalizers": None}}
        for raw in await bench.items(transport, SETS.format("blue")):
            path = f"{SETS.format('blue')}/{raw['metadata']['name']}"
            await transport.request("PATCH", path, body, content_type=MERGE_PATCH)
        await transport.request("DELETE", SETS.format("blue"))
        await transport.request("DELETE", SERVICES.format("blue"))


def test_the_scores_tell_nodes_apart(bench: Bench) -> None:
    """Most choices are not among equals."""
    assert bench.tried["decided"] > 0.6 * bench.tried["pods"], bench.tried
