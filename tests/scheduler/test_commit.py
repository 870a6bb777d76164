"""Volumes before the bind, on a real HTTP server."""

import asyncio
import time
from typing import Any

from tests.api_server import status, until
from tests.scheduler.live import CLAIMS, CLASSES, PODS, VOLUMES, Live, a_pod, cluster

SELECTED = "volume.kubernetes.io/selected-node"


def claim(here: Live, name: str, **fields: Any) -> None:
    """A claim of the class `late`."""
    spec = {"storageClassName": "late", "accessModes": ["ReadWriteOnce"], **fields.pop("spec", {})}
    here.server.put(CLAIMS, {"metadata": {"name": name, "namespace": "ns", **fields}, "spec": spec})


def a_class(here: Live, provisioner: str = "disk.csi") -> None:
    """The class `late`."""
    body = {"metadata": {"name": "late"}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"}
    here.server.put(CLASSES, body)


def volume(here: Live, name: str, claim: str = "") -> None:
    """A volume of the class; with `claim` it is bound to that one."""
    reference = {"claimRef": {"namespace": "ns", "name": claim, "uid": f"uid-{claim}"}} if claim else {}
    spec = {"storageClassName": "late", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, **reference}
    phase = "Bound" if claim else "Available"
    here.server.put(VOLUMES, {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}})


def user(here: Live, name: str, claim: str) -> None:
    """A pod that uses a claim."""
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]
    here.server.put(PODS, a_pod(name, spec={"volumes": volumes}))


def selected(here: Live, name: str) -> str:
    """The node that a claim is to be provisioned for."""
    notes: dict[str, str] = here.server.objects[CLAIMS][f"ns/{name}"]["metadata"].get("annotations", {})
    return notes.get(SELECTED, "")


def provide(here: Live, name: str) -> None:
    """What the provisioner and the controller do."""
    volume(here, f"made-{name}", name)
    notes = {SELECTED: selected(here, name), "pv.kubernetes.io/bind-completed": "yes"}
    claim(here, name, annotations=notes, spec={"volumeName": f"made-{name}"})


async def test_pods_that_wait_for_volumes_hold_up_nobody() -> None:
    """They do not use up places for Bindings: there is one only, and the other pod is bound."""
    async with cluster("a", bind_connections=1) as here:
        a_class(here)
        for name in ("x", "y"):
            claim(here, name)
            user(here, f"pod-{name}", name)
        await until(lambda: bool(selected(here, "x") and selected(here, "y")))
        here.server.put(PODS, a_pod("other"))
        await here.bound("other")
        assert here.node_of("pod-x") == here.node_of("pod-y") == ""
        assert len(here.scheduler.commit.preparing) == 2
        assert here.server.objects[PODS]["ns/pod-x"]["status"]["nominatedNodeName"] == "a"
        provide(here, "x")
        await here.bound("pod-x")
        assert here.node_of("pod-y") == ""


async def test_a_write_that_is_refused_gives_everything_back() -> None:
    """The volume is promised to nobody, the pod's room is free, and it is tried again."""
    async with cluster("a") as here:
        a_class(here, "kubernetes.io/no-provisioner")
        here.server.fail("PATCH /api/v1/persistentvolumes", lambda _request: status(409, "Conflict", "changed"))
        volume(here, "v")
        claim(here, "x")
        user(here, "pod-x", "x")
        await until(lambda: "FailedScheduling" in here.events("pod-x"))
        assert here.scheduler.state.storage.kept_for("v") is None
        await until(lambda: "claimRef" in here.server.objects[VOLUMES]["/v"]["spec"])
        notes = {"pv.kubernetes.io/bind-completed": "yes"}
        claim(here, "x", annotations=notes, spec={"volumeName": "v"})
        await here.bound("pod-x")


async def test_a_volume_that_never_comes() -> None:
    """After its time the pod says which claim it waits for, and is decided on again."""
    async with cluster("a") as here:
        here.scheduler.commit.volumes.timeout_seconds = 0.3
        a_class(here)
        claim(here, "x")
        user(here, "pod-x", "x")
        await until(lambda: "not bound after 0 s: x" in here.condition("pod-x").get("message", ""))
        assert here.condition("pod-x")["reason"] == "SchedulerError"
        here.scheduler.commit.volumes.timeout_seconds = 30.0
        await until(lambda: bool(here.scheduler.commit.preparing))
        provide(here, "x")
        await here.bound("pod-x")


async def test_a_deleted_pod_is_not_waited_for() -> None:
    """Its room is given back at once."""
    async with cluster("a") as here:
        a_class(here)
        claim(here, "x")
        user(here, "pod-x", "x")
        await until(lambda: bool(selected(here, "x")))
        here.server.remove(PODS, "pod-x")
        await until(lambda: not here.scheduler.commit.preparing)
        assert here.scheduler.state.pods == {}
        assert here.scheduler.state.storage.selected_node(here.scheduler.state.storage.claims.items["ns", "x"]) == "a"


async def test_the_process_does_not_wait_for_volumes_when_it_stops() -> None:
    """The next leader finds the claim tied."""
    async with cluster("a") as here:
        a_class(here)
        claim(here, "x")
        user(here, "pod-x", "x")
        await until(lambda: bool(selected(here, "x")))
        begun = time.monotonic()
        here.scheduler.stop.set()
        here.scheduler.wake()
        await until(lambda: not here.scheduler.commit.preparing)
        await asyncio.sleep(0)
        assert time.monotonic() - begun < 2.0


async def test_a_pod_that_waits_for_volumes_makes_room_and_waits_on() -> None:
    """It has no node on the API server yet: nobody deletes it, and it comes after the more important one."""
    async with cluster("a") as here:
        a_class(here)
        claim(here, "x")
        user(here, "pod-x", "x")
        await until(lambda: bool(selected(here, "x")))
        body = here.server.objects[PODS]["ns/pod-x"]
        here.server.put(PODS, {**body, "metadata": {**body["metadata"], "labels": {"changed": "meanwhile"}}})
        container = {"name": "c", "image": "work:1", "resources": {"requests": {"cpu": "8"}}}
        here.server.put(PODS, a_pod("high", spec={"containers": [container], "priority": 100}))
        await here.bound("high")
        assert not any(asked.startswith("DELETE") for asked in here.server.requests)
        assert (here.node_of("pod-x"), "ns/pod-x" in here.server.objects[PODS]) == ("", True)
        assert here.scheduler.queue.entries["uid-pod-x"].pod.metadata.labels == {"changed": "meanwhile"}
        await until(lambda: "Preempted" in here.events("pod-x"))
        here.server.remove(PODS, "high")
        await until(lambda: len(here.scheduler.commit.preparing) == 1, 10)
        provide(here, "x")
        await here.bound("pod-x")
