"""A discrete-event replay: arrivals, decisions, runs that slow each other down, ends.

Between two events of a node every task on it works at a constant rate; a change of what runs there changes all rates.
Deterministic: same input, same bytes.
"""

import heapq
import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Final

import numpy as np

from cloudai_rts import contract
from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.contract import CPU, MEMORY, PODS, STORAGE
from cloudai_rts.deferral import RECHECK_SECONDS
from cloudai_rts.fleet import Fleet, NodeSpec
from cloudai_rts.harm import HarmTable, RunningTask
from cloudai_rts.load_history import LoadHistory
from cloudai_rts.nodeclass import RULES
from cloudai_rts.placement import Deferred, Placed
from cloudai_rts.replay.chooser import Chooser, View
from cloudai_rts.replay.job import Admitted, Carried, Job
from cloudai_rts.replay.world import DEFAULT_PHI, World

SAMPLE_SECONDS: Final = 15.0
"""How often the load that policies see is measured; what starts in between counts by its request."""
_ARRIVAL, _END, _RECHECK, _DRIFT = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Course:
    """What became of each job, in the order they were given: times in seconds, NaN and -1 where it never started.

    `load` is the load that its node was believed to have before it.
    """

    start: FloatArray
    finish: FloatArray
    node: IntArray
    predicted: FloatArray
    late_probability: FloatArray
    load: FloatArray
    deferrals: int
    idle_gpu_seconds: float
    overload_seconds: float
    busy_core_seconds: float
    end: float


@dataclass(slots=True)
class _Machine:
    """What runs on one node: remaining seconds of reference work by job."""

    remaining: dict[int, float] = field(default_factory=dict)
    at: float = 0.0
    ticket: int = 0

    def take_done(self) -> list[int]:
        """Take those away that have nothing left, or least."""
        least = min(self.remaining.values())
        done = [index for index, left in self.remaining.items() if left <= max(1e-9, least)]
        for index in done:
            del self.remaining[index]
        return done


def fleet_of(world: World, carried: Sequence[Carried] = (), absent: Collection[int] = ()) -> Fleet:
    """The machines of a world as the policy sees them, with what is there already; slot = position.

    Those that are `absent` nobody can use.
    """
    nodes, devices = world.nodes, world.devices
    classes = world.class_names()
    fleet = Fleet()
    for index, node in enumerate(nodes):
        allocatable = {
            CPU: round(node.cpu * 1000),
            MEMORY: node.memory_bytes,
            STORAGE: node.storage_bytes,
            PODS: node.pods,
        }
        if node.gpu:
            allocatable[node.gpu_resource] = node.gpu
        if devices:
            allocatable |= devices[index]
        has_gpu = any(RULES.is_accelerator(resource) for resource in allocatable)
        slot = fleet.put(NodeSpec(node.node, allocatable, classes[index], has_gpu))
        if world.occupied:
            fleet.request(slot, world.occupied[index])
    for run in carried:
        fleet.request(run.node, run.job.amounts)
    for index in absent:
        fleet.remove(nodes[index].node)
    return fleet


_Shape = tuple[Admitted, tuple[tuple[str, int], ...]]


def _shape(job: Job) -> _Shape:
    """What jobs share that fit on the same machines."""
    return (job.admitted, tuple(job.amounts.items()))


