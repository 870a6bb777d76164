"""What the operator knows of the cluster: Tasks, the pods they own, nodes. Whoever changes is enqueued."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cloudai_kube.objects import Named, Pod
from cloudai_kube.task import Task
from cloudai_rts import contract


def owner_uid(pod: Pod) -> str:
    """UID of the Task that owns a pod, empty for others' pods."""
    owners = pod.metadata.ownerReferences
    return next((owner.uid for owner in owners if owner.kind == contract.KIND and owner.controller), "")


@dataclass(slots=True)
class Cache:
    """Objects by UID. `changed` is called with the UID of a Task to look at again, `removed` with one that is gone."""

    changed: Callable[[str], None]
    clock: Callable[[], float]
    node_gone_seconds: float = 30.0
    removed: Callable[[Task], None] = lambda _task: None
    tasks: dict[str, Task] = field(default_factory=dict)
    _pods: dict[str, dict[str, Pod]] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    _removed: deque[str] = field(default_factory=lambda: deque(maxlen=512))
    _nodes: set[str] = field(default_factory=set)
    _gone: dict[str, float] = field(default_factory=dict)
    _nodes_known: bool = False

    def pods_of(self, uid: str) -> list[Pod]:
        """All pods owned by a Task, also by one that is deleted."""
        return list(self._pods.get(uid, {}).values())

    def owners(self) -> set[str]:
        """UIDs of all Tasks, existing or not, that own pods."""
        return set(self._pods)

    def gone_nodes(self) -> dict[str, float]:
        """Nodes that pods are bound to and that do not exist, with the moment from which on they count as gone."""
        return self._gone

    def put_task(self, task: Task) -> None:
        """Take a Task unless it is older than the one we know."""
        known = self.tasks.get(task.metadata.uid)
        if known is not None and _is_older(task, known):
            return
        self.tasks[task.metadata.uid] = task
        self.changed(task.metadata.uid)

    def remove_task(self, uid: str) -> None:
        """A Task is gone: its pods are to follow."""
        task = self.tasks.pop(uid, None)
        if task is not None:
            self.removed(task)
            self.changed(uid)

    def put_pod(self, pod: Pod) -> None:
        """Take a pod of a Task."""
        uid = owner_uid(pod)
        if not uid:
            return
        self._pods.setdefault(uid, {})[pod.metadata.uid] = pod
        self._owners[pod.metadata.uid] = uid
        self._miss(pod.spec.nodeName)
        self.changed(uid)

    def put_created(self, pod: Pod) -> None:
        """Take the answer to a creation, unless the watch was faster: what it said is newer."""
        if pod.metadata.uid not in self._owners and pod.metadata.uid not in self._removed:
            self.put_pod(pod)

    def remove_pod(self, pod_uid: str) -> None:
        """A pod is gone."""
        self._removed.append(pod_uid)
        uid = self._owners.pop(pod_uid, None)
        if uid is None:
            return
        pods = self._pods[uid]
        pods.pop(pod_uid, None)
        if not pods:
            del self._pods[uid]
        self.changed(uid)

    def replace_pods(self, pods: list[Pod]) -> None:
        """Take the whole truth about pods."""
        listed = {pod.metadata.uid for pod in pods}
        for pod_uid in [uid for uid in self._owners if uid not in listed]:
            self.remove_pod(pod_uid)
        for pod in pods:
            self.put_pod(pod)

    def replace_nodes(self, nodes: list[Named]) -> None:
        """Take the whole truth about nodes."""
        self._nodes = {node.metadata.name for node in nodes}
        self._nodes_known = True
        self._gone = {name: since for name, since in self._gone.items() if name not in self._nodes}
        for uid, pods in list(self._pods.items()):
            for pod in pods.values():
                self._miss(pod.spec.nodeName)
            if any(pod.spec.nodeName in self._gone for pod in pods.values()):
                self.changed(uid)

    def apply_node(self, event: str, node: Named) -> None:
        """Take one change of a node; those whose pods are on a lost one are looked at."""
        name = node.metadata.name
        if event != "DELETED":
            self._nodes.add(name)
            self._gone.pop(name, None)
            return
        self._nodes.discard(name)
        for uid, pods in list(self._pods.items()):
            if any(pod.spec.nodeName == name for pod in pods.values()):
                self._miss(name)
                self.changed(uid)

    def _miss(self, name: str) -> None:
        if name and self._nodes_known and name not in self._nodes:
            self._gone.setdefault(name, self.clock() + self.node_gone_seconds)


def _is_older(task: Task, known: Task) -> bool:
    """Resource versions of one resource grow; anything but numbers counts as new."""
    new, old = task.metadata.resourceVersion, known.metadata.resourceVersion
    return new.isdigit() and old.isdigit() and int(new) < int(old)


@dataclass(slots=True)
class PodStore:
    """Store of the pod reflector."""

    cache: Cache

    def replace(self, objects: list[Pod]) -> None:
        """Take a list."""
        self.cache.replace_pods(objects)

    def apply(self, event: str, item: Pod) -> None:
        """Take an event."""
        if event == "DELETED":
            self.cache.remove_pod(item.metadata.uid)
        else:
            self.cache.put_pod(item)


@dataclass(slots=True)
class NodeStore:
    """Store of the node reflector; only names matter."""

    cache: Cache

    def replace(self, objects: list[Named]) -> None:
        """Take a list."""
        self.cache.replace_nodes(objects)

    def apply(self, event: str, item: Named) -> None:
        """Take an event."""
        self.cache.apply_node(event, item)
