"""What nodes did with the pods that we bound there: refused them, could not start them, or ran them.

Only pods that this process bound are evidence (a tenant may set `spec.nodeName` on any pod of theirs), and a failed
start only where the same image and command has started elsewhere: else a typo would close nodes.
"""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube import outcome, promise
from cloudai_kube.events import Recorder, Subject
from cloudai_kube.objects import Pod
from cloudai_rts import contract
from cloudai_scheduler.cluster.rejections import ANY_RESOURCE, EVERYBODY, LIMIT, Rejections, rejected_resource
from cloudai_scheduler.cluster.state import ClusterState, PlacedPod
from cloudai_scheduler.metrics import SchedulerMetrics

REMEMBERED_COMMANDS: Final = 4096
NODES_A_COMMAND: Final = 4
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Refusals:
    """Turns what became of our pods into evidence about nodes. `clock` gives seconds since the epoch."""

    state: ClusterState
    rejections: Rejections
    recorder: Recorder
    metrics: SchedulerMetrics
    clock: Callable[[], float]
    _started: OrderedDict[str, set[str]] = field(default_factory=OrderedDict)

    def see(self, pod: Pod, placed: PlacedPod) -> None:
        """Take what the API server shows of a pod that we bound; `placed` is what we knew of it before."""
        if outcome.of(pod) == outcome.REJECTED:
            if not placed.refused:
                placed.refused = True
                self._refused(pod, placed)
        elif not placed.has_started and outcome.run_of(pod).start is not None:
            placed.has_started = True
            self.rejections.started(placed.node)
            nodes = self._started.setdefault(_command(pod), set())
            self._started.move_to_end(_command(pod))
            if len(nodes) < NODES_A_COMMAND:
                nodes.add(placed.node)
            if len(self._started) > REMEMBERED_COMMANDS:
                self._started.popitem(last=False)

    def _refused(self, pod: Pod, placed: PlacedPod) -> None:
        now, node = self.clock(), placed.node
        self.rejections.avoid(node, promise.controller_of(pod.metadata), now)
        if outcome.is_start_failure(pod) and not self._started.get(_command(pod), set()) - {node}:
            return  # perhaps its own fault
        resource = rejected_resource(pod.status.reason, self.state.classes.rules.accelerator_of(placed.amounts))
        if not self.state.fleet.counts(resource):
            resource = ANY_RESOURCE
        self.metrics.rejections.labels(resource).inc()
        whose = self.rejections.record(node, resource, placed.namespace, now)
        if whose is not None:
            self._tell(node, resource, whose, pod.status.reason)

    def _tell(self, node: str, resource: str, whose: str, reason: str) -> None:
        self.metrics.closures.inc()
        about = "any resource" if resource == ANY_RESOURCE else resource
        pods = f"pods that ask for {about}" + ("" if whose == EVERYBODY else f" in namespace {whose}")
        self.recorder.warning(
            Subject("v1", "Node", "", node, node),
            "NodeClosed",
            f"node {node} refused {LIMIT} pods within 10 min (last reason: {reason or 'container not started'}); "
            f"no {pods} are placed there for 10 min; check its kubelet and device plug-in",
        )
        _log.warning("node %s is closed for %s after repeated refusals", node, pods)


def _command(pod: Pod) -> str:
    """What the pod runs: the same image and command of any tenant."""
    named = [
        container for container in pod.spec.containers if container.name == contract.TASK_CONTAINER
    ] or pod.spec.containers
    words = [word for container in named for word in (container.image, *container.command, "\0", *container.args)]
    return hashlib.sha256("\0\0".join(words).encode(errors="replace")).hexdigest()
