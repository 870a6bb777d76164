"""Carrying out a preemption: the node is kept for the pod, and the others leave it.

Upstream: kube-scheduler 1.37 `framework/preemption/executor.go`. A victim that only this process has placed, because it
still waits for its volumes, goes back into the queue; everybody else is evicted on the API server.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube.events import Recorder, Subject
from cloudai_kube.objects import Pod
from cloudai_scheduler.cluster.state import ClusterState, PlacedPod
from cloudai_scheduler.commit import Commit
from cloudai_scheduler.eviction import Evictor
from cloudai_scheduler.intake import Intake
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.preemption import Candidate
from cloudai_scheduler.queue import Place, QueuedPod, SchedulingQueue

_log = logging.getLogger(__name__)
RETRY_SECONDS: Final = 1.0


@dataclass(slots=True)
class PreemptionExecutor:
    """Preemptions under way. `clock` gives seconds since the epoch; `wake` is called when there is work."""

    state: ClusterState
    queue: SchedulingQueue
    intake: Intake
    commit: Commit
    evictor: Evictor
    recorder: Recorder
    metrics: SchedulerMetrics
    clock: Callable[[], float]
    wake: Callable[[], None]
    running: set[asyncio.Task[None]] = field(default_factory=set)

    async def drain(self, seconds: float) -> None:
        """Wait for what is under way, so long at most."""
        if self.running:
            await asyncio.wait(self.running, timeout=seconds)

    def preempt(self, entry: QueuedPod, chosen: Candidate, now: float) -> None:
        """Keep the node for the pod, and make the others leave it."""
        node, nominations = self.state.by_slot[chosen.slot].name, self.state.nominations
        self.metrics.victims.observe(len(chosen.victims))
        lower = [uid for uid in nominations.below(node, entry.pod.spec.priority) if uid in self.queue.entries]
        yielding = [self.queue.entries[uid].pod for uid in lower]
        for uid in lower:
            nominations.remove(uid)
            self.queue.put_back(self.queue.entries[uid], now)
        nominations.put(self.intake.as_placed(entry.pod, entry.pod_class, node))
        victims = tuple(victim for victim in chosen.victims if not self._takes_back(victim, entry, now))
        for victim in victims:
            victim.is_preempted = True
        if not victims:
            self.queue.put_back(entry, now)
            self.wake()
        self._start(self._make_room(entry, node, victims, yielding))

    def withdraw(self, pod: Pod) -> None:
        """Nothing is kept for the pod any more: those who count on its nomination must not wait for it."""
        if pod.status.nominatedNodeName:
            self._start(self.evictor.withdraw(pod))

    def _takes_back(self, victim: PlacedPod, entry: QueuedPod, now: float) -> bool:
        """Whether a victim was not on the API server's side of things yet: then it waits for another node."""
        waiting = self.queue.entries.get(victim.uid)
        if waiting is None or not victim.assumed or not self.commit.give_up(victim.uid):
            return False
        self.state.forget(victim.uid)
        self.queue.back_off(waiting, now)
        by, meta = entry.pod.metadata, waiting.pod.metadata
        text = f"its place on {victim.node}, where it waited for volumes, goes to pod {by.uid} of higher priority"
        self.recorder.normal(Subject.of("v1", "Pod", meta), "Preempted", text)
        self.intake.take_newer(waiting)
        return True

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def _make_room(
        self, entry: QueuedPod, node: str, victims: tuple[PlacedPod, ...], yielding: list[Pod]
    ) -> None:
        try:
            failed = await self.evictor.make_room(entry.pod, node, victims, yielding)
        except Exception:  # noqa: BLE001  whatever happened, it is tried again
            _log.exception("room for %s/%s", entry.pod.metadata.namespace, entry.pod.metadata.name)
            failed = [victim.uid for victim in victims]
        for uid in failed:
            if uid in self.state.pods:
                self.state.pods[uid].is_preempted = False
        if failed:
            self.state.version += 1
        if failed and entry.uid not in self.state.pods and entry.place is not Place.IN_FLIGHT:
            self.queue.postpone(entry, self.clock() + RETRY_SECONDS, self.clock())
            self.wake()
