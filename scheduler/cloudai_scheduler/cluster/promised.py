"""A pod as a task of the model: what its annotations promise, and what is known of its like."""

from dataclasses import dataclass

from cloudai_kube import promise
from cloudai_kube.demand import Amounts
from cloudai_kube.objects import Pod
from cloudai_kube.promise import Arrivals
from cloudai_rts import contract, prediction
from cloudai_rts.contract import CPU, MEMORY, STORAGE
from cloudai_rts.nodeclass import RULES, ClassRules
from cloudai_rts.parameters import Document
from cloudai_rts.prediction import Said
from cloudai_rts.task import Task
from cloudai_rts.tau import TauStore


@dataclass(frozen=True, slots=True)
class Promised:
    """The task, and the annotations that could not be read."""

    task: Task
    problems: tuple[str, ...] = ()


def read(
    pod: Pod,
    amounts: Amounts,
    arrivals: Arrivals,
    document: Document,
    tau: TauStore,
    sla_multiplier: float,
    rules: ClassRules = RULES,
) -> Promised:
    """Everything the model knows about this pod's task."""
    said = promise.read(pod, arrivals, sla_multiplier)
    gpu_resource = rules.accelerator_of(amounts, pod.metadata.annotations.get(contract.ANNOTATION_GPU_RESOURCE, ""))
    cpu, memory, gpu = amounts.get(CPU, 0) / 1000.0, float(amounts.get(MEMORY, 0)), float(amounts.get(gpu_resource, 0))
    task_type = promise.type_of(pod, cpu, memory, gpu)
    runtime, log_sd = said.reference_runtime, said.log_sd
    if runtime is None:
        allowed = contract.time_allowed(said.arrival, said.deadline, said.deadline_source)
        words = Said(pod.metadata.namespace, said.expected, allowed)  # who is known by the namespace, as in history
        estimate = prediction.estimate(
            task_type, tau.get(task_type), words, document.Runtime, tau.has_learned(task_type)
        )
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
        deadline_source=said.deadline_source,
    )
    return Promised(task, said.problems)
