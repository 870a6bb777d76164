"""Nodes that look empty because they refuse pods: without protection the least loaded node would attract the next one.

Three kubelet rejections on a node within ten minutes close it for that resource for ten minutes; one rejection closes
it for the pods of the same controller, so that a retried Task goes elsewhere.
"""

from dataclasses import dataclass, field
from typing import Final

from cloudai_rts.contract import REJECTION_PREFIX

LIMIT: Final = 3
WINDOW_SECONDS: Final = 600.0
CLOSED_SECONDS: Final = 600.0
ANY_RESOURCE: Final = "*"


@dataclass(slots=True)
class Rejections:
    """What kubelets refused lately. Times in seconds since the epoch."""

    _recent: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    _closed: dict[str, dict[str, float]] = field(default_factory=dict)
    _avoided: dict[str, dict[str, float]] = field(default_factory=dict)

    def record(self, node: str, resource: str, owner: str, at: float) -> bool:
        """Count one rejection. True if it closes the node for the resource now."""
        if owner:
            self._avoided.setdefault(owner, {})[node] = at + CLOSED_SECONDS
        recent = sorted((*self._recent.get((node, resource), ()), at))[-LIMIT:]  # lists tell them in any order
        self._recent[node, resource] = recent
        if len(recent) < LIMIT or recent[-1] - recent[0] > WINDOW_SECONDS:
            return False
        del self._recent[node, resource]
        self._closed.setdefault(node, {})[resource] = at + CLOSED_SECONDS
        return True

    def close(self, node: str, resource: str, at: float) -> None:
        """Close a node for a resource on other evidence than rejections."""
        self._closed.setdefault(node, {})[resource] = at + CLOSED_SECONDS

    def closed_nodes(self, resources: set[str], owner: str, now: float) -> set[str]:
        """Nodes that a pod asking for these resources and owned by this controller must not go to now."""
        closed = {
            node
            for node, until in self._closed.items()
            if any(end > now and (name in resources or name == ANY_RESOURCE) for name, end in until.items())
        }
        closed.update(node for node, end in self._avoided.get(owner, {}).items() if end > now)
        return closed

    def next_opening(self, now: float) -> float | None:
        """When the next closed node opens again, None if none is closed."""
        groups = (*self._closed.values(), *self._avoided.values())
        return min((end for until in groups for end in until.values() if end > now), default=None)

    def expire(self, now: float) -> None:
        """Forget what no longer matters."""
        for table in (self._closed, self._avoided):
            for name in list(table):
                table[name] = {key: end for key, end in table[name].items() if end > now}
                if not table[name]:
                    del table[name]
        for key in [key for key, times in self._recent.items() if not times or now - times[-1] > WINDOW_SECONDS]:
            del self._recent[key]


def rejected_resource(reason: str, gpu_resource: str) -> str:
    """The resource a rejection is about: named by `OutOf<resource>`, else the GPU asked for, else any."""
    if reason.startswith(REJECTION_PREFIX) and reason != REJECTION_PREFIX:
        return reason.removeprefix(REJECTION_PREFIX)
    return gpu_resource or ANY_RESOURCE