@dataclass(slots=True)
class Replay:
    """One run of jobs (in order of arrival) through a chooser.

    `carried` runs already when the first job comes; `fleet` is the world's with those on it, if it is at hand.
    """

    world: World
    jobs: Sequence[Job]
    chooser: Chooser
    fleet: InitVar[Fleet | None] = None
    carried: Sequence[Carried] = ()
    view: View = field(init=False)
    _machines: list[_Machine] = field(init=False)
    _used: list[float] = field(init=False)
    _held: list[float] = field(init=False)
    _size: list[tuple[float, float]] = field(init=False)
    _tasks: list[Job] = field(init=False)
    _truth: list[tuple[list[float], float]] = field(init=False)
    _kinds: list[str] = field(init=False)
    _hour: list[float] = field(default_factory=list)
    _open: int = field(init=False)
    _coming: int = field(init=False)
    _events: list[tuple[float, int, int, int, int]] = field(default_factory=list)
    _tickets: Iterator[int] = field(default_factory=itertools.count)
    _waiting: dict[int, float | None] = field(default_factory=dict)
    _refused: dict[int, float] = field(default_factory=dict)
    _ready: set[int] = field(default_factory=set)
    _sampled_at: float = -1e18
    _allowed: dict[Admitted, BoolArray] = field(default_factory=dict)
    _start: FloatArray = field(init=False)
    _finish: FloatArray = field(init=False)
    _node: IntArray = field(init=False)
    _predicted: FloatArray = field(init=False)
    _late: FloatArray = field(init=False)
    _load: FloatArray = field(init=False)
    _deferrals: int = 0
    _idle_gpu: float = 0.0
    _overload: float = 0.0
    _busy: float = 0.0
    _accounted: float = 0.0
    _cores: float = 0.0
    _overloaded: float = 0.0

    def __post_init__(self, fleet: Fleet | None) -> None:
        begun = fleet_of(self.world, self.carried) if fleet is None else fleet.copy()
        self.view = View(begun, HarmTable(), LoadHistory())
        self._machines = [_Machine() for _ in self.world.nodes]
        own = {name: factors.tolist() for name, factors in self.world.own.items()}  # looked up one by one
        kinds = [job.true_type or job.known.type for job in (*self.jobs, *(run.job for run in self.carried))]
        self._truth = [(own[kind], self.world.phi.get(kind, DEFAULT_PHI)) for kind in kinds]
        self._kinds = kinds
        self._used, self._held = self.world.background.tolist(), self.world.held()
        memory = self.world.memory or [math.inf] * len(self.world.nodes)
        self._size = list(zip(self.world.cores.tolist(), memory, strict=True))
        self._cores = sum(self._used)
        self._overloaded = sum(max(0.0, self._load_of(slot) - 1.0) for slot in range(len(self._size)))
        count = len(self.jobs)
        self._tasks, self._open, self._coming = list(self.jobs), count, count
        self._start, self._finish = np.full(count, np.nan), np.full(count, np.nan)
        self._predicted, self._late = np.full(count, np.nan), np.full(count, np.nan)
        self._load = np.full(count, np.nan)
        self._node = np.full(count, -1, np.int64)

    def run(self, horizon: float = math.inf) -> Course:
        """Replay until every job has ended, or until the horizon."""
        for index, job in enumerate(self.jobs):
            self._push(job.known.arrival, _ARRIVAL, index)
        now = self.jobs[0].known.arrival if self.jobs else 0.0
        self._accounted = now
        self._turn(now)
        self._carry(now)
        while self._open and self._events and self._events[0][0] <= horizon:
            now = self._events[0][0]
            self._account(now)
            freed = self._take_events(now)
            self._sample(now)
            self._wake(freed)
            self._dispatch(now)
            if not self._coming and not self._waiting and horizon == math.inf and self.world.drift is None:
                now = self._run_out(now)
                break
        return Course(
            self._start,
            self._finish,
            self._node,
            self._predicted,
            self._late,
            self._load,
            self._deferrals,
            self._idle_gpu,
            self._overload,
            self._busy,
            now,
        )

    def _carry(self, now: float) -> None:
        """Put those on the machines that run there already."""
        for run in self.carried:
            known = run.job.known
            self._use(run.node, run.job.cpu_used, run.job.memory_used)
            machine = self._machines[run.node]
            machine.at = now
            machine.remaining[len(self._tasks)] = run.left
            self._tasks.append(run.job)
            if known.deadline is not None:
                running = RunningTask(
                    run.predicted, run.started, known.deadline, known.log_sd, "", known.gpu_resource, *run.job.held
                )
                self.view.harm.add(run.node, run.job.name, running)
        for slot in sorted({run.node for run in self.carried}):
            self._plan_end(slot)

    def _take_events(self, now: float) -> set[int]:
        """Everything that happens at this moment. Returns the nodes on which room became free."""
        freed: set[int] = set()
        while self._events and self._events[0][0] <= now:
            _, _, kind, index, ticket = heapq.heappop(self._events)
            if kind == _ARRIVAL:
                self._coming -= 1
                self._waiting[index] = None
                self._ready.add(index)
            elif kind == _RECHECK:
                if index in self._waiting:
                    self._ready.add(index)
            elif kind == _DRIFT:
                self._turn(now)
            elif self._machines[index].ticket == ticket:
                freed.add(index)
                self._end_those_that_are_done(index, now)
        return freed

    def _turn(self, now: float) -> None:
        """Rates at this hour; from now on each machine works by them."""
        drift = self.world.drift
        if drift is None:
            return
        for slot in range(len(self._machines)):
            self._advance(slot, now)
        self._hour = drift.factors(now)
        for slot in range(len(self._machines)):
            self._plan_end(slot)
        self._push(now + drift.step, _DRIFT, -1)

    def _end_those_that_are_done(self, slot: int, now: float) -> None:
        self._advance(slot, now)
        for index in self._machines[slot].take_done():
            task = self._tasks[index]
            self._use(slot, -task.cpu_used, -task.memory_used)
            if index < len(self.jobs):
                self._finish[index] = now
                self._open -= 1
            self.view.fleet.request(slot, task.amounts, -1)
            self.view.harm.remove(slot, task.name)
        self._plan_end(slot)

    def _run_out(self, now: float) -> float:
        """All are placed: nothing is decided any more, each node goes on by itself. Returns when the last job ended.

        In a short window on a large fleet most ends come then.
        """
        count = len(self.jobs)
        ours = [
            slot for slot, machine in enumerate(self._machines) if any(index < count for index in machine.remaining)
        ]
        for slot in range(len(self._machines)):
            self._advance(slot, now)
        for slot in ours:
            self._go_on(slot, math.inf)
        end = max((self._machines[slot].at for slot in ours), default=now)
        for slot in range(len(self._machines)):
            self._go_on(slot, end)
        return end

    def _go_on(self, slot: int, until: float) -> None:
        """Run a node until a moment, or (infinite) until none of the jobs is left there."""
        machine, count = self._machines[slot], len(self.jobs)
        while machine.at < until and (until < math.inf or any(index < count for index in machine.remaining)):
            used, load = self._used[slot], self._load_of(slot)
            factors = self._factors(slot)
            needed = [left * factors[index] for index, left in machine.remaining.items()]
            seconds = max(0.0, min(needed, default=math.inf))
            elapsed = min(seconds, until - machine.at)
            self._busy += elapsed * used
            self._overload += elapsed * max(0.0, load - 1.0)
            for index, factor in factors.items():
                machine.remaining[index] -= elapsed / factor
            machine.at += elapsed
            for index in machine.take_done() if elapsed == seconds else ():
                self._used[slot] -= self._tasks[index].cpu_used
                self._held[slot] -= self._tasks[index].memory_used
                if index < count:
                    self._finish[index] = machine.at

    def _dispatch(self, now: float) -> None:
        """Decide on all that are ready, in the chooser's order; no task blocks those behind it."""
        if not self._ready:
            return
        ready = sorted(
            self._ready,
            key=lambda index: (self.chooser.order(self.view, self.jobs[index], self._mask(index), now), index),
        )
        self._ready.clear()
        full: set[_Shape] = set()
        for index in ready:
            job = self.jobs[index]
            shape = _shape(job)
            if shape in full:
                self._refused[index] = math.inf
                continue
            outcome = self.chooser.decide(self.view, job, self._mask(index), now, self._waiting[index])
            if outcome is None:
                full.add(shape)
                self._refused[index] = math.inf  # a deferred one may not even have what it refused: any room is news
            elif isinstance(outcome, Placed):
                self._begin(index, outcome, now)
            else:
                self._defer(index, outcome, now)

    def _begin(self, index: int, placed: Placed, now: float) -> None:
        job, slot = self.jobs[index], placed.slot
        del self._waiting[index]
        self._start[index], self._node[index] = now, slot
        if placed.predicted_runtime is not None:
            self._predicted[index] = now + placed.predicted_runtime
            known = job.known
            if known.deadline is not None:
                running = RunningTask(
                    placed.predicted_runtime, now, known.deadline, known.log_sd, "", known.gpu_resource, *job.held
                )
                self.view.harm.add(slot, job.name, running)
        if placed.late_probability is not None:
            self._late[index] = placed.late_probability
        self._load[index] = self.view.fleet.load()[slot]
        self.view.fleet.request(slot, job.amounts)
        self._advance(slot, now)
        machine = self._machines[slot]
        machine.remaining[index] = job.work
        self._use(slot, job.cpu_used, job.memory_used)
        self._plan_end(slot)

    def _defer(self, index: int, deferred: Deferred, now: float) -> None:
        if self._waiting[index] is None:
            self._deferrals += 1
        self._waiting[index] = deferred.until
        self._refused[index] = deferred.log_factor
        self._push(min(deferred.until, now + RECHECK_SECONDS), _RECHECK, index)

    def _wake(self, freed: set[int]) -> None:
        """Those that a freed node could take now are looked at again."""
        if not freed or not self._waiting:
            return
        fleet = self.view.fleet
        known: dict[_Shape, bool] = {}
        for index in self._waiting:
            if index in self._ready:
                continue
            job = self.jobs[index]
            shape = _shape(job)
            if shape not in known:
                mask = self._mask(index)
                known[shape] = any(
                    mask[slot] and all(fleet.available(name)[slot] >= amount for name, amount in job.amounts.items())
                    for slot in freed
                )
            if known[shape] and self._is_better(index, freed):
                self._ready.add(index)

    def _is_better(self, index: int, freed: set[int]) -> bool:
        """Whether one of the freed nodes is better than the best that a deferred task was offered."""
        if self._waiting[index] is None or self._refused[index] == math.inf:
            return True
        job, refused = self.jobs[index], self._refused[index]
        return any(self.chooser.improves(self.view, job, slot, refused) for slot in freed)

    def _advance(self, slot: int, now: float) -> None:
        machine = self._machines[slot]
        elapsed = now - machine.at
        machine.at = now
        if elapsed <= 0 or not machine.remaining:
            return
        for index, factor in self._factors(slot).items():
            machine.remaining[index] -= elapsed / factor

    def _load_of(self, slot: int) -> float:
        cores, memory = self._size[slot]
        return max(self._used[slot] / cores, self._held[slot] / memory)

    def _factors(self, slot: int) -> dict[int, float]:
        """Seconds that each task on a node needs for one second of its work, as things are there."""
        load = self._load_of(slot)
        square, beyond = load * load, self.world.mu * max(0.0, load - 1.0)
        factors = {}
        for index in self._machines[slot].remaining:
            own, phi = self._truth[index]
            factors[index] = own[slot] * (1.0 + phi * square + beyond)
        if self.world.interference:
            self._disturb(factors)
        if self._hour:
            factors = {index: self._hour[slot] * factor for index, factor in factors.items()}
        return factors

    def _disturb(self, factors: dict[int, float]) -> None:
        """Slow the tasks of one node down by each other."""
        kinds = [self._kinds[index] for index in factors]
        for index in factors:
            own = self.world.interference.get(self._kinds[index], {})
            beside = sum(own.get(kind, 0.0) for kind in kinds) - own.get(self._kinds[index], 0.0)
            factors[index] *= 1.0 + beside

    def _plan_end(self, slot: int) -> None:
        machine = self._machines[slot]
        machine.ticket = next(self._tickets)
        if machine.remaining:
            factors = self._factors(slot)
            seconds = min(left * factors[index] for index, left in machine.remaining.items())
            self._push(machine.at + max(0.0, seconds), _END, slot, machine.ticket)

    def _push(self, at: float, kind: int, index: int, ticket: int = 0) -> None:
        heapq.heappush(self._events, (at, next(self._tickets), kind, index, ticket))

    def _mask(self, index: int) -> BoolArray:
        job = self.jobs[index]
        if job.admitted not in self._allowed:
            self._allowed[job.admitted] = self.world.admits(job) & self.view.fleet.present
        return self._allowed[job.admitted]

    def _sample(self, now: float) -> None:
        """Measure the load that policies see, if the last sample is old."""
        if now - self._sampled_at < SAMPLE_SECONDS:
            return
        self._sampled_at = now
        self.view.fleet.measure(CPU, np.rint(np.array(self._used) * 1000).astype(np.int64))
        if self.world.memory:
            self.view.fleet.measure(MEMORY, np.rint(np.array(self._held)).astype(np.int64))
        self.view.loads.sample(self.view.fleet)

    def _use(self, slot: int, cores: float, memory: float) -> None:
        """A job begins or ends: real use, and load beyond 1 (in machines)."""
        before = self._load_of(slot)
        self._used[slot] += cores
        self._held[slot] += memory
        self._cores += cores
        self._overloaded += max(0.0, self._load_of(slot) - 1.0) - max(0.0, before - 1.0)

    def _account(self, now: float) -> None:
        """Add up what happened since the last event."""
        elapsed = now - self._accounted
        self._accounted = now
        if elapsed <= 0:
            return
        self._overload += elapsed * self._overloaded
        self._busy += elapsed * self._cores
        waiting = {
            _shape(self.jobs[index]): index
            for index, until in self._waiting.items()
            if until is not None and until > now - elapsed and self.jobs[index].known.gpu > 0
        }
        if waiting:
            fits = [self._mask(index) & self.view.fleet.fits(self.jobs[index].amounts) for index in waiting.values()]
            free = self.view.fleet.available(contract.DEFAULT_GPU_RESOURCE)
            self._idle_gpu += elapsed * float(np.maximum(0, free)[np.logical_or.reduce(fits)].sum())
