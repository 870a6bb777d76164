"""Every store that follows the API server, fed with poisons: the objects behind them are seen all the same."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry
from tests.api_server import running, until
from tests.scheduler.live import live

from cloudai_kube.events import Recorder
from cloudai_kube.objects import ConfigMap, Meta, Namespace, Node, Pod, PodDisruptionBudget
from cloudai_kube.reflector import Reflector
from cloudai_kube.storage_objects import (
    Claim,
    CsiDriver,
    CsiNode,
    CsiStorageCapacity,
    StorageClass,
    Volume,
    VolumeAttachment,
)
from cloudai_kube.workload_objects import ReplicaSet, ReplicationController, Service, StatefulSet
from cloudai_operator import cache, history
from cloudai_operator.metrics import OperatorMetrics
from cloudai_operator.reconcile import Rules
from cloudai_sandbox.poisons import deepened
from cloudai_scheduler.intake import NamespaceStore, NodeStore, PodStore
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.parameter_feed import ParameterFeed
from cloudai_scheduler.scheduler import Scheduler

STORAGE: Final = "/apis/storage.k8s.io/v1"
WIDE: Final = {f"k{number}": "v" for number in range(20_000)}
POISONS: Final[dict[str, dict[str, Any]]] = {
    "deep": {"metadata": {"managedFields": ["DEEP"]}, "spec": {"deep": "DEEP"}, "status": {"deep": "DEEP"}},
    "no metadata worth the name": {"metadata": 3},
    "wrong types": {"spec": 3, "status": "x", "data": [1], "parameters": 7, "drivers": "many"},
    "wide labels": {"metadata": {"labels": WIDE, "annotations": WIDE}},
    "wide amounts": {
        "status": {
            "allocatable": {f"a{number}.io/x": "9e999999" for number in range(5_000)},
            "capacity": {"storage": "-1"},
        },
        "spec": {"capacity": {"storage": "1e400"}, "resources": {"requests": {"storage": "many"}}},
    },
    "half surrogates": {"metadata": {"annotations": {"cloudai.dev/decision": '{"policy":"\\ud800"}', "a": "\\udfff"}}},
    "selectors of nothing": {
        "spec": {
            "selector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": []}] * 1_000},
            "nodeAffinity": {
                "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "X"}]}]}
            },
            "taints": [{"key": "", "effect": "Never"}] * 5_000,
        },
        "nodeTopology": {"matchLabels": WIDE},
        "allowedTopologies": [{"matchLabelExpressions": [{"key": "z", "values": ["a"] * 10_000}]}],
    },
    "absurd times": {"metadata": {"creationTimestamp": "+24:00", "deletionTimestamp": "never"}},
}


@dataclass
class Noting:
    """A store, and the names of what it took without an error."""

    store: Any
    names: list[str] = field(default_factory=list)

    def retain(self, listed: list[Meta]) -> None:
        """As the store."""
        self.store.retain(listed)

    def apply(self, event: str, item: Any) -> None:
        """As the store."""
        self.store.apply(event, item)
        self.names.append(item.metadata.name)


def stores(scheduler: Scheduler, recorder: Recorder) -> dict[str, tuple[str, type[Any], Any]]:
    """All of them: path, kind, store."""
    intake, storage, workloads = scheduler.intake, scheduler.state.storage, scheduler.state.workloads
    known = cache.Cache(lambda _uid: None, time.time)
    metrics = OperatorMetrics(CollectorRegistry())
    writer = history.HistoryWriter(None, metrics, lambda *_: None)  # type: ignore[arg-type]  # nothing is written here
    feed = ParameterFeed(lambda *_: None, recorder, SchedulerMetrics(CollectorRegistry()))
    return {
        "scheduler pods": ("/api/v1/pods", Pod, PodStore(intake)),
        "scheduler nodes": ("/api/v1/nodes", Node, NodeStore(intake)),
        "namespaces": ("/api/v1/namespaces", Namespace, NamespaceStore(intake)),
        "claims": ("/api/v1/persistentvolumeclaims", Claim, storage.claims),
        "volumes": ("/api/v1/persistentvolumes", Volume, storage.volumes),
        "storage classes": (f"{STORAGE}/storageclasses", StorageClass, storage.classes),
        "CSI nodes": (f"{STORAGE}/csinodes", CsiNode, storage.nodes),
        "CSI drivers": (f"{STORAGE}/csidrivers", CsiDriver, storage.drivers),
        "capacities": (f"{STORAGE}/csistoragecapacities", CsiStorageCapacity, storage.capacities),
        "attachments": (f"{STORAGE}/volumeattachments", VolumeAttachment, storage.attachments),
        "services": ("/api/v1/services", Service, workloads.services),
        "replication controllers": (
            "/api/v1/replicationcontrollers",
            ReplicationController,
            workloads.replication_controllers,
        ),
        "replica sets": ("/apis/apps/v1/replicasets", ReplicaSet, workloads.replica_sets),
        "stateful sets": ("/apis/apps/v1/statefulsets", StatefulSet, workloads.stateful_sets),
        "budgets": ("/apis/policy/v1/poddisruptionbudgets", PodDisruptionBudget, scheduler.state.budgets),
        "parameters": ("/api/v1/configmaps", ConfigMap, feed),
        "operator pods": ("/api/v1/pods", Pod, cache.PodStore(known)),
        "operator nodes": ("/api/v1/nodes", Node, cache.NodeStore(known)),
        "history": ("/api/v1/pods", Pod, history.PodStore(writer, lambda: Rules("cloudai-scheduler"))),
    }


def poisoned(name: str, number: int) -> dict[str, Any]:
    """One of the poisons, with a name that can be told."""
    poison = POISONS[name]
    if poison.get("metadata") == 3:
        return {"metadata": 3}
    meta = {
        "name": f"bad-{number}",
        "namespace": "attacker",
        "uid": f"uid-{number}",
        "resourceVersion": str(number + 10),
    }
    return {**poison, "metadata": {**meta, **poison.get("metadata", {})}}


NAMES: Final = (
    "scheduler pods", "scheduler nodes", "namespaces", "claims", "volumes", "storage classes", "CSI nodes",
    "CSI drivers", "capacities", "attachments", "services", "replication controllers", "replica sets", "stateful sets",
    "budgets", "parameters", "operator pods", "operator nodes", "history",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_no_poison_hides_what_comes_behind_it(name: str) -> None:
    """Neither in a list nor in a watch; and the scheduler that keeps the store goes on."""
    async with running() as (server, transport), live(server, transport) as here:
        path, kind, store = stores(here.scheduler, Recorder(transport, "test"))[name]
        items = [poisoned(poison, number) for number, poison in enumerate(POISONS)]
        good = {"metadata": {"name": "listed", "namespace": "ns", "uid": "uid-listed", "resourceVersion": "50"}}
        listed = {"metadata": {"resourceVersion": "60"}, "items": [*items, good]}
        server.raw[path] = deepened(json.dumps(listed).encode(), 2_000)
        noting = Noting(store)
        reflector: Reflector[Any] = Reflector(transport, path, kind, noting)
        before = server.watching(path)
        following = asyncio.create_task(reflector.run())
        await until(lambda: "listed" in noting.names, 10)
        await until(lambda: server.watching(path) > before, 10)
        for item in items:
            server.tell_raw(path, deepened(json.dumps({"type": "MODIFIED", "object": item}).encode(), 2_000))
        late = {"metadata": {**good["metadata"], "name": "late", "uid": "uid-late", "resourceVersion": "70"}}
        server.tell(path, "ADDED", late)
        await until(lambda: "late" in noting.names, 10)
        assert not following.done()
        following.cancel()
