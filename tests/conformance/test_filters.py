"""Our filters against kube-scheduler's own: the same nodes for every pod, and the same words.

`CLOUDAI_CONFORMANCE_WORLDS` sets how many random clusters each family gets; `make conformance` asks for many. A case
that differs is made as small as it goes and written to `build/conformance`.
"""

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from tests.conformance import peer, shrinking, storage
from tests.conformance.peer import RECORDED, Recorder
from tests.conformance.worlds import FAMILIES, NAMESPACES, NEVER, World, draw

from cloudai_kube import connection
from cloudai_kube.errors import ConflictError
from cloudai_kube.objects import Namespace, Node, Pod
from cloudai_kube.storage_objects import (
    Claim,
    CsiDriver,
    CsiNode,
    CsiStorageCapacity,
    StorageClass,
    Volume,
    VolumeAttachment,
)
from cloudai_kube.transport import MERGE_PATCH, Transport
from cloudai_rts.load_history import LoadHistory
from cloudai_rts.ordering import Standing
from cloudai_rts.parameters import Document
from cloudai_rts.policy import Policy
from cloudai_rts.task import Task
from cloudai_sandbox.control_plane import ControlPlane
from cloudai_sandbox.sandbox import Sandbox
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.cluster.storage import Storage
from cloudai_scheduler.cluster.table import Table
from cloudai_scheduler.cycle import Surroundings, view_of
from cloudai_scheduler.filters import (
    host_ports,
    inter_pod_affinity,
    node_affinity,
    node_declared_features,
    node_volume_limits,
    pod_topology_spread,
    resources,
    volume_binding,
    volume_restrictions,
    volume_zone,
)
from cloudai_scheduler.podclass import ClassTable
from cloudai_scheduler.queue import QueuedPod
from cloudai_scheduler.walk import fit_error, walk

USUAL_WORLDS: Final = 2
WORLDS: Final = int(os.environ.get("CLOUDAI_CONFORMANCE_WORLDS", USUAL_WORLDS))
PREEMPTION: Final = re.compile(r" (?:preemption: .*)?$")
SAID: Final = re.compile(r"\d+ (node\(s\)[^,.]*|Insufficient [^,.]*|Too many pods)")
REASONS: Final = {
    "node(s) were unschedulable",
    "node(s) had untolerated taint(s)",
    node_affinity.REASON,
    node_affinity.ADDED_REASON,
    host_ports.REASON,
    resources.TOO_MANY_PODS,
    "Insufficient cpu",
    "Insufficient memory",
    "Insufficient nvidia",
    pod_topology_spread.REASON,
    pod_topology_spread.MISSING_REASON,
    inter_pod_affinity.AFFINITY_REASON,
    inter_pod_affinity.ANTI_AFFINITY_REASON,
    inter_pod_affinity.EXISTING_REASON,
    node_declared_features.REASON,
    volume_restrictions.DISK_REASON,
    volume_restrictions.ONCE_POD_REASON,
    node_volume_limits.REASON,
    volume_binding.NODE_REASON,
    volume_binding.BIND_REASON,
    volume_binding.SPACE_REASON,
    volume_zone.REASON,
}
SECONDS: Final = 60.0
SYNC_SECONDS: Final = 0.7
"""What kube-scheduler's watches may lag behind each other."""


