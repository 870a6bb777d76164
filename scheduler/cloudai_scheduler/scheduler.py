"""The scheduling loop: take the next pod, decide, assume, bind in the background, and act on what came of it."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube.errors import InvariantError
from cloudai_kube.events import Recorder, Subject
from cloudai_kube.transport import pause
from cloudai_rts.contract import CPU, MEMORY
from cloudai_rts.harm import RunningTask
from cloudai_rts.load_history import SAMPLE_SECONDS, LoadHistory
from cloudai_rts.ordering import share_of
from cloudai_rts.parameters import Document
from cloudai_rts.placement import Deferred, Placed
from cloudai_rts.policy import Policy
from cloudai_rts.reservation import Reservation, upper_seconds
from cloudai_rts.tau import TauStore
from cloudai_scheduler import conditions, decision
from cloudai_scheduler.binding import Binder, BindOutcome, BindResult
from cloudai_scheduler.cluster.pod_volumes import PodVolumes
from cloudai_scheduler.cluster.refusals import Refusals
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.cluster.storage import Plan
from cloudai_scheduler.commit import Commit
from cloudai_scheduler.conditions import ConditionWriter
from cloudai_scheduler.cycle import Surroundings, Unschedulable, claim_of, could_take, decide
from cloudai_scheduler.eviction import Evictor
from cloudai_scheduler.filters import PLUGINS, STATIC
from cloudai_scheduler.filters.volume_binding import plan_for
from cloudai_scheduler.intake import Intake
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.podclass import ClassTable, PodClass
from cloudai_scheduler.preemption import EvictionRules
from cloudai_scheduler.preemption_executor import PreemptionExecutor
from cloudai_scheduler.profile import Profiles
from cloudai_scheduler.queue import Cause, QueuedPod, SchedulingQueue
from cloudai_scheduler.settings import MOST_BINDING
from cloudai_scheduler.volume_binder import TIMEOUT_SECONDS, VolumeBinder

_log = logging.getLogger(__name__)
SLICE_SECONDS: Final = 0.004
"""Decisions made in one go before the loop looks at the wire again."""
JUDGING_SECONDS: Final = 0.015
"""How long nodes are judged in one go for a spec that has not been judged yet."""
JUDGING_PAUSE_SECONDS: Final = 0.02
PREPARING_PAUSE_SECONDS: Final = 1.0
"""How long a pod waits for its turn where too many wait for their volumes."""
PREEMPTION_SECONDS: Final = 0.04
"""How long evictions are tried out for one pod in one go."""
TIMED_ATTEMPTS: Final = 10
"""Of so many attempts one has its filters timed, as in kube-scheduler: a histogram costs as much as a filter."""
RETRY_SECONDS: Final = 60.0
"""After so long a pod that could not be handled is tried again."""
IDLE_SECONDS: Final = 1.0
DRAIN_SECONDS: Final = 10.0
"""How long the last binds may take after `stop`; the next leader finds out what became of them."""
MOST_COMPARED: Final = 16
"""Nodes with new room that are compared with what each deferred pod was offered."""


@dataclass(slots=True)
class Scheduler:
    """One scheduling process. Everything runs in one event loop; `run` ends when `stop` is set.

    It serves pods of the scheduler `names`; None: of `scheduler_name` only, under which it speaks and binds. Each name
    may have a profile of its own.
    """

    scheduler_name: str
    binder: Binder
    recorder: Recorder
    conditions: ConditionWriter
    metrics: SchedulerMetrics
    names: frozenset[str] | None = None
    profiles: Profiles = field(default_factory=dict)
    policy_mode: str = "rts"
    bind_connections: int = MOST_BINDING
    sla_multiplier: float = 2.0
    preemption: EvictionRules | None = field(default_factory=EvictionRules)
    packed_resources: tuple[str, ...] = ()
    fair_share_half_life_seconds: float = 0.0
    clock: Callable[[], float] = time.time
    may_act: Callable[[], bool] = lambda: True
    state: ClusterState = field(default_factory=ClusterState)
    queue: SchedulingQueue = field(default_factory=SchedulingQueue)
    rejections: Rejections = field(default_factory=Rejections)
    loads: LoadHistory = field(default_factory=LoadHistory)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    policy: Policy = field(init=False)
    canary: Policy | None = None
    intake: Intake = field(init=False)
    _judge_until: float = 0.0
    _attempts: int = 0
    _work: asyncio.Event = field(default_factory=asyncio.Event)
    commit: Commit = field(init=False)
    executor: PreemptionExecutor = field(init=False)
    _freed: set[str] = field(default_factory=set)
    _surroundings_seen: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        self.policy = Policy(self.state.fleet, Document(), self.policy_mode)
        self.state.on_capacity = self._freed.add
        self.state.shares.half_life_seconds = self.fair_share_half_life_seconds
        self.queue.level_of = self.state.shares.level
        self.queue.on_move = lambda place, cause: self.metrics.moves.labels(place.value, cause.value).inc()
        refusals = Refusals(self.state, self.rejections, self.recorder, self.metrics, self.clock)
        self.intake = Intake(
            frozenset((self.scheduler_name,)) if self.names is None else self.names,
            self.state,
            self.queue,
            refusals,
            self.policy,
            self.recorder,
            self.conditions,
            self.metrics,
            self.clock,
            self._work.set,
            self.sla_multiplier,
            ClassTable(self.profiles),
        )
        self.conditions.waiting = self.intake.waiting
        self.state.storage.notify = self._work.set
        transport = self.binder.transport
        volumes = VolumeBinder(transport, self.state, lambda uid: uid in self.state.pods)
        self.commit = Commit(transport, self.binder, volumes, self.state.storage, self.bind_connections)
        evictor = Evictor(transport, self.recorder, self.scheduler_name, self.clock)
        parts = (self.state, self.queue, self.intake, self.commit, evictor, self.recorder, self.metrics)
        self.executor = PreemptionExecutor(*parts, self.clock, self._work.set)

    def use(self, document: Document, candidate: Document | None = None) -> None:
        """Switch to other parameters: everything that waits is decided again.

        With a `candidate` the share of the tasks that the document's `Canary` names is placed by it.
        """
        self.policy.use(document)
        self.canary = None
        if candidate is not None:  # it differs in its weights only: whose turn it is and what usually comes is shared
            known = self.policy
            self.canary = Policy(known.fleet, candidate, known.mode, known.rotation, known.rounds, known.mixes)
        self.intake.tau = TauStore(document.Tau)  # rebuilt: without a document the built-in values hold again
        self.queue.wake_all(self.clock(), Cause.PARAMETERS_CHANGED)
        self._work.set()

    def is_busy(self) -> bool:
        """Whether pods are waiting for a decision or a bind: less important requests stand back."""
        return self.queue.has_active() or not self.commit.has_place()

    async def run(self) -> None:
        """Schedule until `stop` is set and the last bind is answered."""
        while not self.stop.is_set():
            await self._wait_for_work()
            self.step()
            await asyncio.sleep(0)
        await self.commit.drain(DRAIN_SECONDS)
        await self.executor.drain(DRAIN_SECONDS)

    def step(self) -> None:
        """The work between two looks at the wire: upkeep, and decisions for a few milliseconds."""
        self._upkeep()
        self._decide_for_a_while()

    async def sample_loads(self) -> None:
        """Feed the typical load of the node classes, for ever."""
        while not self.stop.is_set():
            self.loads.sample(self.state.fleet)
            self.queue.move_up(self.state.shares.advance(self.clock(), self.state.fleet), self.clock())
            for place, count in self.queue.counts().items():
                self.metrics.pending.labels(place.value).set(count)
            self.metrics.pending.labels("held").set(len(self.intake.held))
            self.metrics.pending.labels("gated").set(len(self.intake.gated))
            kept_out = self.queue.kept_out()
            for plugin in PLUGINS:
                self.metrics.unschedulable.labels(plugin).set(kept_out[plugin])
            self._open_nodes(self.clock())
            self.rejections.expire(self.clock())
            self.intake.retry_parked(self.clock() - RETRY_SECONDS)
            await pause(SAMPLE_SECONDS, self.stop)

    def wake(self) -> None:
        """Look at the queue now."""
        self._work.set()

    async def _wait_for_work(self) -> None:
        if self.queue.has_active() and self.commit.has_place():
            return
        if self.queue.has_active():
            await asyncio.wait(self.commit.binding, return_when=asyncio.FIRST_COMPLETED)
            return
        if (self._freed or self._surroundings_seen != self.state.surroundings) and len(self.queue):
            return
        self._work.clear()
        wake_at = self.queue.next_wake()
        timeout = IDLE_SECONDS if wake_at is None else min(IDLE_SECONDS, max(0.0, wake_at - self.clock()))
        await pause(timeout, self._work)

    def _upkeep(self) -> None:
        now = self.clock()
        self.queue.tick(now)
        self._open_nodes(now)
        if self._freed:
            slots = [slot for slot in map(self.state.fleet.slot, self._freed) if slot is not None]
            self._freed.clear()
            self.queue.capacity(lambda pod_class: self._takes(pod_class, slots), now, self._better_than(slots))
        if self._surroundings_seen != self.state.surroundings:
            self._surroundings_seen = self.state.surroundings
            self.queue.capacity(
                lambda pod_class: pod_class.surroundings_changed(self.state), now, cause=Cause.SURROUNDINGS_CHANGED
            )

    def _open_nodes(self, now: float) -> None:
        """Look at waiting pods again once a closed node is open."""
        opening = self.rejections.next_opening(0.0)
        if opening is not None and opening <= now:
            self.rejections.expire(now)
            self.state.version += 1
            self.queue.wake_all(now, Cause.NODE_REOPENED)

    def _takes(self, pod_class: PodClass, slots: list[int]) -> bool:
        may_evict = self.preemption is not None
        return any(could_take(self.state, pod_class, slot, may_evict) for slot in slots)

    def _better_than(self, slots: list[int]) -> Callable[[QueuedPod], bool]:
        """Whether one of these nodes is faster for a deferred pod than what it was offered; of many one surely is.

        How fast they are is worked out once for all pods of a class and type: ten thousand may be deferred.
        """
        fastest: dict[tuple[bytes, str, bool], float] = {}

        def is_better(entry: QueuedPod) -> bool:
            if len(slots) > MOST_COMPARED or entry.refused == math.inf:
                return True
            policy, amounts = self._policy_for(entry), entry.pod_class.amounts
            key = (entry.pod_class.key, entry.task.type, policy is self.policy)
            if key not in fastest:
                fastest[key] = min(policy.log_factor_at(entry.task, amounts, slot) for slot in slots)
            return fastest[key] < entry.refused

        return is_better

    def _decide_for_a_while(self) -> None:
        if not self.may_act():
            return
        start = time.perf_counter()
        end, latest = start + SLICE_SECONDS, start + SLICE_SECONDS + JUDGING_SECONDS
        self._judge_until = start + JUDGING_SECONDS
        while self.commit.has_place() and time.perf_counter() < end:
            entry = self.queue.pop(self.clock())
            if entry is None:
                return
            begun = time.perf_counter()
            try:
                if self._is_ready(entry):
                    self._decide(entry)
                else:
                    end = min(latest, end + time.perf_counter() - begun)
            except InvariantError:
                raise
            except Exception as error:  # noqa: BLE001  one pod must never stop the others
                self._set_aside(entry, error)

    def _is_ready(self, entry: QueuedPod) -> bool:
        """Whether it can be decided on now; else its turn comes again.

        Judging a spec of a megabyte on thousands of nodes takes seconds: each slice has time for one piece of that, and
        then for the others.
        """
        now = self.clock()
        if not entry.pod_class.is_fresh(self.state):
            begun = time.perf_counter()
            may_judge = begun < self._judge_until
            is_judged = may_judge and entry.pod_class.refresh(self.state, self._judge_until)
            self.metrics.filter_seconds.labels(STATIC).observe(time.perf_counter() - begun)
            if not is_judged:
                self.queue.postpone(entry, now + JUDGING_PAUSE_SECONDS, now)
                return False
            if self.intake.restand(entry):
                self.queue.put_back(entry, now)
                return False
        if self.intake.reread(entry):
            self.queue.put_back(entry, now)
            return False
        return True

    def _set_aside(self, entry: QueuedPod, error: Exception) -> None:
        meta = entry.pod.metadata
        _log.exception("pod %s/%s cannot be decided on", meta.namespace, meta.name)
        self.metrics.attempts.labels("error", entry.pod.spec.schedulerName).inc()
        if meta.uid in self.state.pods:
            self.state.forget(meta.uid)
        self.intake.park(entry.pod, error)

    def surroundings(self, policy: Policy | None = None) -> Surroundings:
        """What a cycle looks at now."""
        end = time.perf_counter() + PREEMPTION_SECONDS
        return Surroundings(
            state=self.state,
            rejections=self.rejections,
            loads=self.loads,
            policy=policy or self.policy,
            preemption=self.preemption,
            packed=self.packed_resources,
            may_go_on=lambda: time.perf_counter() < end,
            lap=self.metrics.stopwatch() if self._attempts % TIMED_ATTEMPTS == 0 else None,
        )

    def _decide(self, entry: QueuedPod) -> None:
        now = self.clock()
        begun = time.perf_counter()
        policy = self._policy_for(entry)
        self._attempts += 1
        outcome = decide(self.surroundings(policy), entry, now)
        self.metrics.algorithm_seconds.observe(time.perf_counter() - begun)
        if isinstance(outcome, Placed):
            self._place(entry, outcome, policy.document.version, now, begun)
        elif isinstance(outcome, Deferred):
            self.metrics.show_attempt("deferred", _profile(entry), begun)
            self._defer(entry, outcome, now)
        else:
            self.metrics.show_attempt("unschedulable", _profile(entry), begun)
            self.metrics.preemptions.inc(outcome.may_have_evicted)
            self._park(entry, outcome, now)

    def _policy_for(self, entry: QueuedPod) -> Policy:
        """The candidate for its share of the tasks, all attempts of a task alike; else what is in force."""
        tried = self.policy.document.Canary
        if self.canary is None or tried is None:
            return self.policy
        return self.canary if share_of(entry.owner or entry.uid) < tried.Share else self.policy

    def _place(self, entry: QueuedPod, placed: Placed, version: int, now: float, begun: float) -> None:
        plan = self._plan(entry, placed.slot)
        if not self.commit.has_place_for(plan):
            self.queue.postpone(entry, now + PREPARING_PAUSE_SECONDS, now)
            return
        node = self.state.by_slot[placed.slot]
        text = decision.annotation(
            self.state, entry.task, placed, node, version, now, allowed_classes=entry.pod_class.classes
        )
        meta = entry.pod.metadata
        self.conditions.drop(meta.uid)
        self.state.nominations.remove(meta.uid)
        self.state.release_room(meta.uid)
        if placed.predicted_runtime is not None:
            upper = upper_seconds(placed.predicted_runtime, entry.task.log_sd, self.policy.document.Runtime.Shape)
            self.state.reservations.fill(claim_of(entry), placed.slot, now + upper)
        self.queue.wake_next(entry.pod_class.key, now)
        placed_pod = self.intake.as_placed(entry.pod, entry.pod_class, node.name)
        placed_pod.running = _running(entry, placed, now)
        self.state.assume(placed_pod)

        def settle(result: BindResult) -> None:
            self.metrics.binds.labels(result.outcome.value).inc()
            is_bound = result.outcome is BindOutcome.BOUND
            self.metrics.show_attempt("scheduled" if is_bound else "error", _profile(entry), begun)
            if is_bound:
                self._tell_bound(entry, placed, node.name, now)
            else:
                self._take_back(entry, node.name, result)
            self._work.set()

        if plan:
            claims = ", ".join(sorted(key[1] for key in (*plan.provisions, *(key for _, key in plan.bindings))))
            text_of_wait = f"waiting on {node.name} for the volumes of {claims}, at most {TIMEOUT_SECONDS:.0f} s"
            self.recorder.normal(_subject(entry), "WaitingForVolumes", text_of_wait)
        self.commit.start(entry.pod, node.name, text, plan, settle)

    def _plan(self, entry: QueuedPod, slot: int) -> Plan:
        """What has to be written before the pod can be bound to this node."""
        claims = PodVolumes.of(entry.pod).claims
        return plan_for(claims, self.state, slot) if claims else Plan()

    def _defer(self, entry: QueuedPod, deferred: Deferred, now: float) -> None:
        begins = entry.deferred_until is None
        self.queue.defer(entry, deferred.until, now, deferred.log_factor)
        if not deferred.is_kept:
            self.state.release_room(entry.uid)
        if begins or entry.message:
            message = self._why_deferred(deferred, now)
            entry.message = ""
            if begins:
                self.recorder.normal(_subject(entry), "Deferred", message)
            self.conditions.write(entry.uid, conditions.DEFERRED, message)

    def _why_deferred(self, deferred: Deferred, now: float) -> str:
        """What a user reads about a pod that waits although a node is free."""
        best = self.state.fleet.names[deferred.best_slot]
        until = f"waiting at most {max(1, round(deferred.until - now))} s"
        if deferred.is_kept:
            return f"{until}: nodes with room, such as {best}, are kept for tasks that need several GPUs of one node"
        late, elsewhere = f"{100 * deferred.late_probability:.0f} %", f"{100 * deferred.promised:.0f} %"
        return (
            f"{until} for a better node: {late} chance of missing its deadline on {best}, the best one free now, "
            f"and {elsewhere} on a better one"
        )

    def _keep_room(self, entry: QueuedPod, reservation: Reservation | None, now: float) -> None:
        """Keep a node for a pod that needs much of one, and say so when it is another one than before."""
        before = self.state.reservations.kept.get(entry.uid)
        is_same = before is not None and reservation is not None and before.slot == reservation.slot
        if not is_same:
            self.state.release_room(entry.uid)
        self.state.reservations.renew(entry.uid, reservation)
        if reservation is None or is_same:
            return
        self.metrics.reservations.inc()
        node, wait = self.state.fleet.names[reservation.slot], max(1, round(reservation.start - now))
        text = f"{node} is kept for it: its {round(entry.task.gpu)} GPUs should be free there within {wait} s"
        self.recorder.normal(_subject(entry), "RoomKept", text)

    def _park(self, entry: QueuedPod, outcome: Unschedulable, now: float) -> None:
        is_news = outcome.message != entry.message
        entry.message = outcome.message
        self.queue.park(entry, now, outcome.look_again_seconds)
        if is_news:
            self.recorder.warning(_subject(entry), "FailedScheduling", outcome.message)
            self.conditions.write(entry.uid, conditions.UNSCHEDULABLE, outcome.message)
        if not outcome.keeps_nomination:
            self._keep_room(entry, outcome.reservation, now)
        if outcome.evictions is not None:
            self.executor.preempt(entry, outcome.evictions, now)
        elif not outcome.keeps_nomination:
            self.state.nominations.remove(entry.uid)
            self.executor.withdraw(entry.pod)

    def _tell_bound(self, entry: QueuedPod, placed: Placed, node: str, decided: float) -> None:
        meta = entry.pod.metadata
        self.metrics.show_bound(placed, max(0.0, self.clock() - entry.enqueued), entry.failures + 1)
        if entry.task.deadline is not None:
            self.metrics.show_promise(placed, entry.task.deadline, decided)
        self.conditions.drop(meta.uid)
        self.queue.remove(meta.uid)
        text = f"Successfully assigned {meta.namespace}/{meta.name} to {node}"
        self.recorder.normal(_subject(entry), "Scheduled", text)

    def _take_back(self, entry: QueuedPod, node: str, result: BindResult) -> None:
        """The pod is not bound by us: what was said of it before the attempt is no longer so."""
        meta, now = entry.pod.metadata, self.clock()
        entry.message = ""
        self.state.forget(meta.uid)
        if result.outcome in {BindOutcome.GONE, BindOutcome.ELSEWHERE}:
            if self.queue.entries.get(meta.uid) is entry:
                self.queue.remove(meta.uid)
            return
        _log.info("bind of %s/%s to %s: %s", meta.namespace, meta.name, node, result.message)
        if result.outcome is BindOutcome.REFUSED:
            message = f"binding to {node} was refused: {result.message}"
            self.recorder.warning(_subject(entry), "FailedScheduling", message)
            self.conditions.write(entry.uid, conditions.SCHEDULER_ERROR, message)
        self.queue.back_off(entry, now + result.retry_after_seconds)
        self.intake.take_newer(entry)


def _profile(entry: QueuedPod) -> str:
    return entry.pod.spec.schedulerName


def _subject(entry: QueuedPod) -> Subject:
    return Subject.of("v1", "Pod", entry.pod.metadata)


def _running(entry: QueuedPod, placed: Placed, now: float) -> RunningTask | None:
    if entry.task.deadline is None or placed.predicted_runtime is None:
        return None
    task, amounts = entry.task, entry.pod_class.amounts
    held = (round(task.gpu), amounts.get(CPU, 0), amounts.get(MEMORY, 0))
    whose = (entry.pod.metadata.namespace, task.gpu_resource)
    return RunningTask(placed.predicted_runtime, now, entry.task.deadline, task.log_sd, *whose, *held)
