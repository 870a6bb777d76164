"""One reconciliation at a time for each Task, many Tasks at once; errors are retried with a growing pause."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube.errors import FormatError, KubeError
from cloudai_kube.objects import Condition, Pod
from cloudai_kube.task import Task
from cloudai_operator import attempts
from cloudai_operator.cache import Cache
from cloudai_operator.errors import CreationRefusedError
from cloudai_operator.executor import Executor
from cloudai_operator.history import HistoryWriter
from cloudai_operator.metrics import OperatorMetrics
from cloudai_operator.plan import PodDeletion
from cloudai_operator.pod import name_of
from cloudai_operator.reconcile import Knowledge, Rules, reconcile, refused, troubled
from cloudai_rts import contract
from cloudai_rts.parameters import Document, defaults
from cloudai_rts.tau import TenantTau

FIRST_RETRY_SECONDS: Final = 0.5
LONGEST_RETRY_SECONDS: Final = 60.0
DELETION_RECHECK_SECONDS: Final = 5.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Workers:
    """The queue of Tasks to look at and the workers that do it. `run` ends only by cancellation."""

    executor: Executor
    rules: Rules
    metrics: OperatorMetrics
    clock: Callable[[], float] = time.time
    count: int = 16
    may_act: Callable[[], bool] = lambda: True
    tau: TenantTau = field(default_factory=TenantTau)
    document: Document = field(default_factory=Document)
    history: HistoryWriter | None = None
    cache: Cache = field(init=False)
    _recorded: set[str] = field(default_factory=set)
    _queue: deque[str] = field(default_factory=deque)
    _queued: set[str] = field(default_factory=set)
    _running: set[str] = field(default_factory=set)
    _again: set[str] = field(default_factory=set)
    _timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.cache = Cache(self.enqueue, self.clock, removed=self._remember, parked=self.park)

    def enqueue(self, uid: str) -> None:
        """Look at a Task soon; once is enough however often it is asked for."""
        if uid in self._running:
            self._again.add(uid)
        elif uid not in self._queued:
            self._queued.add(uid)
            self._queue.append(uid)
            self._wake.set()

    def park(self, _: object) -> None:
        """Count a Task that cannot be handled."""
        self.metrics.parked.labels(contract.KIND).inc()

    def use(self, document: Document) -> None:
        """Take new parameters into use: they hold for Tasks accepted from now on."""
        self.document = document
        self.metrics.show_learning(document.version, document.Evidence)
        self.tau.seed(document.Tau, afresh=document == defaults())  # the defaults: nothing is published any more

    async def run(self) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.count):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            if not self._queue or not self.may_act():
                self._wake.clear()
                await (self._wake.wait() if not self._queue else asyncio.sleep(0.1))
                continue
            uid = self._queue.popleft()
            self._queued.discard(uid)
            self._running.add(uid)
            self._again.discard(uid)
            try:
                with self.metrics.reconcile_seconds.time():
                    await self._reconcile(uid)
                self._failures.pop(uid, None)
            except FormatError as error:
                self._retry(uid, error)
                await self._tell_trouble(uid, error)
            except KubeError as error:
                self._retry(uid, error)
            except Exception as error:  # noqa: BLE001  one Task must never stop the others
                _log.exception("Task %s", uid)
                self._retry(uid, error)
                await self._tell_trouble(uid, error)
            finally:
                self._running.discard(uid)
            if uid in self._again:
                self._again.discard(uid)
                self.enqueue(uid)
            self.metrics.queue.set(len(self._queue))

    async def _reconcile(self, uid: str) -> None:
        task = self.cache.tasks.get(uid)
        self.metrics.tasks.set(len(self.cache.tasks))
        if uid in self.cache.unreadable:
            await self.executor.tell_unreadable(self.cache.unreadable[uid], self.clock())
            return
        if task is None or task.metadata.deletionTimestamp is not None:
            await self._clean_up(uid)
            return
        now = self.clock()
        nodes = attempts.Nodes(self.cache.gone_nodes(), self.cache.unready_nodes())
        tau = self.tau.of(task.metadata.namespace)
        knowledge = Knowledge(nodes, tau, self.document, self.history is not None, self._recorded)
        pods = await self._pods_of(task)
        plan = reconcile(task, pods, knowledge, self.rules, now)
        self._set_timer(uid, plan.wake_at, now)
        try:
            done = await self.executor.execute(task, plan, self.tau, self.document, self._take_patched)
        except CreationRefusedError as error:
            await self._note_refusal(task, error)
            return
        self.cache.forget_ends(uid, pods)
        if self.history is not None:
            for record in plan.history:
                self.history.offer(uid, record)
            self._recorded.difference_update(
                attempt.podUID for attempt in done.task.status.attempts if attempt.recorded
            )
        if done.pod is not None:
            self.cache.put_created(done.pod)
        if plan.deletions:
            self._set_timer(uid, min(plan.wake_at or math.inf, now + DELETION_RECHECK_SECONDS), now)

    async def _pods_of(self, task: Task) -> list[Pod]:
        """The Task's pods; one that the cache does not show is gone only if the API server says so.

        A lagging watch or a removed label would else let a second pod run beside the first.
        """
        pods = self.cache.pods_of(task)
        shown = {pod.metadata.uid for pod in pods}
        for attempt in task.status.attempts:
            if not attempt.outcome and attempt.podUID not in shown:
                pod = await self.executor.find_pod(task, name_of(task, attempt.number), attempt.podUID)
                if pod is not None:
                    pods.append(pod)
        return pods

    def note_written(self, uid: str, pod_uid: str) -> None:
        """History has this pod: its Task is to say so."""
        if uid in self.cache.tasks:
            self._recorded.add(pod_uid)
            self.enqueue(uid)

    def _take_patched(self, task: Task) -> None:
        """Know the status that we just wrote, whatever happens to the rest of the plan; our own patch is no news."""
        uid = task.metadata.uid
        had_news = uid in self._again
        self.cache.put_task(task)
        if not had_news:
            self._again.discard(uid)

    async def _note_refusal(self, task: Task, error: CreationRefusedError) -> None:
        uid = task.metadata.uid
        current = self.cache.tasks.get(uid, task)
        now = self.clock()
        status = refused(current, error.reason, str(error), self.rules, now)
        self.executor.note_refusal(current, error)
        self.cache.put_task(await self.executor.write_status(current, status))
        self._again.add(uid)

    async def _tell_trouble(self, uid: str, error: Exception) -> None:
        """Say on the Task that it could not be looked after; where that fails too, the log has it."""
        task = self.cache.tasks.get(uid)
        if task is None:
            return
        try:
            status = troubled(task, error, self.clock())
            message = (status.condition("Accepted") or Condition("")).message
            before = task.status.condition("Accepted")
            if before is None or before.message != message:
                self.executor.note_trouble(task, message)
                self._take_patched(await self.executor.write_status(task, status))
        except Exception:  # noqa: BLE001  one Task must never stop the others
            _log.exception("Task %s: its condition cannot be written", uid)

    def _remember(self, task: Task) -> None:
        """History is to have what a Task that is gone has run."""
        self._recorded.difference_update(attempt.podUID for attempt in task.status.attempts)
        if self.history is not None:
            for record in attempts.records_of_deleted(task, self.clock(), self.rules.classes):
                self.history.offer("", record)

    async def _clean_up(self, uid: str) -> None:
        """Delete the pods of a deleted Task: not every cluster runs a garbage collector."""
        self._set_timer(uid, None, 0.0)
        self._failures.pop(uid, None)
        for pod in self.cache.left_behind(uid):
            if pod.metadata.deletionTimestamp is None:
                finished = pod.status.phase in {"Succeeded", "Failed"}
                gone = pod.spec.nodeName in self.cache.gone_nodes()
                unbound = not pod.spec.nodeName
                await self.executor.delete_pod(PodDeletion(pod.metadata, force=finished or gone or unbound))

    def _retry(self, uid: str, error: Exception) -> None:
        self.metrics.errors.inc()
        failures = self._failures[uid] = self._failures.get(uid, 0) + 1
        pause = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 20))
        after = getattr(error, "retry_after_seconds", None) or 0.0
        _log.info("Task %s: %s; again in %.1f s", uid, error, max(pause, after))
        now = self.clock()
        self._set_timer(uid, now + max(pause, after), now)

    def _set_timer(self, uid: str, at: float | None, now: float) -> None:
        old = self._timers.pop(uid, None)
        if old is not None:
            old.cancel()
        if at is not None:
            delay = min(86_400.0, max(0.0, at - now))
            self._timers[uid] = asyncio.get_running_loop().call_later(delay, self._ring, uid)

    def _ring(self, uid: str) -> None:
        self._timers.pop(uid, None)
        self.enqueue(uid)