class Bench:
    """A control plane with kube-scheduler and nothing else that acts."""

    def __init__(self, plane: ControlPlane, recorder: Recorder) -> None:
        self.plane = plane
        self.recorder = recorder
        self.config = connection.load(str(plane.kubeconfig))
        self.tried: Counter[str] = Counter()
        self.passing: Counter[str] = Counter()
        self.words: set[str] = set()

    def judge(self, world: World) -> dict[str, tuple[frozenset[str], str, Pod]]:
        """What kube-scheduler says of each waiting pod: the nodes that passed, its message, the pod as stored."""
        return asyncio.run(self._judge(world))

    async def _judge(self, world: World) -> dict[str, tuple[frozenset[str], str, Pod]]:
        self.recorder.passed.clear()
        async with Transport(self.config, "conformance", 16) as transport:
            await asyncio.gather(*(transport.request("POST", "/api/v1/nodes", node) for node in world.nodes))
            for path, item in world.stored:
                await store(transport, path, item)
            await asyncio.gather(*(_create(transport, one) for one in world.placed))
            await asyncio.sleep(SYNC_SECONDS)
            await asyncio.gather(*(_create(transport, one) for one in world.waiting))
            said: dict[str, tuple[frozenset[str], str, Pod]] = {}
            end = asyncio.get_running_loop().time() + SECONDS
            while len(said) < len(world.waiting):
                assert asyncio.get_running_loop().time() < end, "kube-scheduler has not judged all pods"
                await asyncio.sleep(0.2)
                for item in await _list(transport, "/api/v1/pods"):
                    one = msgspec.convert(item, Pod)
                    told = [c for c in one.status.conditions if c.type == "PodScheduled" and c.status == "False"]
                    if one.metadata.name.startswith("waiting-") and told:
                        passed = self.recorder.passed.get(one.metadata.uid, frozenset())
                        said[one.metadata.name] = (passed, told[0].message, one)
            return said

    def state(self) -> ClusterState:
        """Our state of the same cluster, from the same objects."""
        return asyncio.run(self._state())

    async def _state(self) -> ClusterState:
        async with Transport(self.config, "conformance") as transport:
            return await self.read(transport)

    async def read(self, transport: Transport) -> ClusterState:
        """Our state of the cluster as it is now."""
        state = ClusterState()
        for raw in await self.items(transport, "/api/v1/namespaces"):
            one = msgspec.convert(raw, Namespace)
            state.neighbours.put_namespace(one.metadata.name, one.metadata.labels)
        for path, kind, table in _tables(state.storage):
            for raw in await self.items(transport, path):
                table.apply("ADDED", msgspec.convert(raw, kind))
        for raw in await self.items(transport, "/api/v1/nodes"):
            state.put_node(msgspec.convert(raw, Node))
        for raw in await self.items(transport, "/api/v1/pods"):
            pod = msgspec.convert(raw, Pod)
            if pod.spec.nodeName:
                state.put_pod(pod)
        return state

    @staticmethod
    async def items(transport: Transport, path: str) -> list[dict[str, Any]]:
        """All objects of a collection."""
        return await _list(transport, path)

    def clear(self) -> None:
        """Remove all nodes and pods."""

        async def delete() -> None:
            at_once = {"gracePeriodSeconds": "0"}
            async with Transport(self.config, "conformance") as transport:
                for namespace in NAMESPACES:
                    await transport.request("DELETE", f"/api/v1/namespaces/{namespace}/pods", params=at_once)
                    await _remove(transport, storage.CLAIMS.format(namespace))
                await transport.request("DELETE", "/api/v1/nodes")
                for path in storage.COLLECTIONS:
                    await _remove(transport, path)
                for path in ("/api/v1/pods", "/api/v1/nodes"):
                    assert await _list(transport, path) == []

        asyncio.run(delete())


def _tables(kept: Storage) -> list[tuple[str, Any, Table[Any]]]:
    return [
        ("/api/v1/persistentvolumeclaims", Claim, kept.claims),
        ("/api/v1/persistentvolumes", Volume, kept.volumes),
        (f"{storage.API}/storageclasses", StorageClass, kept.classes),
        (f"{storage.API}/csinodes", CsiNode, kept.nodes),
        (f"{storage.API}/csidrivers", CsiDriver, kept.drivers),
        (f"{storage.API}/csistoragecapacities", CsiStorageCapacity, kept.capacities),
        (f"{storage.API}/volumeattachments", VolumeAttachment, kept.attachments),
    ]


async def _create(transport: Transport, pod: dict[str, Any]) -> None:
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods"
    try:
        await transport.request("POST", path, pod)
        if "status" in pod:
            body = {"status": pod["status"]}
            own = f"{path}/{pod['metadata']['name']}/status"
            await transport.request("PATCH", own, body, content_type=MERGE_PATCH)
    except ConflictError as error:
        raise AssertionError(f"{pod['metadata']['name']}: {error}") from error


async def store(transport: Transport, path: str, item: dict[str, Any]) -> None:
    """Create an object, and write its status."""
    await transport.request("POST", path, item)
    if "status" in item:
        name = item["metadata"]["name"]
        body = {"status": item["status"]}
        await transport.request("PATCH", f"{path}/{name}/status", body, content_type=MERGE_PATCH)


async def _remove(transport: Transport, path: str) -> None:
    """Delete a collection whose objects are protected while somebody uses them."""
    for item in await _list(transport, path):
        body = {"metadata": {"finalizers": None}}
        await transport.request("PATCH", f"{path}/{item['metadata']['name']}", body, content_type=MERGE_PATCH)
    await transport.request("DELETE", path)


