"""What the operator knows of the cluster: Tasks, the pods they own, nodes. Tasks that a change concerns are enqueued.

Which pods are a Task's is proved by their names, which follow from the Task's name and UID; labels and owner references
are claims of the pod's author.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from cloudai_kube import outcome
from cloudai_kube.objects import Meta, Node, Pod
from cloudai_kube.promise import task_uid
from cloudai_kube.task import Task

REMEMBERED_ENDS: Final = 10_000
"""Tasks with pods that are gone and whose last state may not be booked yet."""
REMEMBERED_LOST: Final = 1024
"""Lost nodes; with more of them those are forgotten that carry no pod of ours any more."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A Task that cannot be read: nothing is done to its pods."""

    meta: Meta
    problem: str
    conditions: list[Any]

    @property
    def uid(self) -> str:
        """Its UID."""
        return self.meta.uid


@dataclass(slots=True)
class Cache:
    """Objects by UID. `changed` is called with the UID of a Task to look at again, `removed` with one that is gone.

    `parked` hears of each Task that cannot be read, once for what is wrong with it.
    """

    changed: Callable[[str], None]
    clock: Callable[[], float]
    node_gone_seconds: float = 30.0
    removed: Callable[[Task], None] = lambda _task: None
    parked: Callable[[Unreadable], None] = lambda _task: None
    tasks: dict[str, Task] = field(default_factory=dict)
    unreadable: dict[str, Unreadable] = field(default_factory=dict)
    _pods: dict[str, dict[str, Pod]] = field(default_factory=dict)
    _ended: OrderedDict[str, dict[str, Pod]] = field(default_factory=OrderedDict)
    _owners: dict[str, str] = field(default_factory=dict)
    _removed: deque[str] = field(default_factory=lambda: deque(maxlen=512))
    _nodes: set[str] = field(default_factory=set)
    _unready: set[str] = field(default_factory=set)
    _gone: dict[str, float] = field(default_factory=dict)
    _nodes_known: bool = False

    def pods_of(self, task: Task) -> list[Pod]:
        """All pods of a Task, also those that are gone and whose end its status may not know yet."""
        uid, namespace = task.metadata.uid, task.metadata.namespace
        pods = {**self._ended.get(uid, {}), **self._pods.get(uid, {})}
        return [pod for pod in pods.values() if pod.metadata.namespace == namespace]

    def left_behind(self, uid: str) -> list[Pod]:
        """The pods of a Task that is gone."""
        return list(self._pods.get(uid, {}).values())

    def owners(self) -> set[str]:
        """UIDs of all Tasks, existing or not, that own pods."""
        return set(self._pods)

    def known(self) -> set[str]:
        """UIDs of all Tasks that exist."""
        return self.tasks.keys() | self.unreadable.keys()

    def gone_nodes(self) -> dict[str, float]:
        """Nodes that pods are bound to and that do not exist, with the moment from which on they count as gone."""
        return self._gone

    def unready_nodes(self) -> set[str]:
        """Nodes whose kubelet does not say that it is Ready."""
        return self._unready

    def put_task(self, task: Task) -> None:
        """Take a Task unless it is older than the one we know."""
        uid = task.metadata.uid
        known = self.tasks.get(uid)
        if known is not None and _is_older(task, known):
            return
        self.unreadable.pop(uid, None)
        self.tasks[uid] = task
        self.changed(uid)

    def put_unreadable(self, task: Unreadable) -> None:
        """Take note of a Task that cannot be read; what was known of it no longer holds."""
        known = self.unreadable.get(task.uid)
        self.tasks.pop(task.uid, None)
        self.unreadable[task.uid] = task
        if known is None or (known.problem, known.meta.generation) != (task.problem, task.meta.generation):
            self.parked(task)
            self.changed(task.uid)

    def remove_task(self, uid: str) -> None:
        """A Task is gone: its pods are to follow."""
        self.unreadable.pop(uid, None)
        task = self.tasks.pop(uid, None)
        if task is not None:
            self.removed(task)
        self.changed(uid)

    def put_pod(self, pod: Pod) -> None:
        """Take a pod of a Task."""
        uid = task_uid(pod)
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

    def remove_pod(self, pod_uid: str, last: Pod | None = None) -> None:
        """A pod is gone; `last` is the state in which it went, if that is known: success is never run again."""
        self._removed.append(pod_uid)
        uid = self._owners.pop(pod_uid, None)
        if uid is None:
            return
        pods = self._pods[uid]
        seen = pods.pop(pod_uid, None)
        if not pods:
            del self._pods[uid]
        ended = next((pod for pod in (last, seen) if pod and task_uid(pod) == uid and outcome.of(pod)), None)
        if ended is not None:
            self._ended.setdefault(uid, {})[pod_uid] = ended
            if len(self._ended) > REMEMBERED_ENDS:
                self._ended.popitem(last=False)
        self.changed(uid)

    def forget_ends(self, uid: str, pods: Iterable[Pod]) -> None:
        """The ends of these pods of a Task are booked; one that came while an earlier state was handled is not."""
        ended = self._ended.get(uid, {})
        for pod in pods:
            if ended.get(pod.metadata.uid) is pod:
                del ended[pod.metadata.uid]
        if not ended:
            self._ended.pop(uid, None)

    def retain_pods(self, listed: list[Meta], namespace: str = "") -> None:
        """After a list of this namespace, or of all: pods that are not there are gone."""
        uids = {meta.uid for meta in listed}
        for pod_uid, uid in list(self._owners.items()):
            is_listed = not namespace or self._pods[uid][pod_uid].metadata.namespace == namespace
            if is_listed and pod_uid not in uids:
                self.remove_pod(pod_uid)

    def retain_nodes(self, listed: list[Meta]) -> None:
        """After a list: nodes that are not there are gone."""
        self._nodes = {meta.name for meta in listed}
        self._unready &= self._nodes
        self._nodes_known = True
        self._forget_lost_nodes()
        for uid, pods in list(self._pods.items()):
            for pod in pods.values():
                self._miss(pod.spec.nodeName)
            if any(pod.spec.nodeName in self._gone for pod in pods.values()):
                self.changed(uid)

    def apply_node(self, event: str, node: Node) -> None:
        """Take one change of a node; Tasks whose pods are on a lost one are looked at."""
        name = node.metadata.name
        was_unready = name in self._unready
        self._unready.discard(name)
        if event != "DELETED":
            self._nodes.add(name)
            self._gone.pop(name, None)
            if not any(
                condition.type == "Ready" and condition.status == "True" for condition in node.status.conditions
            ):
                self._unready.add(name)
                if not was_unready:
                    self._look_at_pods_on(name)
            return
        self._nodes.discard(name)
        self._look_at_pods_on(name)

    def _look_at_pods_on(self, name: str) -> None:
        for uid, pods in list(self._pods.items()):
            if any(pod.spec.nodeName == name for pod in pods.values()):
                self._miss(name)
                self.changed(uid)

    def _miss(self, name: str) -> None:
        if name and self._nodes_known and name not in self._nodes:
            self._gone.setdefault(name, self.clock() + self.node_gone_seconds)
            if len(self._gone) > REMEMBERED_LOST:
                self._forget_lost_nodes()

    def _forget_lost_nodes(self) -> None:
        """Keep those that are still lost and that a pod is still bound to."""
        bound = {pod.spec.nodeName for pods in self._pods.values() for pod in pods.values()}
        self._gone = {name: since for name, since in self._gone.items() if name in bound - self._nodes}


def _is_older(task: Task, known: Task) -> bool:
    """Resource versions of one resource grow; anything but numbers counts as new."""
    new, old = task.metadata.resourceVersion, known.metadata.resourceVersion
    return new.isdigit() and old.isdigit() and int(new) < int(old)


@dataclass(slots=True)
class PodStore:
    """Store of the reflector on the pods of one namespace; empty: of all."""

    cache: Cache
    namespace: str = ""

    def retain(self, listed: list[Meta]) -> None:
        """Take a list."""
        self.cache.retain_pods(listed, self.namespace)

    def apply(self, event: str, pod: Pod) -> None:
        """Take an event; also a deletion shows the pod's last state."""
        if event == "DELETED":
            self.cache.remove_pod(pod.metadata.uid, pod)
        else:
            self.cache.put_pod(pod)


@dataclass(slots=True)
class NodeStore:
    """Store of the node reflector."""

    cache: Cache

    def retain(self, listed: list[Meta]) -> None:
        """Take a list."""
        self.cache.retain_nodes(listed)

    def apply(self, event: str, node: Node) -> None:
        """Take an event."""
        self.cache.apply_node(event, node)
