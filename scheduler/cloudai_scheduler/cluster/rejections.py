"""Nodes that look empty because they refuse pods: without protection the least loaded node would attract the next one.

Three refusals on a node within ten minutes close it for that resource for ten minutes: for the namespace whose pods
were refused, and for all once two namespaces have seen it. One refusal makes the pods of the same controller avoid the
node, so that a retried Task goes elsewhere. A pod that starts there takes the evidence away.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

LIMIT: Final = 3
WINDOW_SECONDS: Final = 600.0
CLOSED_SECONDS: Final = 600.0
ANY_RESOURCE: Final = "*"
EVERYBODY: Final = ""
"""In place of a namespace: the node is closed for all."""
MOST_OWNERS: Final = 10_000
REJECTION_PREFIX: Final = "OutOf"
"""How a kubelet's reason begins that names the resource that was short."""


@dataclass(slots=True)
class Rejections:
    """What kubelets refused lately. Times in seconds since the epoch."""

    _recent: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)
    _closed: dict[str, dict[tuple[str, str], float]] = field(default_factory=dict)
    _avoided: dict[str, dict[str, float]] = field(default_factory=dict)

    def record(self, node: str, resource: str, namespace: str, at: float) -> str | None:
        """Count one refusal. Returns the namespace for which it closes the node now, `EVERYBODY`, or None."""
        tenants = self._recent.setdefault((node, resource), {})
        tenants[namespace] = sorted((*tenants.get(namespace, ()), at))[-LIMIT:]  # lists tell them in any order
        newest = max(times[-1] for times in tenants.values())
        recent = {name: [t for t in times if newest - t <= WINDOW_SECONDS] for name, times in tenants.items()}
        if sum(map(len, recent.values())) >= LIMIT and sum(map(bool, recent.values())) > 1:
            self._close(node, resource, EVERYBODY, at)
            return EVERYBODY
        if len(recent[namespace]) >= LIMIT:
            del tenants[namespace][:-1]  # what is left still counts for what another namespace sees
            self._close(node, resource, namespace, at)
            return namespace
        return None

    def avoid(self, node: str, owner: str, at: float) -> None:
        """Let the pods of this controller go elsewhere."""
        if owner:
            self._avoided.setdefault(owner, {})[node] = at + CLOSED_SECONDS
            if len(self._avoided) > MOST_OWNERS:
                del self._avoided[next(iter(self._avoided))]

    def started(self, node: str) -> None:
        """A pod of ours runs there: what was refused before says nothing more."""
        for key in [key for key in self._recent if key[0] == node]:
            del self._recent[key]

    def close(self, node: str, resource: str, at: float) -> None:
        """Close a node for a resource on other evidence than refusals."""
        self._close(node, resource, EVERYBODY, at)

    def closed_nodes(self, resources: Collection[str], namespace: str, now: float) -> set[str]:
        """Nodes that a pod of this namespace that asks for these resources must not go to now."""
        return {
            node
            for node, until in self._closed.items()
            if any(
                end > now and (name in resources or name == ANY_RESOURCE) and whose in {EVERYBODY, namespace}
                for (name, whose), end in until.items()
            )
        }

    def avoided_nodes(self, owner: str, now: float) -> set[str]:
        """Nodes that the pods of this controller should not go to while others can take them."""
        return {node for node, end in self._avoided.get(owner, {}).items() if end > now}

    def next_opening(self, now: float) -> float | None:
        """When the next closed node opens again, None if none is closed."""
        ends = [end for until in self._closed.values() for end in until.values()]
        ends += [end for nodes in self._avoided.values() for end in nodes.values()]
        return min((end for end in ends if end > now), default=None)

    def expire(self, now: float) -> None:
        """Forget what no longer matters."""
        for node in list(self._closed):
            self._closed[node] = {key: end for key, end in self._closed[node].items() if end > now}
            if not self._closed[node]:
                del self._closed[node]
        for owner in list(self._avoided):
            self._avoided[owner] = {node: end for node, end in self._avoided[owner].items() if end > now}
            if not self._avoided[owner]:
                del self._avoided[owner]
        for key, tenants in list(self._recent.items()):
            if all(now - times[-1] > WINDOW_SECONDS for times in tenants.values()):
                del self._recent[key]

    def _close(self, node: str, resource: str, whose: str, at: float) -> None:
        self._closed.setdefault(node, {})[resource, whose] = at + CLOSED_SECONDS
        if whose == EVERYBODY:
            self._recent.pop((node, resource), None)


def rejected_resource(reason: str, gpu_resource: str) -> str:
    """The resource a refusal is about: named by `OutOf<resource>`, else the GPU asked for, else any."""
    if reason.startswith(REJECTION_PREFIX) and reason != REJECTION_PREFIX:
        return reason.removeprefix(REJECTION_PREFIX)
    return gpu_resource or ANY_RESOURCE
