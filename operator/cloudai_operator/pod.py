"""The pod of one attempt: only the allow-listed fields of the Task reach it, everything else is a constant.

The constants satisfy the restricted Pod Security Standard. A Task that asks for user 0 gets what it asks for, and the
namespace's own level decides whether that is admitted.
"""

import copy
from collections.abc import Collection
from typing import Any

import msgspec

from cloudai_kube import timestamp
from cloudai_kube.task import Json, Task
from cloudai_rts import contract


def name_of(task: Task, attempt: int) -> str:
    """Name = f(Task, attempt): a pod cannot be created twice, and a namesake's pods are never mistaken for ours."""
    return contract.pod_name(task.metadata.name, task.metadata.uid, attempt)


def build(task: Task, attempt: int, scheduler_name: str, avoided: Collection[str] = ()) -> Json:
    """The pod manifest of an accepted Task's attempt; `avoided` are nodes that refused earlier ones."""
    spec: Json = {
        "schedulerName": scheduler_name,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(task),
        "containers": [_container(task)],
        **_given(task),
    }
    affinity = _affinity(task)
    if affinity:
        spec["affinity"] = affinity
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name_of(task, attempt),
            "namespace": task.metadata.namespace,
            "labels": {
                **task.spec.podLabels,
                contract.LABEL_TASK: task.metadata.name,
                contract.LABEL_TASK_TYPE: task.status.type,
                contract.LABEL_ATTEMPT: str(attempt),
            },
            "annotations": {**task.spec.podAnnotations, **annotations(task), **_gpu(task), **_avoided(avoided)},
            "ownerReferences": [
                {
                    "apiVersion": contract.API_VERSION,
                    "kind": contract.KIND,
                    "name": task.metadata.name,
                    "uid": task.metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": spec,
    }


def annotations(task: Task) -> dict[str, str]:
    """The frozen values: all that the scheduler needs to know about the Task."""
    status = task.status
    return {
        contract.ANNOTATION_ARRIVAL: timestamp.millis(timestamp.parse(status.arrivalTime)),
        contract.ANNOTATION_DEADLINE: timestamp.millis(timestamp.parse(status.deadline)),
        contract.ANNOTATION_DEADLINE_SOURCE: status.deadlineSource,
        contract.ANNOTATION_REFERENCE_RUNTIME: f"{status.referenceRuntimeSeconds:.6g}",
        contract.ANNOTATION_RUNTIME_LOG_SD: f"{status.runtimeLogSd:.6g}",
    }


def _gpu(task: Task) -> dict[str, str]:
    """What the Task calls its GPU, where that is not the usual resource."""
    name = task.spec.gpuResourceName
    is_usual = not task.spec.gpus or name == contract.DEFAULT_GPU_RESOURCE
    return {} if is_usual else {contract.ANNOTATION_GPU_RESOURCE: name}


def _avoided(nodes: Collection[str]) -> dict[str, str]:
    return {contract.ANNOTATION_AVOIDED_NODES: ",".join(sorted(nodes))} if nodes else {}


def _node_selector(task: Task) -> dict[str, str]:
    """The user's, and Linux, which the pod's security settings need, unless the Task says what it needs instead."""
    selector, affinity = task.spec.nodeSelector, task.spec.affinity.get("nodeAffinity", {})
    says_itself = contract.LABEL_OS in selector or contract.LABEL_OS in msgspec.json.encode(affinity).decode()
    return selector if says_itself else {**selector, contract.LABEL_OS: "linux"}


def _given(task: Task) -> Json:
    """The user's fields of the pod spec that are set at all."""
    spec = task.spec
    fields: Json = {
        "volumes": spec.volumes,
        "imagePullSecrets": spec.imagePullSecrets,
        "terminationGracePeriodSeconds": spec.terminationGracePeriodSeconds,
        "nodeSelector": _node_selector(task),
        "tolerations": spec.tolerations,
        "topologySpreadConstraints": spec.topologySpreadConstraints,
        "priorityClassName": spec.priorityClassName,
    }
    return {name: value for name, value in fields.items() if value not in (None, [], {}, "")}


def _container(task: Task) -> Json:
    spec = task.spec
    resources: Json = {"limits": dict(spec.resources.limits), "requests": dict(spec.resources.requests)}
    if spec.gpus:
        resources["limits"][spec.gpuResourceName] = str(spec.gpus)
    fields: Json = {
        "command": spec.command,
        "args": spec.args,
        "workingDir": spec.workingDir,
        "env": spec.env,
        "volumeMounts": spec.volumeMounts,
        "resources": {name: amounts for name, amounts in resources.items() if amounts},
    }
    return {
        "name": contract.TASK_CONTAINER,
        "image": spec.image,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **{name: value for name, value in fields.items() if value},
    }


def _pod_security(task: Task) -> Json:
    context: Json = {"seccompProfile": {"type": "RuntimeDefault"}, **task.spec.securityContext}
    if task.spec.securityContext.get("runAsUser") != 0:
        context["runAsNonRoot"] = True
    return context


def _affinity(task: Task) -> Json:
    """The user's affinity; `targetNode` narrows every term of it to the one node."""
    affinity: Json = copy.deepcopy(task.spec.affinity)
    if not task.spec.targetNode:
        return affinity
    only = {"key": "metadata.name", "operator": "In", "values": [task.spec.targetNode]}
    node_affinity: Json = affinity.setdefault("nodeAffinity", {})
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    terms: list[dict[str, Any]] = node_affinity.get(key, {}).get("nodeSelectorTerms") or [{}]
    node_affinity[key] = {
        "nodeSelectorTerms": [{**term, "matchFields": [*term.get("matchFields", []), only]} for term in terms]
    }
    return affinity
