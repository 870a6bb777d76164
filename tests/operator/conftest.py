"""A Task under the operator's eyes, with a cluster that does as a test says."""

from typing import Any

import msgspec
import pytest

from cloudai_kube import timestamp
from cloudai_kube.objects import Pod
from cloudai_kube.task import Task
from cloudai_operator.attempts import Nodes
from cloudai_operator.plan import Plan
from cloudai_operator.reconcile import Knowledge, Rules, reconcile

T0 = timestamp.parse("2026-01-01T00:00:00Z")


def a_task(**spec: Any) -> Task:
    """A Task as the API server hands it over right after its creation."""
    raw = {
        "metadata": {
            "name": "t",
            "namespace": "ns",
            "uid": "task-uid",
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"image": "work:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, **spec},
    }
    return msgspec.convert(raw, Task)


class World:
    """Carries out plans in memory: status into the Task, pods created and deleted, notices collected."""

    def __init__(self, **spec: Any) -> None:
        self.task = a_task(**spec)
        self.pods: dict[str, Pod] = {}
        self.now = T0
        self.notices: list[str] = []
        self.gone_nodes: dict[str, float] = {}
        self.unready_nodes: set[str] = set()
        self.rules = Rules("cloudai-scheduler", 2.0, 10.0, 360.0)
        self.removed = False

    def step(self, after: float = 0.0, crash: str = "") -> Plan:
        """Reconcile `after` seconds later; `crash` before `pods` leaves only the status written."""
        self.now += after
        knowledge = Knowledge(Nodes(self.gone_nodes, self.unready_nodes))
        plan = reconcile(self.task, list(self.pods.values()), knowledge, self.rules, self.now)
        self.task.status = plan.status
        if crash == "pods":
            return plan
        self.notices += [notice.reason for notice in plan.notices]
        for deletion in plan.deletions:
            self.pods.pop(deletion.pod.uid, None)
        for meta, values in plan.corrections:
            if meta.uid in self.pods:
                self.pods[meta.uid].metadata.annotations.update(values["annotations"])
                self.pods[meta.uid].metadata.labels.update(values["labels"])
        if plan.creation is not None:
            self._create(plan.creation)
        self.removed = self.removed or plan.delete_task
        return plan

    def settle(self) -> None:
        """Reconcile until nothing changes any more."""
        for _ in range(10):
            before = (msgspec.json.encode(self.task.status), sorted(self.pods))
            self.step()
            if (msgspec.json.encode(self.task.status), sorted(self.pods)) == before:
                return
        raise AssertionError("the plan never comes to rest")

    def _create(self, manifest: dict[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        if any(pod.metadata.name == name for pod in self.pods.values()):
            return  # AlreadyExists
        uid = f"uid-of-{name}"
        self.pods[uid] = msgspec.convert({**manifest, "metadata": {**manifest["metadata"], "uid": uid}}, Pod)

    def pod(self) -> Pod:
        """The newest pod."""
        return max(self.pods.values(), key=lambda pod: int(pod.metadata.labels["cloudai.dev/attempt"]))

    def bind(self, node: str = "n1", decision: str = "") -> None:
        """The scheduler binds it."""
        self.pod().spec.nodeName = node
        if decision:
            self.pod().metadata.annotations["cloudai.dev/decision"] = decision

    def report(self, phase: str, code: int | None = None, **status: Any) -> None:
        """The kubelet reports a phase; with `code` the container has ended."""
        state: dict[str, Any] = {"running": {"startedAt": timestamp.whole_seconds(self.now)}}
        if code is not None:
            state = {
                "terminated": {
                    "exitCode": code,
                    "startedAt": timestamp.whole_seconds(self.now - 5),
                    "finishedAt": timestamp.whole_seconds(self.now),
                }
            }
        raw = {"phase": phase, "containerStatuses": [{"name": "task", "state": state}], **status}
        pod = self.pod()
        pod.status = msgspec.convert(raw, type(pod.status))

    def fail(self, after: float = 0.0, code: int = 1) -> None:
        """Run and fail."""
        self.now += after
        self.bind()
        self.report("Failed", code)

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        found = self.task.status.condition(kind)
        return (found.status, found.reason) if found is not None else ("", "")


@pytest.fixture
def world() -> type[World]:
    """The class: tests start a world of their own."""
    return World
