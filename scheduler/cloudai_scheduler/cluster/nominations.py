"""Pods that are to get a node once others have left it: pods of lower priority may not take the room meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudai_scheduler.cluster.state import PlacedPod


@dataclass(slots=True)
class Nominations:
    """By node and by the pod's UID: what the pod would hold there.

    `on_end` is told of a node that is kept no longer.
    """

    on_end: Callable[[str], None] = lambda _node: None
    by_node: dict[str, dict[str, PlacedPod]] = field(default_factory=dict)
    _node_of: dict[str, str] = field(default_factory=dict)

    def put(self, placed: PlacedPod) -> None:
        """Nominate a pod for `placed.node`; an earlier nomination of it ends."""
        self.remove(placed.uid)
        self._node_of[placed.uid] = placed.node
        self.by_node.setdefault(placed.node, {})[placed.uid] = placed

    def remove(self, uid: str) -> None:
        """End the nomination of a pod, if it has one."""
        node = self._node_of.pop(uid, None)
        if node is not None:
            del self.by_node[node][uid]
            if not self.by_node[node]:
                del self.by_node[node]
            self.on_end(node)

    def leave(self, node: str) -> list[str]:
        """A node is gone: nobody waits for it any more. Returns the UIDs of those that did."""
        uids = self.uids(node)
        for uid in uids:
            self.remove(uid)
        return uids

    def uids(self, node: str) -> list[str]:
        """Those that wait for a node."""
        return list(self.by_node.get(node, {}))

    def node_of(self, uid: str) -> str:
        """The node that a pod is nominated for, "" if for none."""
        return self._node_of.get(uid, "")

    def before(self, uid: str, priority: int) -> dict[str, list[PlacedPod]]:
        """Pods that one of this priority has to yield to, by node: those of equal or higher priority."""
        stronger = {
            node: [placed for placed in pods.values() if placed.priority >= priority and placed.uid != uid]
            for node, pods in self.by_node.items()
        }
        return {node: pods for node, pods in stronger.items() if pods}

    def below(self, node: str, priority: int) -> list[str]:
        """UIDs of pods of lower priority that are nominated for a node."""
        return [uid for uid, placed in self.by_node.get(node, {}).items() if placed.priority < priority]
