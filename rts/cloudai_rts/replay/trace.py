"""A trace as jobs: what a policy is told about each task, by the same estimates as in production."""

import math
from collections.abc import Mapping, Sequence

from cloudai_rts import prediction
from cloudai_rts.arrays import FloatArray
from cloudai_rts.contract import CPU, MEMORY, PODS, STORAGE
from cloudai_rts.parameters import Document
from cloudai_rts.prediction import Said
from cloudai_rts.replay.job import Job
from cloudai_rts.task import Task
from cloudai_rts.tau import TauStore
from cloudai_rts.traces import TraceTask


def jobs(
    tasks: Sequence[TraceTask],
    document: Document,
    cpu_used: FloatArray | None = None,
    called: Sequence[str] | None = None,
    tau: Mapping[str, float] | None = None,
) -> list[Job]:
    """Jobs in order of arrival.

    `cpu_used` are cores really used (default: as requested), `called` the types that users named. Deadlines without a
    `deadline_s` are arrival + multiplier x (declared, else `tau` of the type, the same for all policies).
    """
    store = TauStore(document.Tau)
    promised = TauStore(tau or {})
    queue = []
    for index, task in enumerate(tasks):
        name = called[index] if called is not None else task.type
        due: float | None = task.deadline_s
        if due == math.inf:
            due = None
        elif due is None:
            basis = task.expected_runtime_s or promised.get(task.type)
            due = task.arrival_s + task.sla_multiplier * basis
        queue.append(
            Job(
                name=task.name,
                known=_known(task, name, due, store, document),
                amounts=_amounts(task),
                work=task.reference_runtime_s,
                cpu_used=task.cpu if cpu_used is None else float(cpu_used[index]),
                due=due,
                true_type=task.type,
                gpu_product=task.gpu_product,
                priority=task.priority,
                tenant=task.user,
            )
        )
    return queue


def _known(task: TraceTask, name: str, due: float | None, store: TauStore, document: Document) -> Task:
    said = Said(task.user, task.expected_runtime_s, task.allowed_s)
    estimate = prediction.estimate(name, store.get(name), said, document.Runtime, store.has_learned(name))
    return Task(
        type=name,
        cpu=task.cpu,
        memory=float(task.memory_bytes),
        gpu=float(task.gpu),
        gpu_resource=task.gpu_resource,
        arrival=task.arrival_s,
        reference_runtime=estimate.seconds,
        log_sd=estimate.log_sd,
        deadline=due,
    )


def _amounts(task: TraceTask) -> dict[str, int]:
    amounts = {CPU: round(task.cpu * 1000), MEMORY: task.memory_bytes, PODS: 1}
    if task.storage_bytes:
        amounts[STORAGE] = task.storage_bytes
    if task.gpu:
        amounts[task.gpu_resource] = task.gpu
    return amounts
