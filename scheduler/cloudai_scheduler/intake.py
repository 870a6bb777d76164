"""Watch events into state and queue: where every pod and node the API server speaks of ends up.

Whatever a pod says about itself is its owner's claim. Knowledge of the pods that we bound comes from our own
decisions, kept by UID from the bind on.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube import moment, promise
from cloudai_kube.errors import FormatError
from cloudai_kube.events import Recorder, Subject
from cloudai_kube.objects import Meta, Namespace, Node, Pod
from cloudai_kube.wording import told
from cloudai_rts import contract
from cloudai_rts.ordering import Standing
from cloudai_rts.policy import Policy
from cloudai_rts.task import Task
from cloudai_rts.tau import TauStore
from cloudai_scheduler import conditions, preferences
from cloudai_scheduler.cluster import promised
from cloudai_scheduler.cluster.neighbours import Neighbour
from cloudai_scheduler.cluster.pod_volumes import PodVolumes
from cloudai_scheduler.cluster.refusals import Refusals
from cloudai_scheduler.cluster.state import TERMINAL, ClusterState, PlacedPod
from cloudai_scheduler.conditions import ConditionWriter
from cloudai_scheduler.filters import unsupported
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.podclass import ClassTable, PodClass
from cloudai_scheduler.profile import STOCK
from cloudai_scheduler.queue import Cause, QueuedPod, SchedulingQueue

_log = logging.getLogger(__name__)
MOST_AVOIDED: Final = 32
"""Nodes that a pod may name as those that refused it."""
MAX_MESSAGE: Final = 800
NEW_SECONDS: Final = 5.0
"""A pod that is first seen so soon after its creation has just been created."""


@dataclass(frozen=True, slots=True)
class Held:
    """A pod that waits outside the queue, because something about it keeps us from placing it."""

    pod: Pod
    reason: str
    message: str
    since: float


@dataclass(slots=True)
class Intake:
    """Keeps state and queue up to date. Pods of the scheduler `names` are served.

    `clock` gives seconds since the epoch; `wake` is called when there is work.
    """

    names: frozenset[str]
    state: ClusterState
    queue: SchedulingQueue
    refusals: Refusals
    policy: Policy
    recorder: Recorder
    conditions: ConditionWriter
    metrics: SchedulerMetrics
    clock: Callable[[], float]
    wake: Callable[[], None]
    sla_multiplier: float = 2.0
    classes: ClassTable = field(default_factory=ClassTable)
    arrivals: promise.Arrivals = field(default_factory=promise.Arrivals)
    tau: TauStore = field(default_factory=TauStore)
    held: dict[str, Held] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    is_leading: bool = True

    def apply_pod(self, event: str, pod: Pod) -> None:
        """Take one change of a pod."""
        uid = pod.metadata.uid
        if pod.spec.schedulerName in self.names:
            self.arrivals.note(pod)
        if event == "DELETED":
            self.forget_pod(uid)
        elif pod.spec.nodeName:
            self._leave_queue(uid)
            placed = self.state.pods.get(uid)
            self.state.put_pod(pod)
            if placed is not None and placed.ours and placed.node == pod.spec.nodeName:
                self.refusals.see(pod, self.state.pods.get(uid, placed))
        elif self._is_waiting(pod):
            self._enqueue(pod)
        else:
            self._leave_queue(uid)
            if pod.spec.schedulingGates and pod.spec.schedulerName in self.names:
                self._keep_gated(pod)
        self.wake()

    def _keep_gated(self, pod: Pod) -> None:
        """A gated pod waits outside the queue; the room that was made for it is kept."""
        self.gated.add(pod.metadata.uid)
        try:
            self._adopt_nomination(pod, self.classes.of(pod))
        except FormatError as error:
            _log.info("gated pod %s/%s: %s", pod.metadata.namespace, pod.metadata.name, error)

    def forget_pod(self, uid: str) -> None:
        """A pod is gone."""
        self._leave_queue(uid)
        self.gated.discard(uid)
        self.state.remove_pod(uid)

    def knows(self, uid: str) -> bool:
        """Whether a pod has a place here: it waits, is kept out of the queue with a word, or is on a node."""
        return uid in self.queue.entries or uid in self.held or uid in self.gated or uid in self.state.pods

    def take_newer(self, entry: QueuedPod) -> None:
        """A pod is back in the queue: take what came of it while it was on its way to a node."""
        if entry.newer is not None and self.queue.entries.get(entry.uid) is entry:
            newer, entry.newer = entry.newer, None
            self.apply_pod("MODIFIED", newer)

    def retain_pods(self, listed: list[Meta]) -> None:
        """After a list: pods that are not there are gone."""
        uids = {meta.uid for meta in listed}
        for uid in [uid for uid in (*self.state.pods, *self.queue.entries, *self.held, *self.gated) if uid not in uids]:
            self.forget_pod(uid)
        self.arrivals.keep(listed)

    @staticmethod
    def as_placed(pod: Pod, pod_class: PodClass, node: str) -> PlacedPod:
        """What a pod would hold on a node."""
        meta = pod.metadata
        return PlacedPod(
            uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            node=node,
            amounts=pod_class.held,
            ports=pod_class.ports,
            neighbour=Neighbour.of(pod),
            volumes=PodVolumes.of(pod),
            usual=pod_class.usual,
            priority=pod.spec.priority,
            generation=meta.generation,
        )

    def waiting(self, uid: str) -> Pod | None:
        """The newest state of a pod that has no node and is not on its way to one."""
        if uid in self.held:
            return self.held[uid].pod
        entry = self.queue.entries.get(uid)
        return None if entry is None or uid in self.state.pods else entry.pod

    def apply_node(self, event: str, node: Node) -> None:
        """Take one change of a node."""
        if event == "DELETED":
            self._forget_node(node.metadata.name)
        else:
            changes = len(self.state.node_changes)
            problem = self.state.put_node(node)
            if len(self.state.node_changes) != changes:
                self._wake_nominated(self.state.nominations.uids(node.metadata.name))
            if problem is not None:
                subject = Subject("v1", "Node", "", node.metadata.name, node.metadata.name)
                self.recorder.warning(subject, "NodeNotUsable", f"node {node.metadata.name}: {problem}"[:MAX_MESSAGE])
        self.metrics.nodes.set(len(self.state.nodes))
        self.wake()

    def retain_nodes(self, listed: list[Meta]) -> None:
        """After a list: nodes that are not there are gone."""
        names = {meta.name for meta in listed}
        for name in [name for name in self.state.nodes if name not in names]:
            self._forget_node(name)
        self.wake()

    def _forget_node(self, name: str) -> None:
        """A node is gone: those for whom room was made there look elsewhere."""
        self.state.remove_node(name)
        self._wake_nominated(self.state.nominations.leave(name))

    def _wake_nominated(self, uids: Iterable[str]) -> None:
        """The node that is kept for these pods is another one than it was."""
        for uid in uids:
            if uid in self.queue.entries:
                self.queue.wake(self.queue.entries[uid], self.clock(), Cause.NODE_CHANGED)

    def reread(self, entry: QueuedPod) -> bool:
        """Bring a queued pod's prediction up to date after the parameters changed. True if its standing changed."""
        version = self.policy.document.version
        if entry.document_version == version:
            return False
        entry.document_version = version
        entry.task = self._promise(entry.pod, entry.pod_class).task
        return self.restand(entry)

    def restand(self, entry: QueuedPod) -> bool:
        """Work out a queued pod's standing again, once its class is judged. True if it changed."""
        before = entry.standing
        entry.standing = self._standing(entry.pod, entry.pod_class, entry.task, entry.enqueued)
        return entry.standing != before

    def park(self, pod: Pod, error: Exception) -> None:
        """Tell of a pod that could not be handled, so that its owner learns of it."""
        message = f"the scheduler cannot handle this pod: {told(error)}"
        self._hold(pod, conditions.SCHEDULER_ERROR, conditions.SCHEDULER_ERROR, message)

    def retry_parked(self, before: float) -> None:
        """Try pods again that could not be handled, if that was before a moment (seconds since the epoch)."""
        for uid, held in list(self.held.items()):
            if held.reason != conditions.SCHEDULER_ERROR or held.since >= before:
                continue
            try:
                self._enqueue(held.pod)
            except Exception as error:  # noqa: BLE001  one pod must never stop the others
                self.park(held.pod, error)
            if uid in self.queue.entries:
                self.wake()

    def _leave_queue(self, uid: str) -> None:
        self.queue.remove(uid)
        self.state.nominations.remove(uid)
        self.state.release_room(uid)
        self.held.pop(uid, None)
        self.conditions.drop(uid)

    def _is_waiting(self, pod: Pod) -> bool:
        return (
            pod.spec.schedulerName in self.names
            and pod.metadata.deletionTimestamp is None
            and pod.status.phase not in TERMINAL
            and not pod.spec.schedulingGates
        )

    def _enqueue(self, pod: Pod) -> None:
        uid = pod.metadata.uid
        known = self.queue.entries.get(uid)
        if uid in self.state.pods:  # assumed: its bind is under way
            if known is not None:
                known.newer = pod
            return
        if known is not None and _says_the_same(known.pod, pod):
            before, known.pod = known.pod.status.nominatedNodeName, pod
            self._follow_nomination(known, before)
            return
        hard = unsupported.hard(pod)
        if hard:
            message = f"not placed: this version does not support {', '.join(hard)}; remove it or use another scheduler"
            self._hold(pod, conditions.NOT_SUPPORTED, unsupported.EVENT, message)
            return
        try:
            pod_class = self.classes.of(pod)
        except FormatError as error:
            self._hold(pod, conditions.UNSCHEDULABLE, "FailedScheduling", f"its requests cannot be read: {error}")
            return
        self.queue.add(self.entry(pod, pod_class, known), self.clock())
        if not self.state.nominations.node_of(uid):
            self._adopt_nomination(pod, pod_class)
        self.held.pop(uid, None)

    def _follow_nomination(self, entry: QueuedPod, before: str) -> None:
        """Take a nomination as it is written, until we lead; from then on only that somebody took one back."""
        after, nominations = entry.pod.status.nominatedNodeName, self.state.nominations
        is_taken_back = not after and nominations.node_of(entry.uid) == before
        if after != before and (is_taken_back or not self.is_leading):
            nominations.remove(entry.uid)
            self._adopt_nomination(entry.pod, entry.pod_class)

    def _adopt_nomination(self, pod: Pod, pod_class: PodClass) -> None:
        if pod.status.nominatedNodeName:
            self.state.nominations.put(self.as_placed(pod, pod_class, pod.status.nominatedNodeName))

    def entry(self, pod: Pod, pod_class: PodClass, known: QueuedPod | None = None) -> QueuedPod:
        """A pod as it stands in the queue; `known` is what stood there for it before."""
        promises = self._promise(pod, pod_class)
        self._warn(pod, promises.problems)
        if known is None and (soft := unsupported.soft(pod)):
            text = f"not all wishes are looked at: {', '.join(soft)}"
            self.recorder.warning(Subject.of("v1", "Pod", pod.metadata), "PreferenceIgnored", text[:MAX_MESSAGE])
        if known is None:
            self.policy.note(promises.task, pod.metadata.namespace)
        enqueued = known.enqueued if known is not None else self._since(pod)
        return QueuedPod(
            pod=pod,
            pod_class=pod_class,
            task=promises.task,
            standing=self._standing(pod, pod_class, promises.task, enqueued),
            document_version=self.policy.document.version,
            enqueued=enqueued,
            owner=promise.controller_of(pod.metadata),
            avoided=_avoided(pod.metadata),
            is_plain=promises.task.deadline is None and not promise.says_anything(pod),
            wishes=preferences.wishes_of(pod, self.classes.profiles.get(pod.spec.schedulerName, STOCK)),
            failures=known.failures if known is not None else 0,
        )

    def _since(self, pod: Pod) -> float:
        """When a pod began to wait: at its creation, so that a restart renews nobody's patience, or with its last gate.

        A creation is told in whole seconds only, so of a pod that is new this moment counts.
        """
        now, created = self.clock(), moment.read(pod.metadata.creationTimestamp)
        if created is None or pod.metadata.uid in self.gated or now - created < NEW_SECONDS:
            return now
        return created

    def _hold(self, pod: Pod, reason: str, event: str, message: str) -> None:
        """Keep a pod out of the queue and say why: in its condition, once as an event, in the metrics."""
        uid, message = pod.metadata.uid, message[:MAX_MESSAGE]
        known = self.held.get(uid)
        self.queue.remove(uid)
        self.state.nominations.remove(uid)
        self.state.release_room(uid)
        self.held[uid] = Held(pod, reason, message, self.clock())
        if known is None or (known.reason, known.message) != (reason, message):
            self.metrics.held.labels(reason).inc()
            self.recorder.warning(Subject.of("v1", "Pod", pod.metadata), event, message)
            self.conditions.write(uid, reason, message)

    def _warn(self, pod: Pod, problems: Iterable[str]) -> None:
        for problem in problems:
            self.recorder.warning(Subject.of("v1", "Pod", pod.metadata), "InvalidAnnotation", problem)

    def _promise(self, pod: Pod, pod_class: PodClass) -> promised.Promised:
        document = self.policy.document
        rules = self.state.classes.rules
        return promised.read(pod, pod_class.amounts, self.arrivals, document, self.tau, self.sla_multiplier, rules)

    def _standing(self, pod: Pod, pod_class: PodClass, task: Task, enqueued: float) -> Standing:
        is_judged = pod_class.is_fresh(self.state)
        return Standing(
            priority=pod.spec.priority,
            deadline=task.deadline,
            enqueued=enqueued,
            best_runtime=self.policy.best_runtime(task, pod_class.allowed)
            if is_judged and task.deadline is not None
            else 0.0,
        )


