"""The status of a pod as its kubelet reports it. Pure: times are arguments, in seconds since the epoch.

Every container is there, with the resources that it was given; upstream `pkg/kubelet/status` and
`kubelet_pods.go:convertToAPIContainerStatuses`.
"""

from typing import Any, Final

from cloudai_kube import timestamp
from cloudai_kube.objects import Container, Pod

DEFERRED: Final = "Deferred"
PENDING_RESIZE: Final = "PodResizePending"
Json = dict[str, Any]


def running(pod: Pod, at: float) -> Json:
    """All containers run; plain init containers are through."""
    now = timestamp.whole_seconds(at)
    through = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}
    begun = {"running": {"startedAt": now}}
    return {
        "phase": "Running",
        "startTime": now,
        "observedGeneration": pod.metadata.generation,
        "conditions": [condition(kind, "True", at) for kind in ("PodReadyToStartContainers", "Initialized", *_READY)],
        "initContainerStatuses": [
            _container(init, begun if init.restartPolicy == "Always" else through, True)
            for init in pod.spec.initContainers
        ],
        "containerStatuses": [_container(container, begun, True) for container in pod.spec.containers],
    }


def resized(pod: Pod, started: float, at: float) -> Json:
    """The containers have what they now ask for."""
    status = running(pod, started)
    settled = condition(PENDING_RESIZE, "False", at)
    return {
        "observedGeneration": pod.metadata.generation,
        "conditions": [{**settled, "$patch": "delete"}],
        "initContainerStatuses": status["initContainerStatuses"],
        "containerStatuses": status["containerStatuses"],
    }


def not_resized(pod: Pod, message: str, at: float) -> Json:
    """The containers keep what they have for now. What no node has the API server refuses itself since 1.37."""
    pending = {**condition(PENDING_RESIZE, "True", at), "reason": DEFERRED, "message": message}
    return {"observedGeneration": pod.metadata.generation, "conditions": [pending]}


def ended(pod: Pod, started: float, code: int, at: float) -> Json:
    """The containers have ended with this exit code."""
    terminated = {
        "exitCode": code,
        "reason": "Completed" if code == 0 else "Error",
        "startedAt": timestamp.whole_seconds(started or at),
        "finishedAt": timestamp.whole_seconds(at),
    }
    return {
        "phase": "Succeeded" if code == 0 else "Failed",
        "conditions": [condition(kind, "False", at) for kind in _READY],
        "containerStatuses": [
            _container(container, {"terminated": terminated}, False) for container in pod.spec.containers
        ],
    }


def rejected(reason: str, at: float) -> Json:
    """The kubelet does not take the pod."""
    message = f"Pod was rejected: {reason} (simulated kubelet)"
    return {"phase": "Failed", "reason": reason, "message": message, "startTime": timestamp.whole_seconds(at)}


def condition(kind: str, status: str, at: float) -> dict[str, str]:
    """One condition."""
    return {"type": kind, "status": status, "lastTransitionTime": timestamp.whole_seconds(at)}


_READY: Final = ("Ready", "ContainersReady")


def _container(container: Container, state: Json, is_ready: bool) -> Json:
    asked = container.resources
    given = {
        "allocatedResources": {**asked.limits, **asked.requests},
        "resources": {"requests": {**asked.limits, **asked.requests}, "limits": asked.limits},
    }
    return {
        "name": container.name,
        "image": container.image,
        "imageID": f"simulated://{container.image}",
        "ready": is_ready,
        "started": is_ready,
        "restartCount": 0,
        "state": state,
        **(given if asked.requests or asked.limits else {}),
    }
