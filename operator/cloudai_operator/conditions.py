"""Conditions of a Task: set in place, with the time of the last change of status."""

from typing import Final

from cloudai_kube import timestamp
from cloudai_kube.objects import Condition
from cloudai_kube.task import TaskStatus

MAX_MESSAGE: Final = 4000
TYPES: Final = ("Accepted", "Suspended", "Scheduled", "Running", "Complete", "Failed", "DeadlineMet")


def put(status: TaskStatus, kind: str, value: str, reason: str, message: str, generation: int, now: float) -> bool:
    """Set one condition. True if its status (True, False, Unknown) changed."""
    message = message[:MAX_MESSAGE]
    old = status.condition(kind)
    changed = old is None or old.status != value
    since = timestamp.whole_seconds(now) if changed or old is None else old.lastTransitionTime
    if old is not None and not changed and old.reason == reason and old.message == message:
        return False
    new = Condition(kind, value, reason, message, since, generation)
    status.conditions = [new if condition.type == kind else condition for condition in status.conditions]
    if old is None:
        status.conditions.append(new)
    return changed


def put_missing(status: TaskStatus, generation: int, now: float) -> None:
    """At first sight every condition is there, Unknown where nothing is known yet."""
    for kind in TYPES:
        if status.condition(kind) is None:
            put(status, kind, "Unknown", "Pending", "", generation, now)