def _says_the_same(known: Pod, pod: Pod) -> bool:
    """Whether everything that a decision rests on is as it was: others' annotations are no news."""
    before, after = known.metadata, pod.metadata
    return known.spec == pod.spec and before.labels == after.labels and _ours(before) == _ours(after)


def _ours(meta: Meta) -> list[tuple[str, str]]:
    return [(key, text) for key, text in meta.annotations.items() if key.startswith(f"{contract.GROUP}/")]


def _avoided(meta: Meta) -> frozenset[str]:
    """Nodes that the pod says refused it before: it can only keep itself away from them."""
    text = meta.annotations.get(contract.ANNOTATION_AVOIDED_NODES, "")
    return frozenset(text.split(",", MOST_AVOIDED)[:MOST_AVOIDED]) - {""}


@dataclass(slots=True)
class NamespaceStore:
    """Store of the namespace reflector: selectors over namespaces are part of affinity terms."""

    intake: Intake

    def retain(self, listed: list[Meta]) -> None:
        """Take a list."""
        neighbours, names = self.intake.state.neighbours, {meta.name for meta in listed}
        for name in [name for name in neighbours.namespaces if name not in names]:
            neighbours.put_namespace(name, None)

    def apply(self, event: str, item: Namespace) -> None:
        """Take an event."""
        meta = item.metadata
        self.intake.state.neighbours.put_namespace(meta.name, None if event == "DELETED" else meta.labels)
        self.intake.wake()


@dataclass(slots=True)
class PodStore:
    """Store of the pod reflector."""

    intake: Intake

    def retain(self, listed: list[Meta]) -> None:
        """Take a list."""
        self.intake.retain_pods(listed)

    def apply(self, event: str, item: Pod) -> None:
        """Take an event."""
        self.intake.apply_pod(event, item)


@dataclass(slots=True)
class NodeStore:
    """Store of the node reflector."""

    intake: Intake

    def retain(self, listed: list[Meta]) -> None:
        """Take a list."""
        self.intake.retain_nodes(listed)

    def apply(self, event: str, item: Node) -> None:
        """Take an event."""
        self.intake.apply_node(event, item)
