"""What one reconciliation wants done: values only, carried out by the executor in the order of the fields."""

from dataclasses import dataclass, field

from cloudai_kube.objects import Meta
from cloudai_kube.redaction import redacted
from cloudai_kube.task import Json, Task, TaskStatus
from cloudai_operator import conditions
from cloudai_rts.history import Record


@dataclass(frozen=True, slots=True)
class PodDeletion:
    """Delete a pod, `force` where no kubelet is left to do it."""

    pod: Meta
    force: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """An event on the Task, for people."""

    kind: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Observation:
    """A run time to learn from: seconds, and how much slower than the reference the node was predicted to be."""

    tenant: str
    task_type: str
    seconds: float
    node_factor: float


@dataclass(slots=True)
class Plan:
    """The new status, then pods to delete, pods' metadata to bring up to date, a pod to create, the Task to delete.

    `wake_at` (seconds since the epoch) is when the Task must be looked at again even if nothing happens.
    """

    status: TaskStatus
    deletions: list[PodDeletion] = field(default_factory=list)
    corrections: list[tuple[Meta, Json]] = field(default_factory=list)
    creation: Json | None = None
    delete_task: bool = False
    wake_at: float | None = None
    notices: list[Notice] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    history: list[Record] = field(default_factory=list)

    def wake(self, at: float) -> None:
        """Look again at `at` at the latest."""
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)

    def set(self, task: Task, kind: str, value: str, reason: str, message: str, now: float) -> bool:
        """Set a condition of the new status. True if its status (True, False, Unknown) changed."""
        return conditions.put(self.status, kind, value, reason, redacted(message), task.metadata.generation, now)

    def say(self, reason: str, message: str, kind: str = "Normal") -> None:
        """Tell people."""
        self.notices.append(Notice(kind, reason, message))
