"""What must hold at every resource version, checked over the whole history.

Every pod is bound at most once; no bind puts more on a node than it has; an attempt of a Task never has two pods, and a
Task never two pods that live.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube.demand import Amounts, capacity_of, requests_of
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod
from cloudai_kube.promise import task_uid
from cloudai_sandbox.history import Change

_TERMINAL: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Violation:
    """What was wrong, and at which resource version."""

    revision: int
    message: str


@dataclass(slots=True)
class Report:
    """What was looked at, and what was wrong."""

    changes: int = 0
    pods: int = 0
    binds: int = 0
    fullest_share: float = 0.0
    violations: list[Violation] = field(default_factory=list)


@dataclass(slots=True)
class _Seen:
    uid: str
    node: str
    amounts: Amounts
    live: bool
    task: str


@dataclass(slots=True)
class Audit:
    """Replays a history. Feed it with `see`, in order."""

    report: Report = field(default_factory=Report)
    _pods: dict[str, _Seen] = field(default_factory=dict)
    _bound_to: dict[str, str] = field(default_factory=dict)
    _attempts: dict[tuple[str, str], str] = field(default_factory=dict)
    _live: dict[str, set[str]] = field(default_factory=dict)
    _used: dict[str, Amounts] = field(default_factory=dict)
    _allocatable: dict[str, Amounts] = field(default_factory=dict)

    def see(self, change: Change) -> None:
        """Take the next change."""
        self.report.changes += 1
        if not change.is_pod:
            name = change.key.rpartition("/")[2]
            self._allocatable.pop(name, None)
            if change.node is not None:
                self._allocatable[name], _ = capacity_of(change.node.status.allocatable)
            return
        before = self._pods.pop(change.key, None)
        if before is not None:
            self._take_away(before)
        if change.pod is not None:
            self._take(change.revision, change.key, change.pod, before)

    def _take(self, revision: int, key: str, pod: Pod, before: _Seen | None) -> None:
        meta = pod.metadata
        if before is None or before.uid != meta.uid:
            self.report.pods += 1
            self._check_attempt(revision, pod)
        seen = _Seen(meta.uid, pod.spec.nodeName, _amounts(pod), pod.status.phase not in _TERMINAL, task_uid(pod))
        self._pods[key] = seen
        if seen.live:
            self._count(seen, 1)
            self._check_live(revision, seen)
        if seen.node and self._bound_to.get(meta.uid) != seen.node:
            self._check_bind(revision, pod, seen)

    def _check_bind(self, revision: int, pod: Pod, seen: _Seen) -> None:
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        known = self._bound_to.get(seen.uid)
        self._bound_to[seen.uid] = seen.node
        self.report.binds += 1
        if known is not None:
            self._complain(revision, f"pod {name} was bound to {known} and then to {seen.node}")
        room = self._allocatable.get(seen.node)
        if room is None:
            self._complain(revision, f"pod {name} was bound to {seen.node}, which does not exist")
            return
        for resource, used in self._used.get(seen.node, {}).items():
            if resource in seen.amounts:
                self._check_room(revision, seen.node, resource, used, room.get(resource, 0))

    def _check_room(self, revision: int, node: str, resource: str, used: int, room: int) -> None:
        self.report.fullest_share = max(self.report.fullest_share, used / room if room else 0.0)
        if used > room:
            self._complain(revision, f"node {node} is over-committed: {used} of {room} {resource}")

    def _check_attempt(self, revision: int, pod: Pod) -> None:
        task, attempt = task_uid(pod), pod.metadata.name.rpartition("-")[2]
        if not task:
            return
        other = self._attempts.setdefault((task, attempt), pod.metadata.uid)
        if other != pod.metadata.uid:
            self._complain(revision, f"attempt {attempt} of Task {task} has two pods, {other} and {pod.metadata.uid}")

    def _check_live(self, revision: int, seen: _Seen) -> None:
        if seen.task and len(self._live[seen.task]) > 1:
            self._complain(revision, f"Task {seen.task} has {len(self._live[seen.task])} live pods")

    def _take_away(self, seen: _Seen) -> None:
        if seen.live:
            self._count(seen, -1)

    def _count(self, seen: _Seen, sign: int) -> None:
        if seen.node:
            used = self._used.setdefault(seen.node, {})
            for resource, amount in seen.amounts.items():
                used[resource] = used.get(resource, 0) + sign * amount
        if seen.task:
            live = self._live.setdefault(seen.task, set())
            live.add(seen.uid) if sign > 0 else live.discard(seen.uid)

    def _complain(self, revision: int, message: str) -> None:
        self.report.violations.append(Violation(revision, message))


def audit(history: Iterable[Change]) -> Report:
    """Check a whole history."""
    auditor = Audit()
    for change in history:
        auditor.see(change)
    return auditor.report


def _amounts(pod: Pod) -> Amounts:
    try:
        return requests_of(pod)
    except FormatError:
        return {"pods": 1}
