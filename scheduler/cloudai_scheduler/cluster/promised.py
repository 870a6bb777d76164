"""A pod as a task of the model: what its annotations promise, and what is known of its like."""

from dataclasses import dataclass

from cloudai_kube import promise
from cloudai_kube.demand import Amounts
from cloudai_kube.objects import Pod
from cloudai_kube.promise import Arrivals
from cloudai_rts import nodeclass, prediction
from cloudai_rts.contract import CPU, MEMORY, STORAGE
from cloudai_rts.parameters import Document
from cloudai_rts.task import Task
from cloudai_rts.tau import TauStore


@dataclass(frozen=True, slots=True)
class Promised:
    """The task, and the annotations that could not be read."""

    task: Task
    problems: tuple[str, ...] = ()


def read(
    pod: Pod, amounts: Amounts, arrivals: Arrivals, document: Document, tau: TauStore, sla_multiplier: float
) -> Promised:
    """Everything the model knows about this pod's task."""
    said = promise.read(pod, arrivals, sla_multiplier)
    gpu_resource = nodeclass.gpu_resource_of(amounts)
    cpu, memory, gpu = amounts.get(CPU, 0) / 1000.0, float(amounts.get(MEMORY, 0)), float(amounts.get(gpu_resource, 0))
    task_type = promise.type_of(pod, cpu, memory, gpu)
    runtime, log_sd = said.reference_runtime, said.log_sd
    if runtime is None:
        known = prediction.Estimate(tau.get(task_type), prediction.type_log_sd(task_type, document.Runtime))
        declared = None
        if said.expected is not None:
            declared = prediction.declared_estimate(said.expected, "", document.Runtime)
        estimate = prediction.combine(declared, known, 0.0)
        runtime, log_sd = estimate.seconds, estimate.log_sd
    task = Task(
        type=task_type,
        cpu=cpu,
        memory=memory,
        gpu=gpu,
        storage=float(amounts.get(STORAGE, 0)),
        gpu_resource=gpu_resource,
        arrival=said.arrival,
        reference_runtime=runtime,
        log_sd=prediction.clip_log_sd(log_sd or prediction.type_log_sd(task_type, document.Runtime)),
        deadline=said.deadline,
    )
    return Promised(task, said.problems)
