"""One Task from apply to its end: what `helm test` runs, and what anybody may ask of an installation."""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from cloudai_cli.errors import TrialError
from cloudai_kube.errors import KubeError, NotFoundError, OverloadedError
from cloudai_kube.task import Task
from cloudai_kube.transport import Transport
from cloudai_rts import contract

COMMAND: Final = ("kubectl-cloudai", "--help")
"""Something that the image surely has and that ends."""
POLL_SECONDS: Final = 0.5
SCHEMA_SECONDS: Final = 20.0
USER_ID: Final = 65532
RUNTIME_NOTE: Final = "sandbox.cloudai.dev/runtime-seconds"


def manifest(name: str, image: str, pull_secrets: Sequence[str] = ()) -> dict[str, Any]:
    """A small Task that finishes within seconds of its start."""
    spec: dict[str, Any] = {
        "image": image,
        "command": list(COMMAND),
        "resources": {"limits": {"cpu": "200m", "memory": "256Mi"}},
        "securityContext": {"runAsUser": USER_ID},
        "sla": {"finishWithin": "10m", "expectedRuntime": "10s"},
        "backoffLimit": 0,
    }
    if pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in pull_secrets]
    metadata = {"name": name, "annotations": {RUNTIME_NOTE: "1"}}
    return {"apiVersion": contract.API_VERSION, "kind": contract.KIND, "metadata": metadata, "spec": spec}


async def run(
    transport: Transport,
    namespace: str,
    image: str,
    timeout_seconds: float,
    pull_secrets: Sequence[str] = (),
    say: Callable[[str], None] = lambda _text: None,
) -> Task:
    """Apply a Task, wait for its end, delete it. Returns its last state.

    Raises `TrialError` if it fails or takes longer, `KubeError` if the cluster refuses it.
    """
    name = f"cloudai-try-{uuid.uuid4().hex[:8]}"
    path = f"/apis/{contract.API_VERSION}/namespaces/{namespace}/{contract.PLURAL}"
    await _create(transport, path, manifest(name, image, pull_secrets), min(timeout_seconds, SCHEMA_SECONDS))
    try:
        return await _follow(transport, f"{path}/{name}", timeout_seconds, say)
    finally:
        await _delete(transport, f"{path}/{name}")


async def _create(transport: Transport, path: str, body: dict[str, Any], seconds: float) -> None:
    """Again for so long where the server is not ready for Tasks: right after an installation it reads their schema."""
    end = time.monotonic() + seconds
    while True:
        try:
            await transport.request("POST", path, body)
        except OverloadedError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(POLL_SECONDS)
        else:
            return


async def _follow(transport: Transport, path: str, timeout_seconds: float, say: Callable[[str], None]) -> Task:
    end, shown = time.monotonic() + timeout_seconds, ""
    while True:
        task = await transport.get(path, Task)
        state = task.status.state or "not yet seen by the operator"
        if state != shown:
            shown = state
            say(f"{task.metadata.namespace}/{task.metadata.name}: {state}{_on(task)}")
        if state == "Complete":
            return task
        if task.status.finished():
            raise TrialError(f"the Task failed: {_why(task)}")
        if time.monotonic() > end:
            raise TrialError(f"the Task is {state} after {timeout_seconds:.0f} s: {_why(task)}")
        await asyncio.sleep(POLL_SECONDS)


def _on(task: Task) -> str:
    return f" on {task.status.nodes[-1]}" if task.status.nodes else ""


def _why(task: Task) -> str:
    """The newest thing that a condition says."""
    told = [condition for condition in task.status.conditions if condition.message]
    newest = max(told, key=lambda condition: condition.lastTransitionTime or "", default=None)
    return "nobody says why; do operator and scheduler run?" if newest is None else f"{newest.reason}: {newest.message}"


async def _delete(transport: Transport, path: str) -> None:
    try:
        await transport.request("DELETE", path)
    except NotFoundError:
        return
    except KubeError as error:
        raise TrialError(f"the Task cannot be deleted ({error}); delete {path.rpartition('/')[2]} yourself") from error


def as_json(task: Task) -> dict[str, Any]:
    """For machines."""
    status: dict[str, Any] = msgspec.to_builtins(task.status)
    return {"name": task.metadata.name, "namespace": task.metadata.namespace, **status}