async def _list(transport: Transport, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(await transport.request("GET", path))["items"]
    return items


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Started once."""
    folder = tmp_path_factory.mktemp("conformance")
    with Sandbox(folder, run=(), kubelets=False, namespaces=("default", *NAMESPACES)) as sandbox:
        plane = sandbox.plane
        for namespace, labels in NAMESPACES.items():
            for key, value in labels.items():
                plane.kubectl("label", "namespace", namespace, f"{key}={value}")
        file = folder / "never.json"
        metadata = {"name": NEVER}
        kind = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": metadata}
        file.write_text(json.dumps({**kind, "value": 1000, "preemptionPolicy": "Never"}))
        plane.kubectl("create", f"--filename={file}")
        with peer.running(plane, folder) as recorder:
            yield Bench(plane, recorder)


def ours(state: ClusterState, classes: ClassTable, pod: Pod) -> tuple[frozenset[str], str]:
    """What our filters say of a pod: the nodes that pass, and the message if the extender then refuses them."""
    around = Surroundings(state, Rejections(), LoadHistory(), Policy(state.fleet, Document()))
    pod_class = classes.of(pod)
    pod_class.refresh(state)
    entry = QueuedPod(pod, pod_class, Task("t", 1.0, 1.0), Standing(0, None, 0.0, 0.0), 0, 0.0, "")
    view = view_of(around, entry, 0.0)
    walked = walk(view, pod_class)
    names = frozenset(name for slot, name in enumerate(state.fleet.names) if walked.feasible[slot])
    return names, fit_error(view, pod_class, walked, {RECORDED: len(names)})


def differences(bench: Bench, said: dict[str, tuple[frozenset[str], str, Pod]]) -> list[dict[str, Any]]:
    """The pods of which kube-scheduler says something else than we do."""
    state, classes = bench.state(), ClassTable({peer.PROFILED: peer.PROFILE})
    differing = []
    for name, (passed, message, stored) in said.items():
        found, text = ours(state, classes, stored)
        wanted = PREEMPTION.sub("", message)
        if (found, text) != (passed, wanted):
            differing.append({"pod": name, "kube": [sorted(passed), wanted], "ours": [sorted(found), text]})
    return differing


def _smallest(bench: Bench, world: World, differing: list[dict[str, Any]]) -> tuple[World, list[dict[str, Any]]]:
    """The first pod that differs, in the smallest cluster in which it does."""
    alone = [pod for pod in world.waiting if pod["metadata"]["name"] == differing[0]["pod"]]
    newest = differing[:1]

    def differs(smaller: World) -> bool:
        nonlocal newest
        try:
            there = differences(bench, bench.judge(smaller))
        finally:
            bench.clear()
        newest = there or newest
        return bool(there)

    return shrinking.shrunk(replace(world, waiting=alone), differs), newest


@pytest.mark.parametrize("seed", range(WORLDS))
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_nodes_and_the_same_words(bench: Bench, family: str, seed: int) -> None:
    """For each pod of a random cluster; a family's own cases must have both passing and failing nodes."""
    world = draw(seed, family)
    try:
        said = bench.judge(world)
        differing = differences(bench, said)
        if differing:
            bench.clear()
            _write(family, seed, *_smallest(bench, world, differing))
        assert not differing
        bench.tried[family] += len(said) * len(world.nodes)
        bench.passing[family] += sum(len(passed) for passed, _, _ in said.values())
        for _, message, _ in said.values():
            bench.words.update(SAID.findall(message))
    finally:
        bench.clear()


def test_the_worlds_try_something(bench: Bench) -> None:
    """Of the nodes of each family some pass and some fail, and every reason that a filter has was seen."""
    shares = {family: bench.passing[family] / tried for family, tried in bench.tried.items()}
    assert set(shares) == set(FAMILIES)
    assert all(0.05 < share < 0.95 for share in shares.values()), shares
    assert bench.words >= REASONS


def _write(family: str, seed: int, world: World, differing: list[dict[str, Any]]) -> None:
    folder = Path("build/conformance")
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "differing": differing,
        "nodes": world.nodes,
        "placed": world.placed,
        "waiting": world.waiting,
        "stored": world.stored,
    }
    (folder / f"{family}-{seed}.json").write_text(json.dumps(content, indent=1))
