"""Watch events into state and queue: where every pod and node the API server speaks of ends up."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from cloudai_kube import promise, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.events import Recorder, Subject
from cloudai_kube.objects import Meta, Node, Pod
from cloudai_rts import contract, nodeclass
from cloudai_rts.harm import RunningTask
from cloudai_rts.ordering import Standing
from cloudai_rts.placement import Policy
from cloudai_rts.task import Task
from cloudai_rts.tau import MAX_TAU_SECONDS, TauStore
from cloudai_scheduler.cluster import promised
from cloudai_scheduler.cluster.rejections import ANY_RESOURCE, WINDOW_SECONDS, Rejections, rejected_resource
from cloudai_scheduler.cluster.state import TERMINAL, ClusterState
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.podclass import ClassTable, PodClass
from cloudai_scheduler.queue import QueuedPod, SchedulingQueue

_log = logging.getLogger(__name__)


class _Decision(msgspec.Struct):
    predictedRuntimeSeconds: float | None = None


@dataclass(slots=True)
class Intake:
    """Keeps state and queue up to date. `clock` gives seconds since the epoch; `wake` is called when there is work."""

    scheduler_name: str
    state: ClusterState
    queue: SchedulingQueue
    rejections: Rejections
    policy: Policy
    recorder: Recorder
    metrics: SchedulerMetrics
    clock: Callable[[], float]
    wake: Callable[[], None]
    sla_multiplier: float = 2.0
    classes: ClassTable = field(default_factory=ClassTable)
    arrivals: promise.Arrivals = field(default_factory=promise.Arrivals)
    tau: TauStore = field(default_factory=TauStore)
    _failed_seen: set[str] = field(default_factory=set)

    def apply_pod(self, event: str, pod: Pod) -> None:
        """Take one change of a pod."""
        uid = pod.metadata.uid
        if event == "DELETED":
            self.queue.remove(uid)
            self.state.remove_pod(uid)
            self._failed_seen.discard(uid)
        elif pod.spec.nodeName:
            self.queue.remove(uid)
            self.state.put_pod(pod, self._running(pod))
            self._note_rejection(pod)
        elif self._is_waiting(pod):
            self._enqueue(pod)
        else:
            self.queue.remove(uid)
        self.wake()

    def replace_pods(self, pods: list[Pod]) -> None:
        """Take the whole truth after a list: pods that are not there are gone."""
        listed = {pod.metadata.uid: pod for pod in pods}
        for uid, placed in list(self.state.pods.items()):
            shown = listed.get(uid)
            if shown is None or (not shown.spec.nodeName and not placed.assumed):
                self.state.remove_pod(uid)
        for uid in [uid for uid in self.queue.entries if uid not in listed]:
            self.queue.remove(uid)
        self._failed_seen &= listed.keys()
        for pod in pods:
            self.apply_pod("ADDED", pod)
        self.arrivals.keep({promise.controller_uid(pod.metadata) for pod in pods})

    def apply_node(self, event: str, node: Node) -> None:
        """Take one change of a node."""
        if event == "DELETED":
            self.state.remove_node(node.metadata.name)
        else:
            problem = self.state.put_node(node)
            if problem is not None:
                subject = Subject("v1", "Node", "", node.metadata.name, node.metadata.name)
                self.recorder.warning(subject, "NodeNotUsable", f"node {node.metadata.name} {problem}")
        self.metrics.nodes.set(len(self.state.nodes))
        self.wake()

    def replace_nodes(self, nodes: list[Node]) -> None:
        """Take the whole truth about nodes."""
        listed = {node.metadata.name for node in nodes}
        for name in [name for name in self.state.nodes if name not in listed]:
            self.state.remove_node(name)
        for node in nodes:
            self.apply_node("ADDED", node)

    def reread(self, entry: QueuedPod) -> bool:
        """Bring a queued pod's prediction up to date after the parameters changed. True if its standing changed."""
        version = self.policy.document.version
        if entry.document_version == version:
            return False
        entry.document_version = version
        before = entry.standing
        entry.task = self._promise(entry.pod, entry.pod_class).task
        entry.standing = self._standing(entry.pod, entry.pod_class, entry.task, entry.enqueued)
        return entry.standing != before

    def _is_waiting(self, pod: Pod) -> bool:
        return (
            pod.spec.schedulerName == self.scheduler_name
            and pod.metadata.deletionTimestamp is None
            and pod.status.phase not in TERMINAL
            and not pod.spec.schedulingGates
        )

    def _enqueue(self, pod: Pod) -> None:
        known = self.queue.entries.get(pod.metadata.uid)
        if pod.metadata.uid in self.state.pods:  # assumed: its bind is under way
            if known is not None:
                known.newer = pod
            return
        if known is not None and _says_the_same(known.pod, pod):
            known.pod = pod
            return
        subject = Subject.of("v1", "Pod", pod.metadata)
        try:
            pod_class = self.classes.of(pod)
        except FormatError as error:
            self.recorder.warning(subject, "FailedScheduling", f"requests cannot be read: {error}")
            self.queue.remove(pod.metadata.uid)
            return
        known_promise = self._promise(pod, pod_class)
        for problem in known_promise.problems:
            self.recorder.warning(subject, "InvalidAnnotation", problem)
        now = self.clock()
        enqueued = known.enqueued if known is not None else now
        entry = QueuedPod(
            pod=pod,
            pod_class=pod_class,
            task=known_promise.task,
            standing=self._standing(pod, pod_class, known_promise.task, enqueued),
            document_version=self.policy.document.version,
            enqueued=enqueued,
            owner=promise.controller_uid(pod.metadata),
            failures=known.failures if known is not None else 0,
        )
        self.queue.add(entry, now)

    def _promise(self, pod: Pod, pod_class: PodClass) -> promised.Promised:
        document = self.policy.document
        return promised.read(pod, pod_class.amounts, self.arrivals, document, self.tau, self.sla_multiplier)

    def _standing(self, pod: Pod, pod_class: PodClass, task: Task, enqueued: float) -> Standing:
        pod_class.refresh(self.state)
        return Standing(
            priority=pod.spec.priority,
            deadline=task.deadline,
            enqueued=enqueued,
            best_runtime=0.0 if task.deadline is None else self.policy.best_runtime(task, pod_class.allowed),
        )

    def _running(self, pod: Pod) -> RunningTask | None:
        """What (2a) needs of a pod that runs already; only for pods with a deadline and a decision of ours."""
        text = pod.metadata.annotations.get(contract.ANNOTATION_DECISION)
        if not text or pod.metadata.uid in self.state.pods:
            return None
        try:
            decision = msgspec.json.decode(text, type=_Decision)
            pod_class = self.classes.of(pod)
            started = timestamp.parse_optional(pod.status.startTime) or self.clock()
        except (msgspec.DecodeError, FormatError):
            return None
        task = self._promise(pod, pod_class).task
        predicted = decision.predictedRuntimeSeconds
        if task.deadline is None or predicted is None or not 0.001 <= predicted <= MAX_TAU_SECONDS:
            return None  # also keeps out what strangers write into this annotation
        return RunningTask(predicted, started, task.deadline, task.log_sd)

    def _note_rejection(self, pod: Pod) -> None:
        meta, reason = pod.metadata, pod.status.reason
        if pod.status.phase != "Failed" or not contract.is_kubelet_rejection(reason) or meta.uid in self._failed_seen:
            return
        self._failed_seen.add(meta.uid)
        now = self.clock()
        try:
            gpu_resource = nodeclass.gpu_resource_of(self.classes.of(pod).amounts)
            at = min(now, timestamp.parse_optional(pod.status.startTime) or now)
        except FormatError:
            gpu_resource, at = "", now
        resource = rejected_resource(reason, gpu_resource)
        if resource not in self.state.fleet.resources:
            resource = ANY_RESOURCE
        self.metrics.rejections.labels(resource).inc()
        if now - at > WINDOW_SECONDS:
            return  # long ago: seen again in the first list after a start
        node = pod.spec.nodeName
        if self.rejections.record(node, resource, promise.controller_uid(meta), at):
            self.metrics.closures.inc()
            about = "any resource" if resource == "*" else resource
            self.recorder.warning(
                Subject("v1", "Node", "", node, node),
                "NodeClosed",
                f"node {node} rejected 3 pods within 10 min (last: {reason}); no pod asking for {about} goes there for "
                "10 min; check its kubelet and device plugin",
            )
            _log.warning("node %s is closed for %s after repeated rejections", node, about)


def _says_the_same(known: Pod, pod: Pod) -> bool:
    """Whether everything that a decision rests on is as it was: others' labels and annotations are no news."""
    return known.spec == pod.spec and _ours(known.metadata) == _ours(pod.metadata)


def _ours(meta: Meta) -> list[tuple[str, str]]:
    texts = (*meta.annotations.items(), *meta.labels.items())
    return [(key, text) for key, text in texts if key.startswith(f"{contract.GROUP}/")]


@dataclass(slots=True)
class PodStore:
    """Store of the pod reflector."""

    intake: Intake

    def replace(self, objects: list[Pod]) -> None:
        """Take a list."""
        self.intake.replace_pods(objects)

    def apply(self, event: str, item: Pod) -> None:
        """Take an event."""
        self.intake.apply_pod(event, item)


@dataclass(slots=True)
class NodeStore:
    """Store of the node reflector."""

    intake: Intake

    def replace(self, objects: list[Node]) -> None:
        """Take a list."""
        self.intake.replace_nodes(objects)

    def apply(self, event: str, item: Node) -> None:
        """Take an event."""
        self.intake.apply_node(event, item)
