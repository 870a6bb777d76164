"""Simulated kubelets: they admit or reject pods as real ones do, run them for their true time, and report.

All kubelets of a fleet share one process and one watch. Faults are asked for on the Node object, as annotation
`sandbox.cloudai.dev/fault`: `reject` (refuses every pod), `slow=3` (three times as slow), `xid=79` (its exporter
reports a GPU error), `vanish` (it is gone).
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from cloudai_kube.demand import Amounts, requests_of
from cloudai_kube.errors import ConflictError, FormatError, KubeError, NotFoundError, RefusedError
from cloudai_kube.objects import Meta, Named, Node, Pod, PodStatus
from cloudai_kube.reflector import Reflector
from cloudai_kube.transport import MERGE_PATCH, STRATEGIC_PATCH, Transport
from cloudai_rts import contract
from cloudai_rts.contract import CPU, MEMORY, PODS, STORAGE
from cloudai_rts.traces import FleetNode, Speeds
from cloudai_sandbox import node_report, pod_status
from cloudai_sandbox.exporter import PodUsage, Usage
from cloudai_sandbox.machine import Machine, Work

ANNOTATION_RUNTIME: Final = "sandbox.cloudai.dev/runtime-seconds"
ANNOTATION_EXIT_CODES: Final = "sandbox.cloudai.dev/exit-codes"
"""Exit codes of the attempts, comma-separated, the last one repeated; on a pod or the Task that owns it."""
ANNOTATION_FAULT: Final = "sandbox.cloudai.dev/fault"
SYSTEM: Final = "kube-system"
START_SECONDS: Final = 0.05
TERMINATED_EXIT_CODE: Final = 143
"""128 + SIGTERM: what a container that does not catch it ends with."""
RETRY_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 10.0, 10.0, 10.0, 10.0)
_TERMINAL: Final = frozenset({"Succeeded", "Failed"})
_Answer = TypeVar("_Answer")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seat:
    """A pod that one of our kubelets has taken on."""

    pod: Pod
    amounts: Amounts
    started: float = 0.0
    ending: bool = False
    pending: Amounts | None = None
    """What it was resized to and has not got."""


@dataclass(slots=True)
class Kubelets:
    """All simulated kubelets. `run` ends only by cancellation."""

    transport: Transport
    fleet: list[FleetNode]
    speeds: Speeds
    _machines: dict[str, Machine] = field(default_factory=dict)
    _allocatable: dict[str, Amounts] = field(default_factory=dict)
    _seats: dict[str, dict[str, _Seat]] = field(default_factory=dict)
    _timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    _rejecting: set[str] = field(default_factory=set)
    _rejected: set[str] = field(default_factory=set)
    _xid: dict[str, int] = field(default_factory=dict)
    _images: dict[str, dict[str, None]] = field(default_factory=dict)
    _told: dict[str, tuple[str, str]] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)
    _jobs: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for node in self.fleet:
            self._machines[node.node] = Machine(node, self.speeds, _at=time.monotonic())
            self._seats[node.node] = {}
            self._allocatable[node.node] = {
                CPU: round(node.cpu * 1000),
                MEMORY: node.memory_bytes,
                STORAGE: node.storage_bytes,
                PODS: node.pods,
                contract.DEFAULT_GPU_RESOURCE: node.gpu,
            }

    async def run(self) -> None:
        """Follow pods and nodes for ever."""
        pods = Reflector(self.transport, "/api/v1/pods", Pod, _PodStore(self))
        nodes = Reflector(self.transport, "/api/v1/nodes", Node, _NodeStore(self))
        async with asyncio.TaskGroup() as group:
            group.create_task(nodes.run())
            group.create_task(pods.run())

    def look(self, name: str) -> tuple[FleetNode, Usage] | None:
        """What the exporters of a machine see now; None if it is gone."""
        machine = self._machines.get(name)
        if machine is None:
            return None
        now = time.monotonic()
        self._finish(name, machine.advance(now))
        amounts = [seat.amounts for seat in self._seats[name].values() if seat.started]
        usage = Usage(
            cores=sum(work.cpu for work in machine.work.values()),
            memory_bytes=sum(requests.get(MEMORY, 0) for requests in amounts),
            gpus=sum(requests.get(contract.DEFAULT_GPU_RESOURCE, 0) for requests in amounts),
            cpu_seconds=machine.cpu_seconds,
            up_seconds=now - self._begun,
            xid=self._xid.get(name, 0),
            throttled=machine.fault_factor > 1.0,
            pods=tuple(
                PodUsage(
                    seat.pod.metadata.namespace,
                    seat.pod.metadata.name,
                    machine.work[uid].cpu_seconds,
                    seat.amounts.get(MEMORY, 0),
                    seat.amounts.get(contract.DEFAULT_GPU_RESOURCE, 0),
                )
                for uid, seat in self._seats[name].items()
                if uid in machine.work
            ),
        )
        return machine.node, usage

    def see_node(self, event: str, node: Node) -> None:
        """Take note of faults, and of a machine that is gone."""
        name = node.metadata.name
        machine = self._machines.get(name)
        if machine is None:
            return
        fault = node.metadata.annotations.get(ANNOTATION_FAULT, "")
        if event == "DELETED" or fault == "vanish":
            self._vanish(name, delete=event != "DELETED")
            return
        factor = 1.0
        if fault.startswith("slow="):
            try:
                factor = max(0.01, float(fault.removeprefix("slow=")))
            except ValueError:
                _log.warning("node %s: fault %r is not slow=NUMBER", name, fault)
        self._finish(name, machine.advance(time.monotonic()))
        xid = fault.removeprefix("xid=")
        self._xid[name] = int(xid) if fault.startswith("xid=") and xid.isdigit() else 0
        machine.fault_factor = factor
        self._report(node)
        self._rejecting.discard(name)
        if fault == "reject":
            self._rejecting.add(name)
        self._set_timer(name)

    def see_pod(self, event: str, pod: Pod) -> None:
        """Take a change of a pod that is bound to one of our nodes."""
        seats = self._seats.get(pod.spec.nodeName)
        if seats is None:
            return
        uid = pod.metadata.uid
        seat = seats.get(uid)
        if event == "DELETED" or pod.status.phase in _TERMINAL:
            self._leave(pod.spec.nodeName, uid)
            if event != "DELETED" and pod.metadata.deletionTimestamp:
                self._do(self._delete(pod))
        elif pod.metadata.deletionTimestamp:
            self._leave(pod.spec.nodeName, uid)
            self._do(self._terminate(pod, seat))
        elif seat is not None:
            seat.pod = pod
            self._resize(seat)
        elif uid not in self._rejected:
            self._admit(pod, seats)
        if event == "DELETED":
            self._rejected.discard(uid)

    def retain_pods(self, uids: set[str]) -> None:
        """After a list: pods that are not there are gone."""
        for name, seats in self._seats.items():
            for uid in [uid for uid in seats if uid not in uids]:
                self._leave(name, uid)

    def _admit(self, pod: Pod, seats: dict[str, _Seat]) -> None:
        name = pod.spec.nodeName
        amounts = _asked(pod)
        reason = "UnexpectedAdmissionError" if name in self._rejecting else self._shortage(name, amounts)
        if reason is not None:
            self._rejected.add(pod.metadata.uid)  # it stays refused, whatever the watch shows before our patch
            self._do(self._reject(pod, reason))
            return
        seats[pod.metadata.uid] = _Seat(pod, amounts)
        self._do(self._start(pod, amounts))

    def _shortage(self, name: str, amounts: Amounts, but: _Seat | None = None) -> str | None:
        """What a kubelet checks again before it starts a pod, or gives a pod more, and the reason it gives."""
        for resource, amount in amounts.items():
            used = sum(seat.amounts.get(resource, 0) for seat in self._seats[name].values() if seat is not but)
            if used + amount > self._allocatable[name].get(resource, 0):
                return f"OutOf{resource}"
        return None

    async def _start(self, pod: Pod, amounts: Amounts) -> None:
        await asyncio.sleep(START_SECONDS)
        name, uid = pod.spec.nodeName, pod.metadata.uid
        seat = self._seats.get(name, {}).get(uid)
        if seat is None:
            return
        notes = await self._notes(pod)
        seat.started = time.time()
        await self._patch(pod, pod_status.running(pod, seat.started))
        runtime = _positive(notes.get(ANNOTATION_RUNTIME))
        task_type = pod.metadata.labels.get(contract.LABEL_TASK_TYPE) or notes.get(contract.ANNOTATION_TASK_TYPE, "")
        work = Work(uid, task_type, amounts.get(CPU, 0) / 1000, runtime)
        machine = self._machines.get(name)
        if machine is not None and uid in self._seats.get(name, {}):
            self._finish(name, machine.start(work, time.monotonic()))
            self._set_timer(name)
            self._pulled(name, pod)

    def _resize(self, seat: _Seat) -> None:
        """Give a pod what it has been resized to, if there is room."""
        pod, name = seat.pod, seat.pod.spec.nodeName
        wanted = _asked(pod)
        if not seat.started or seat.ending or wanted in (seat.amounts, seat.pending):
            return
        shortage = self._shortage(name, wanted, but=seat)
        if shortage is not None:
            seat.pending = wanted
            self._do(self._patch(pod, pod_status.not_resized(pod, shortage, time.time())))
            return
        seat.amounts, seat.pending = wanted, None
        self._finish(name, self._machines[name].advance(time.monotonic()))
        work = self._machines[name].work.get(pod.metadata.uid)
        if work is not None:
            work.cpu = wanted.get(CPU, 0) / 1000
            self._set_timer(name)
        self._do(self._patch(pod, pod_status.resized(pod, seat.started, time.time())))

    def _retry_resizes(self, name: str) -> None:
        """Something has left: what was deferred may fit now."""
        for seat in list(self._seats[name].values()):
            if seat.pending is not None:
                seat.pending = None
                self._resize(seat)

    def _pulled(self, name: str, pod: Pod) -> None:
        """Images stay on a node once a pod of it has used them."""
        known, fresh = self._images.setdefault(name, {}), [container.image for container in pod.spec.containers]
        if all(image in known for image in fresh):
            return
        for image in fresh:
            known[image] = None
        status = {"images": node_report.images(known)}
        self._do(self._patch_node(name, status))

    def _report(self, node: Node) -> None:
        """Keep what belongs to a node: its features, its CSINode, and the room that drivers say it has."""
        name, annotations = node.metadata.name, node.metadata.annotations
        asked = (annotations.get(node_report.ANNOTATION_DRIVERS, ""), annotations.get(node_report.ANNOTATION_ROOM, ""))
        before = self._told.get(name)
        if before == asked:
            return
        self._told[name] = asked
        if before is None:
            self._do(self._patch_node(name, {"declaredFeatures": list(node_report.FEATURES)}))
        own = node_report.csi_node(name, node.metadata.uid, annotations)
        self._do(self._put(node_report.CSI_NODES, own))
        for room in node_report.capacities(name, annotations):
            self._do(self._put(node_report.CAPACITIES.format(SYSTEM), room))

    async def _patch_node(self, name: str, status: dict[str, Any]) -> None:
        path = f"/api/v1/nodes/{name}/status"
        body = {"status": status}
        await _persist(lambda: self.transport.request("PATCH", path, body, content_type=MERGE_PATCH))

    async def _put(self, path: str, body: dict[str, Any]) -> None:
        """Create an object, or change it where it is there."""
        try:
            await self.transport.request("POST", path, body)
        except ConflictError:
            own = f"{path}/{body['metadata']['name']}"
            await _persist(lambda: self.transport.request("PATCH", own, body, content_type=MERGE_PATCH))

    def _finish(self, name: str, uids: list[str]) -> None:
        for uid in uids:
            seat = self._seats.get(name, {}).get(uid)
            if seat is not None and not seat.ending:
                seat.ending = True
                self._do(self._complete(seat))

    async def _complete(self, seat: _Seat) -> None:
        pod = seat.pod
        code = _exit_code(await self._notes(pod), pod.metadata.labels.get(contract.LABEL_ATTEMPT, "1"))
        await self._patch(pod, pod_status.ended(pod, seat.started, code, time.time()))

    async def _terminate(self, pod: Pod, seat: _Seat | None) -> None:
        """Stop a deleted pod as a kubelet does: its end is reported before it goes."""
        if seat is not None:
            await self._patch(pod, pod_status.ended(pod, seat.started, TERMINATED_EXIT_CODE, time.time()))
        await self._delete(pod)

    async def _reject(self, pod: Pod, reason: str) -> None:
        await self._patch(pod, pod_status.rejected(reason, time.time()))

    async def _delete(self, pod: Pod) -> None:
        path = f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}"
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.metadata.uid}}
        await _persist(lambda: self.transport.request("DELETE", path, body))

    async def _notes(self, pod: Pod) -> dict[str, str]:
        """Annotations of the Task that owns the pod, overridden by the pod's own."""
        owner = next(
            (ref for ref in pod.metadata.ownerReferences if ref.kind == contract.KIND and ref.controller), None
        )
        if owner is None:
            return pod.metadata.annotations
        path = f"/apis/{contract.API_VERSION}/namespaces/{pod.metadata.namespace}/{contract.PLURAL}/{owner.name}"
        task = await _persist(lambda: self.transport.get(path, Named))
        return {**(task.metadata.annotations if task is not None else {}), **pod.metadata.annotations}

    async def _patch(self, pod: Pod, status: dict[str, Any]) -> None:
        path = f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}/status"
        body = {"metadata": {"uid": pod.metadata.uid}, "status": status}
        await _persist(lambda: self.transport.request("PATCH", path, body, content_type=STRATEGIC_PATCH))

    def _leave(self, name: str, uid: str) -> None:
        if self._seats.get(name, {}).pop(uid, None) is not None and name in self._machines:
            self._finish(name, self._machines[name].stop(uid, time.monotonic()))
            self._set_timer(name)
            self._retry_resizes(name)

    def _vanish(self, name: str, delete: bool) -> None:
        del self._machines[name]
        del self._seats[name]
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        if delete:
            self._do(self._delete_node(name))

    async def _delete_node(self, name: str) -> None:
        await _persist(lambda: self.transport.request("DELETE", f"/api/v1/nodes/{name}"))

    def _set_timer(self, name: str) -> None:
        old = self._timers.pop(name, None)
        if old is not None:
            old.cancel()
        end = self._machines[name].next_end()
        if end is not None and math.isfinite(end):
            delay = max(0.0, end - time.monotonic())
            self._timers[name] = asyncio.get_running_loop().call_later(delay, self._ring, name)

    def _ring(self, name: str) -> None:
        self._timers.pop(name, None)
        machine = self._machines.get(name)
        if machine is not None:
            self._finish(name, machine.advance(time.monotonic()))
            self._set_timer(name)

    def _do(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_logged(job))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)


