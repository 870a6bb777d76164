"""Recorded history as something to replay: what each task's work really was, and when it came.

The intrinsic work of a task is recovered by inverting equation (1) at the node it really used; the world of the replay
is the fitted run-time model. So a candidate is judged on what *would* have happened.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from cloudai_rts import contract, prediction
from cloudai_rts.arrays import FloatArray
from cloudai_rts.contract import CPU, MEMORY, PODS
from cloudai_rts.history import SUCCEEDED, Record
from cloudai_rts.machine import Machine
from cloudai_rts.nodeclass import class_for
from cloudai_rts.parameters import Document
from cloudai_rts.prediction import Said
from cloudai_rts.replay.energy import USUAL, EnergyRates
from cloudai_rts.replay.job import Carried, Job
from cloudai_rts.replay.world import World
from cloudai_rts.task import Task
from cloudai_rts.tau import TauStore
from cloudai_rts.traces import FleetNode


@dataclass(frozen=True, slots=True)
class Work:
    """A recorded run: its record and the seconds that it takes on an idle reference machine.

    One that did not succeed, or has not ended, took room all the same; nobody judges it. It came when it began, like
    one that had to be tried again.
    """

    record: Record
    seconds: float

    @property
    def is_judged(self) -> bool:
        """Whether it can be said to have met or missed its deadline."""
        return self.record.outcome == SUCCEEDED

    @property
    def arrival(self) -> float:
        """When it came, seconds since the epoch."""
        first = self.is_judged and self.record.attempt == 1
        return self.record.arrival if first else max(self.record.arrival, self.record.start)


def recover(records: Sequence[Record], document: Document, machines: Sequence[Machine]) -> list[Work]:
    """Intrinsic work of each run, in order of arrival. `machines` are all that any of them used."""
    ran = [record for record in records if record.runtime > 0]
    nodes = {machine.node.node: machine.node for machine in machines}
    works = [Work(record, record.runtime / _slowness(record, document, nodes.get(record.node))) for record in ran]
    return sorted(works, key=lambda work: (work.arrival, work.record.pod_uid))


def _slowness(record: Record, document: Document, node: FleetNode | None) -> float:
    """exp(u + v) f(L'): how much slower the node was than the idle reference machine."""
    runtime = document.Runtime
    u = runtime.U.get(record.type, {}).get(class_for(record.node_class, record.gpu_resource), 0.0)
    load = record.load_with
    if load is None:  # decided by a version that did not say it
        load = record.load if node is None else _load_with(record, node)
    return math.exp(u + runtime.V.get(record.node, 0.0)) * prediction.load_curve_at(load, runtime.Kappa, runtime.Mu)


def _load_with(record: Record, node: FleetNode) -> float:
    """The node's load with the run on it, as a replay has it there: of cores, or of memory if that is fuller."""
    free = record.available.memoryBytes
    full = (node.memory_bytes - free + record.memory) / node.memory_bytes if free > 0 else 0.0
    return max(record.load + record.cpu / node.cpu, full)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of history from `begin` (seconds since the epoch) on: the works that came in it, in order of arrival.

    `waiting` came earlier and had no machine yet (of a long queue those who got one first, as many as there are works),
    `running` had one. Without them a replay of a few tasks on a large fleet would begin on an empty one, on which every
    policy does well.
    """

    begin: float
    works: Sequence[Work]
    waiting: Sequence[Work] = ()
    running: Sequence[Work] = ()


def split(works: Sequence[Work], windows: int, longest: int) -> list[Window]:
    """Windows of consecutive tasks, equally long; each keeps its last `longest` tasks."""
    edges = np.linspace(0, len(works), windows + 1).astype(int)
    parts = []
    for first, end in pairwise(edges.tolist()):
        begun = max(first, end - longest)
        if begun < end:
            parts.append(_window(works[:begun], works[begun:end]))
    return parts


def _window(earlier: Sequence[Work], works: Sequence[Work]) -> Window:
    begin = works[0].arrival
    waiting = [work for work in earlier if work.record.start >= begin]
    waiting = sorted(waiting, key=lambda work: work.record.start)[: len(works)]
    waiting.sort(key=lambda work: work.arrival)
    running = [work for work in earlier if work.record.start < begin < work.record.finish]
    return Window(begin, works, waiting, running)


def true_type(record: Record) -> str:
    """What the work of a record is in a replay: its type, on the GPU (or the slice of one) that it asked for."""
    is_slice = record.gpu_resource not in {"", contract.DEFAULT_GPU_RESOURCE}
    return f"{record.type} {record.gpu_resource}" if is_slice else record.type


def world_of(machines: Sequence[Machine], document: Document, works: Sequence[Work]) -> World:
    """The fitted model as the truth of a replay of these works."""
    runtime = document.Runtime
    v = np.array([runtime.V.get(machine.node.node, 0.0) for machine in machines])
    own: dict[str, FloatArray] = {}
    for name, task_type, gpu_resource in {
        (true_type(work.record), work.record.type, work.record.gpu_resource) for work in works
    }:
        names = [class_for(machine.node_class, gpu_resource) for machine in machines]
        own[name] = np.exp(prediction.class_factors(task_type, names, runtime, bool(gpu_resource)) + v)
    return World(
        [machine.node for machine in machines],
        own,
        dict.fromkeys(own, runtime.Kappa),
        np.array([machine.node.cpu for machine in machines]),
        np.array([machine.occupied.get(CPU, 0) / 1000.0 for machine in machines]),
        runtime.Mu,
        [machine.node_class for machine in machines],
        [machine.devices for machine in machines],
        [machine.occupied for machine in machines],
        memory=[machine.node.memory_bytes or math.inf for machine in machines],
    )


def measured(world: World, gpu_watts: Mapping[str, float], energy: EnergyRates = USUAL) -> World:
    """The world with what use takes: `gpu_watts` is that of a busy GPU by node, where that was measured."""
    return replace(world, energy=energy, gpu_watts=[gpu_watts.get(node.node, energy.per_gpu) for node in world.nodes])


def jobs(window: Window, document: Document, machines: Sequence[Machine]) -> list[Job]:
    """The tasks of a window as a policy under this document would see them; nobody judges those that waited already.

    They may go where their selectors and tolerations admit, as long as any such machine is there.
    """
    store = TauStore(document.Tau)
    classes = {machine.node_class for machine in machines}
    late = [replace(_job(work, window.begin, document, store), due=None) for work in window.waiting]
    queue = late + [_job(work, window.begin, document, store) for work in window.works]
    return [job if classes.intersection(job.classes) else replace(job, classes=()) for job in queue]


def carried(window: Window, document: Document, machines: Sequence[Machine]) -> list[Carried]:
    """The tasks that ran when the window began, with what was left of them; lost machines' tasks are left out."""
    store = TauStore(document.Tau)
    position = {machine.node.node: index for index, machine in enumerate(machines)}
    runs = []
    for work in window.running:
        record = work.record
        if record.node in position:
            job = replace(_job(work, window.begin, document, store), due=None)
            left = work.seconds * (record.finish - window.begin) / record.runtime
            node = machines[position[record.node]].node
            predicted = job.known.reference_runtime * _slowness(record, document, node)
            runs.append(Carried(job, position[record.node], record.start - window.begin, left, predicted))
    return runs


def _job(work: Work, begin: float, document: Document, store: TauStore) -> Job:
    record = work.record
    arrival = max(0.0, work.arrival - begin)
    deadline = None if record.deadline is None else record.deadline - begin
    said = Said(record.user or record.namespace, record.declared, record.allowed, record.identity)
    estimate = prediction.estimate(
        record.type, store.get(record.type), said, document.Runtime, store.has_learned(record.type)
    )
    known = Task(
        type=record.type,
        cpu=record.cpu,
        memory=record.memory,
        gpu=record.gpu,
        gpu_resource=record.gpu_resource,
        arrival=arrival,
        reference_runtime=estimate.seconds,
        log_sd=estimate.log_sd,
        deadline=deadline,
    )
    amounts = {CPU: round(record.cpu * 1000), MEMORY: round(record.memory), PODS: 1}
    if record.gpu:
        amounts[record.gpu_resource or contract.DEFAULT_GPU_RESOURCE] = round(record.gpu)
    used = record.cpu if record.used_cpu is None else record.used_cpu
    due = deadline if work.is_judged else None
    return Job(
        record.pod_uid,
        known,
        amounts,
        work.seconds,
        used,
        due,
        true_type(record),
        classes=record.allowed_classes,
        tenant=record.namespace,
        memory_used=record.memory if record.used_memory is None else record.used_memory,
    )
