"""Pods that people wrote: Kubernetes' own manifests, on three fleets, judged by kube-scheduler and by us.

They are read from the sources that kube-scheduler is built from: the templates of its performance tests, and the
examples of its end-to-end tests.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.conformance.test_filters import USUAL_WORLDS, WORLDS, Bench, bench, differences
from tests.conformance.worlds import HOST, NEVER, ZONE, Json, World

from cloudai_kube.errors import RefusedError
from cloudai_kube.objects import Container, PodSpec
from cloudai_kube.transport import Transport
from cloudai_sandbox import binaries
from cloudai_scheduler.filters import unsupported

__all__ = ["bench"]
FOLDERS: Final = ("test/integration/scheduler_perf", "test/e2e/testing-manifests")
_TEMPLATED: Final = re.compile(r"\{\{[^}]*\}\}")
_LATER: Final = frozenset({"resourceClaims", "schedulingGroup", "schedulingGates", "nodeName", "runtimeClassName"})
"""Fields of pods that wait for what this version does not place, that are placed already, or need another object."""
_UNPLACED: Final = frozenset({"securityContext", "volumeMounts", "volumeDevices"})
"""Fields of containers that no filter reads, and that the API server refuses without a claim template or a right."""
FLEETS: Final = ("GPUs and taints", "one kind", "small ones")
"""All of them with `make conformance`, the first one always."""
BATCH: Final = 60
LEAST: Final = 70
"""Pods that the sources have at least, or they are not where they were."""


def manifests() -> Iterator[Json]:
    """Labels and spec of every pod, and of the pods of every controller."""
    root = binaries.sources()
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*.yaml")):
            yield from _pods(file)


def _pods(file: Path) -> Iterator[Json]:
    try:
        documents = list(yaml.safe_load_all(_TEMPLATED.sub("1", file.read_text(encoding="utf-8"))))
    except yaml.YAMLError:
        return  # made of more than values that are filled in
    for document in documents:
        if not isinstance(document, dict) or not isinstance(document.get("spec"), dict):
            continue
        pod = document if document.get("kind") == "Pod" else document["spec"].get("template")
        if isinstance(pod, dict) and (pod.get("spec") or {}).get("containers") and not _LATER & pod["spec"].keys():
            yield {"labels": (pod.get("metadata") or {}).get("labels", {}), "spec": pod["spec"]}


def a_node(number: int, room: dict[str, str], **parts: Any) -> Json:
    """A node of one of three zones."""
    name = f"node-{number}"
    labels = {HOST: name, ZONE: f"zone{number % 3 + 1}", "kubernetes.io/os": "linux", **parts.get("labels", {})}
    allocatable = {"pods": "110", **room}
    status = {"allocatable": allocatable, "capacity": allocatable, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name, "labels": labels}, "spec": parts.get("spec", {}), "status": status}


def fleet(name: str) -> list[Json]:
    """Machines of one kind; with GPUs and taints; small ones, some of them cordoned."""
    if name == "one kind":
        return [a_node(number, {"cpu": "4", "memory": "32Gi"}) for number in range(8)]
    if name == "GPUs and taints":
        taints = [[], [{"key": "gpu", "effect": "NoSchedule"}], [{"key": "node-role", "effect": "PreferNoSchedule"}]]
        gpus = {"cpu": "32", "memory": "256Gi", "nvidia.com/gpu": "8"}
        return [a_node(number, gpus, spec={"taints": taints[number % 3]}) for number in range(9)]
    sizes = ({"cpu": "150m", "memory": "300Mi"}, {"cpu": "1", "memory": "600Mi"}, {"cpu": "2", "memory": "200Mi"})
    return [a_node(number, sizes[number % 3], spec={"unschedulable": number % 4 == 0}) for number in range(9)]


def a_pod(name: str, manifest: Json, **more: Any) -> Json:
    """A pod as written, but for its name and how it is scheduled."""
    spec = {**manifest["spec"], "schedulerName": "default-scheduler", **more}
    for gone in ("priority", "serviceAccount", "serviceAccountName"):
        spec.pop(gone, None)
    for kind in spec.keys() & {"containers", "initContainers"}:
        spec[kind] = [{key: one[key] for key in one.keys() - _UNPLACED} for one in spec[kind]]
    return {"metadata": {"name": name, "namespace": "blue", "labels": manifest["labels"]}, "spec": spec}


async def accepted(bench: Bench, manifests: list[Json]) -> list[Json]:
    """Those that are whole pods: of some the benchmark makes up more than a value."""
    usable = []
    async with Transport(bench.config, "conformance") as transport:
        for manifest in manifests:
            body = a_pod("tried", manifest, priorityClassName=NEVER)
            try:
                await transport.request("POST", "/api/v1/namespaces/blue/pods", body, {"dryRun": "All"})
            except RefusedError:
                continue
            usable.append(manifest)
    return usable


@pytest.mark.parametrize("name", FLEETS if WORLDS > USUAL_WORLDS else FLEETS[:1])
def test_written_pods_are_judged_alike(bench: Bench, name: str) -> None:
    """Each of them against a cluster in which every third one runs already."""
    usable = asyncio.run(accepted(bench, list(manifests())))
    assert len(usable) >= LEAST
    nodes = fleet(name)
    names = [node["metadata"]["name"] for node in nodes]
    placed = [
        a_pod(f"placed-{number}", one, nodeName=names[number % len(names)]) for number, one in enumerate(usable[::3])
    ]
    for begin in range(0, len(usable), BATCH):
        waiting = [
            a_pod(f"waiting-{begin + number}", one, priorityClassName=NEVER)
            for number, one in enumerate(usable[begin : begin + BATCH])
        ]
        try:
            assert differences(bench, bench.judge(World(nodes, placed, waiting))) == []
        finally:
            bench.clear()


def test_every_field_of_a_pod_is_known() -> None:
    """Each is read, or asks nothing of a node: of a field that is new somebody has to decide."""
    types = binaries.sources("k8s.io/api") / "core/v1/types.go"
    text = types.read_text(encoding="utf-8")
    for kind, irrelevant, read, least in (
        ("PodSpec", unsupported.IRRELEVANT, PodSpec, 40),
        ("Container", unsupported.IRRELEVANT_IN_CONTAINERS, Container, 20),
    ):
        body = text[text.index(f"\ntype {kind} struct {{") :].partition("\n}")[0]
        fields = set(re.findall(r'^\t[A-Z]\w+ .*`json:"([a-zA-Z]+)', body, re.MULTILINE))
        assert len(fields) > least
        assert fields - irrelevant - set(read.__struct_fields__) == set()