async def _logged(job: Coroutine[Any, Any, None]) -> None:
    try:
        await job
    except KubeError as error:
        _log.warning("%s", error)


async def _persist(send: Callable[[], Awaitable[_Answer]]) -> _Answer | None:
    """Repeat a request over an outage of the API server, as a kubelet does. None if the object is gone."""
    for pause_seconds in RETRY_SECONDS:
        try:
            return await send()
        except (NotFoundError, ConflictError):
            return None
        except RefusedError:
            raise
        except KubeError as error:
            _log.info("%s; again in %.1f s", error, pause_seconds)
            await asyncio.sleep(pause_seconds)
    return await send()


@dataclass(slots=True)
class _PodStore:
    kubelets: Kubelets

    def retain(self, listed: list[Meta]) -> None:
        self.kubelets.retain_pods({meta.uid for meta in listed})

    def apply(self, event: str, pod: Pod) -> None:
        self.kubelets.see_pod(event, pod)


@dataclass(slots=True)
class _NodeStore:
    kubelets: Kubelets

    def retain(self, listed: list[Meta]) -> None:
        """Machines that are there stay there: only a deletion makes one vanish."""

    def apply(self, event: str, node: Node) -> None:
        self.kubelets.see_node(event, node)


def _asked(pod: Pod) -> Amounts:
    """What the spec asks for, whatever the status says that the pod has."""
    try:
        return requests_of(msgspec.structs.replace(pod, status=PodStatus()))
    except FormatError as error:
        _log.warning("pod %s: %s", pod.metadata.name, error)
        return {}


def _positive(text: str | None) -> float:
    """Seconds of work; a pod without (or with an unreadable) value runs until it is deleted."""
    try:
        seconds = float(text) if text else math.inf
    except ValueError:
        return math.inf
    return seconds if seconds >= 0 else math.inf


def _exit_code(notes: dict[str, str], attempt: str) -> int:
    codes = [part for part in notes.get(ANNOTATION_EXIT_CODES, "0").split(",") if part.strip().isdigit()] or ["0"]
    position = int(attempt) - 1 if attempt.isdigit() else 0
    return int(codes[min(max(position, 0), len(codes) - 1)])
