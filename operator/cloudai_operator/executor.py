"""Carrying out a plan, in an order that a crash at any point leaves repairable: status, deletions, creation."""

from collections.abc import Callable
from dataclasses import dataclass

from cloudai_kube import nesting, promise, timestamp
from cloudai_kube.errors import ApiError, ConflictError, NotFoundError, RefusedError
from cloudai_kube.events import Recorder, Subject
from cloudai_kube.objects import Meta, Pod
from cloudai_kube.task import Json, Task, TaskStatus, status_patch
from cloudai_kube.transport import MERGE_PATCH, Transport
from cloudai_operator.cache import Unreadable
from cloudai_operator.errors import CreationRefusedError
from cloudai_operator.metrics import OperatorMetrics
from cloudai_operator.plan import Plan, PodDeletion
from cloudai_rts import contract
from cloudai_rts.parameters import Document
from cloudai_rts.tau import TenantTau


@dataclass(frozen=True, slots=True)
class Done:
    """What the API server made of a plan: the Task after the status patch, the pod that was created."""

    task: Task
    pod: Pod | None


@dataclass(slots=True)
class Executor:
    """Acts on the API server in the operator's name."""

    transport: Transport
    recorder: Recorder
    metrics: OperatorMetrics

    async def execute(
        self, task: Task, plan: Plan, tau: TenantTau, document: Document, patched: Callable[[Task], None]
    ) -> Done:
        """Carry out a plan. Raises `CreationRefusedError` if the pod may not be created, `KubeError` if unsure."""
        newer = await self.write_status(task, plan.status)
        if newer is not task:
            patched(newer)
        self._tell(task, plan)
        for observation in plan.observations:
            tau.update(
                observation.tenant, observation.task_type, observation.seconds, observation.node_factor, document.model
            )
        for deletion in plan.deletions:
            await self.delete_pod(deletion)
        for meta, values in plan.corrections:
            await self._correct(meta, values)
        created = await self._create(task, plan.creation) if plan.creation is not None else None
        if plan.delete_task:
            await self._delete_task(task)
        return Done(newer, created)

    async def write_status(self, task: Task, status: TaskStatus) -> Task:
        """Patch what differs; nothing is sent if nothing does.

        Raises `KubeError`. A 404 is one too: the watch says when a Task is gone, and while the CRD is being replaced
        the API server answers so for Tasks that live, whose pods must not be cleaned up.
        """
        patch = status_patch(task.status, status)
        if not patch:
            return task
        body = {"metadata": {"uid": task.metadata.uid}, "status": patch}
        answer = await self.transport.request("PATCH", f"{_path(task)}/status", body, content_type=MERGE_PATCH)
        return await nesting.decode_aside(answer, Task)

    async def tell_unreadable(self, task: Unreadable, now: float) -> None:
        """Say on a Task that cannot be read why nothing is done about it; its other conditions stay."""
        meta = task.meta
        text = f"this version cannot read the Task ({task.problem}); its pods are left alone until it is corrected"
        condition = {
            "type": "Accepted",
            "status": "False",
            "reason": "Unreadable",
            "message": text,
            "lastTransitionTime": timestamp.whole_seconds(now),
            "observedGeneration": meta.generation,
        }
        others = [other for other in task.conditions if isinstance(other, dict) and other.get("type") != "Accepted"]
        body = {"metadata": {"uid": meta.uid}, "status": {"conditions": [*others, condition]}}
        path = f"/apis/{contract.API_VERSION}/namespaces/{meta.namespace}/{contract.PLURAL}/{meta.name}/status"
        subject = Subject.of(contract.API_VERSION, contract.KIND, meta)
        self.recorder.warning(subject, "Unreadable", text)
        try:
            await self.transport.request("PATCH", path, body, content_type=MERGE_PATCH)
        except NotFoundError:
            return

    async def delete_pod(self, deletion: PodDeletion) -> None:
        """Delete a pod, and only that one: its UID is a precondition."""
        meta = deletion.pod
        body: Json = {"preconditions": {"uid": meta.uid}}
        if deletion.force:
            body["gracePeriodSeconds"] = 0
        try:
            await self.transport.request("DELETE", f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}", body)
        except (NotFoundError, ConflictError):
            return

    def _tell(self, task: Task, plan: Plan) -> None:
        subject = Subject.of(contract.API_VERSION, contract.KIND, task.metadata)
        for notice in plan.notices:
            self.recorder.record(subject, notice.kind, notice.reason, notice.message)
        for result in plan.ended:
            self.metrics.attempts.labels(result).inc()
        if plan.status.finished() and not task.status.finished():
            self.metrics.finished.labels("complete" if plan.status.is_true("Complete") else "failed").inc()
            if plan.status.is_true("Complete"):
                self.metrics.show_runtime(plan.status)
            self.metrics.deadlines.labels(str(plan.status.is_true("DeadlineMet")).lower()).inc()

    async def find_pod(self, task: Task, name: str, uid: str) -> Pod | None:
        """Ask the API server itself for a pod that the cache does not show. None if it is really gone."""
        try:
            pod = await self.transport.get(f"/api/v1/namespaces/{task.metadata.namespace}/pods/{name}", Pod)
        except NotFoundError:
            return None
        return pod if pod.metadata.uid == uid else None

    def note_refusal(self, task: Task, error: CreationRefusedError) -> None:
        """Tell people why there is no pod yet."""
        subject = Subject.of(contract.API_VERSION, contract.KIND, task.metadata)
        self.recorder.warning(subject, error.reason, f"its pod was refused, it will be tried again: {error}")

    def note_trouble(self, task: Task, message: str) -> None:
        """Tell people that a Task could not be looked after."""
        subject = Subject.of(contract.API_VERSION, contract.KIND, task.metadata)
        self.recorder.warning(subject, "ReconcileFailed", message)

    async def _correct(self, meta: Meta, values: Json) -> None:
        body = {"metadata": {"uid": meta.uid, **values}}
        path = f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}"
        try:
            await self.transport.request("PATCH", path, body, content_type=MERGE_PATCH)
        except (NotFoundError, ConflictError):
            return

    async def _create(self, task: Task, manifest: Json) -> Pod:
        namespace = task.metadata.namespace
        path = f"/api/v1/namespaces/{namespace}/pods"
        try:
            answer = await self.transport.request("POST", path, manifest)
        except ConflictError as error:
            return await self._existing(task, manifest, error)
        except (RefusedError, NotFoundError) as error:
            self.metrics.refusals.inc()
            raise CreationRefusedError(_refusal(error), error.message) from error
        return nesting.decode(answer, Pod)

    async def _existing(self, task: Task, manifest: Json, error: ConflictError) -> Pod:
        """AlreadyExists is success if the pod is this Task's; a stranger of the same name is a refusal."""
        name = manifest["metadata"]["name"]
        pod = await self.transport.get(f"/api/v1/namespaces/{task.metadata.namespace}/pods/{name}", Pod)
        if promise.task_uid(pod) == task.metadata.uid:
            return pod
        raise CreationRefusedError("PodNameTaken", f"a pod named {name} exists and is not this Task's: {error.message}")

    async def _delete_task(self, task: Task) -> None:
        body = {"preconditions": {"uid": task.metadata.uid}, "propagationPolicy": "Background"}
        try:
            await self.transport.request("DELETE", _path(task), body)
        except (NotFoundError, ConflictError):
            return


def _path(task: Task) -> str:
    meta = task.metadata
    return f"/apis/{contract.API_VERSION}/namespaces/{meta.namespace}/{contract.PLURAL}/{meta.name}"


def _refusal(error: ApiError) -> str:
    return "QuotaExceeded" if "exceeded quota" in error.message else "PodRefused"
