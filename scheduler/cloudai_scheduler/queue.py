"""Which pod is next: active, backing off, deferred, or parked until something changes that could help it.

Deadlines, not arrival, order the active pods. A parked pod is looked at again when a node that could take it gains
room, and in any case after five minutes: hints are never perfect, and a forgotten pod would wait for ever. With nothing
active, a few pods that something may help do not wait for the end of their pause (upstream's SchedulerPopFromBackoffQ).
"""

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from cloudai_kube.objects import Pod
from cloudai_rts.deferral import RECHECK_SECONDS
from cloudai_rts.ordering import HOPELESS_PATIENCE_SECONDS, Standing
from cloudai_rts.task import Task
from cloudai_scheduler.podclass import PodClass
from cloudai_scheduler.preferences import NOTHING_WISHED, Wishes

FIRST_BACKOFF_SECONDS: Final = 1.0
LONGEST_BACKOFF_SECONDS: Final = 10.0
LONGEST_PARKING_SECONDS: Final = 300.0
WOKEN_AT_ONCE: Final = 128
"""Pods of one class moved by one event: no node frees room for more, and trying thousands would only burn CPU."""

MOST_OLD_TICKETS: Final = 1000
QueueKey = tuple[int, int, int, float, float]
"""Priority, then the level of the namespace (how much it has had lately), then the rest of `OrderKey`."""
MOST_EARLY: Final = 64
"""Pods whose pause may be cut short at once: those that never fit would else keep a core busy where much happens."""


class Place(Enum):
    """Where a queued pod is."""

    ACTIVE = "active"
    BACKOFF = "backoff"
    DEFERRED = "deferred"
    PARKED = "unschedulable"
    IN_FLIGHT = "in_flight"


class Cause(Enum):
    """What put a pod where it is; upstream's names of events where it has one."""

    ADDED = "PodAdd"
    FAILED = "ScheduleAttemptFailure"
    DEFERRED = "Deferred"
    POSTPONED = "Postponed"
    PUT_BACK = "PutBack"
    PAUSE_ENDED = "BackoffComplete"
    PARKED_LONG = "UnschedulableTimeout"
    DEFERRAL_RECHECKED = "DeferralRecheck"
    NODE_CHANGED = "NodeChange"
    NODE_REOPENED = "NodeReopened"
    SURROUNDINGS_CHANGED = "SurroundingsChange"
    PARAMETERS_CHANGED = "ParametersChange"
    ALIKE_PLACED = "AlikePlaced"


_TIME_CAME: Final = {
    Place.BACKOFF: Cause.PAUSE_ENDED,
    Place.PARKED: Cause.PARKED_LONG,
    Place.DEFERRED: Cause.DEFERRAL_RECHECKED,
}


def _untold(_place: Place, _cause: Cause) -> None:
    """Nobody counts moves."""


@dataclass(slots=True, eq=False)
class QueuedPod:
    """A pod that waits for a node. Times in seconds since the epoch; `newer` is what came while it was in flight.

    `owner` is its controller, `avoided` are nodes that refused it before. `is_plain`: nothing is promised of it, and
    nothing known. `wishes` are the preferences that have something to say of it. `refused`: how slow the best node was
    that was free when it was deferred (`Deferred.log_factor`).
    """

    pod: Pod
    pod_class: PodClass
    task: Task
    standing: Standing
    document_version: int
    enqueued: float
    owner: str = ""
    avoided: frozenset[str] = frozenset()
    is_plain: bool = False
    wishes: Wishes = NOTHING_WISHED
    failures: int = 0
    not_before: float = 0.0
    deferred_until: float | None = None
    refused: float = math.inf
    message: str = ""
    newer: Pod | None = None
    place: Place = Place.ACTIVE
    moved: float = 0.0
    ticket: int = 0

    @property
    def uid(self) -> str:
        """UID of the pod."""
        return self.pod.metadata.uid


def backoff_seconds(failures: int) -> float:
    """min(10 s, 1 s doubled with each failure)."""
    return min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** max(0, min(failures, 30) - 1))


@dataclass(slots=True)
class SchedulingQueue:
    """All pods of ours that have no node. Heaps hold tickets: an entry whose ticket is old is skipped.

    `on_move` hears of every pod that comes to a place, and why.
    """

    level_of: Callable[[str], int] = lambda _namespace: 0
    on_move: Callable[[Place, Cause], None] = _untold
    entries: dict[str, QueuedPod] = field(default_factory=dict)
    _active: list[tuple[QueueKey, int, str]] = field(default_factory=list)
    _wakes: list[tuple[float, int, str]] = field(default_factory=list)
    _parked: dict[bytes, dict[str, QueuedPod]] = field(default_factory=dict)
    _patience: list[tuple[float, str]] = field(default_factory=list)
    _woken: dict[str, None] = field(default_factory=dict)
    _tickets: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __len__(self) -> int:
        return len(self.entries)

    def counts(self) -> dict[Place, int]:
        """Number of pods by place."""
        counts = dict.fromkeys(Place, 0)
        for entry in self.entries.values():
            counts[entry.place] += 1
        return counts

    def kept_out(self) -> Counter[str]:
        """Number of parked pods by filter that keeps them out; a pod may count for several."""
        counts: Counter[str] = Counter()
        for waiting in self._parked.values():
            parked = [entry for entry in waiting.values() if entry.place is Place.PARKED]
            for name in parked[0].pod_class.kept_out_by if parked else ():
                counts[name] += len(parked)
        return counts

    def add(self, entry: QueuedPod, now: float) -> None:
        """A new pod, or one whose spec changed: it is active at once."""
        self.remove(entry.uid)
        self._compact()
        self.entries[entry.uid] = entry
        self._activate(entry, now, Cause.ADDED)

    def remove(self, uid: str) -> QueuedPod | None:
        """Forget a pod: it is bound, deleted or no longer ours."""
        entry = self.entries.pop(uid, None)
        if entry is not None:
            self._leave(entry)
        return entry

    def _compact(self) -> None:
        """Drop tickets that are old. A standby pops nothing, and each pod that comes and goes leaves one."""
        limit = 2 * len(self.entries) + MOST_OLD_TICKETS
        if max(len(self._active), len(self._wakes), len(self._patience)) <= limit:
            return
        live = {uid: entry.ticket for uid, entry in self.entries.items()}
        self._active = [(key, ticket, uid) for key, ticket, uid in self._active if live.get(uid) == ticket]
        self._wakes = [(when, ticket, uid) for when, ticket, uid in self._wakes if live.get(uid) == ticket]
        self._patience = [(when, uid) for when, uid in self._patience if uid in live]
        heapq.heapify(self._active)
        heapq.heapify(self._wakes)
        heapq.heapify(self._patience)

    def pop(self, now: float) -> QueuedPod | None:
        """Return the pod to decide on now, None if none is active. It is in flight until put back or removed."""
        while self._active:
            key, ticket, uid = heapq.heappop(self._active)
            entry = self.entries.get(uid)
            if entry is None or entry.ticket != ticket:
                continue
            current = self._key(entry, now)
            if current != key:  # it has become hopeless, or hopeful again, or its namespace has had more meanwhile
                self._push_active(entry, current)
                continue
            entry.place = Place.IN_FLIGHT
            entry.ticket = 0
            return entry
        return self._pop_woken(now)

    def _pop_woken(self, now: float) -> QueuedPod | None:
        """With nothing else to do: the first by its key of those that something may help, before its pause has ended.

        Not one for which a request failed: that pause is for the API server's sake.
        """
        waiting = [self.entries[uid] for uid in self._woken if uid in self.entries]
        waiting = [entry for entry in waiting if entry.place is Place.BACKOFF]
        if not waiting:
            self._woken.clear()
            return None
        entry = min(waiting, key=lambda queued: self._key(queued, now))
        self._leave(entry)
        entry.place = Place.IN_FLIGHT
        return entry

    def has_active(self) -> bool:
        """Whether `pop` may return something."""
        return bool(self._active or self._woken)

    def put_back(self, entry: QueuedPod, now: float) -> None:
        """It is not its turn after all: among the active ones by its present standing."""
        if self.entries.get(entry.uid) is entry:
            self._activate(entry, now, Cause.PUT_BACK)

    def postpone(self, entry: QueuedPod, until: float, now: float) -> None:
        """Its turn comes again at `until`; nothing has failed."""
        if self.entries.get(entry.uid) is entry:
            self._wait(entry, Place.BACKOFF, until, now, Cause.POSTPONED)

    def back_off(self, entry: QueuedPod, now: float) -> None:
        """Try again after a growing pause: something failed that has nothing to do with room."""
        if self.entries.get(entry.uid) is not entry:
            return
        entry.failures += 1
        entry.not_before = now + backoff_seconds(entry.failures)
        self._wait(entry, Place.BACKOFF, entry.not_before, now, Cause.FAILED)

    def park(self, entry: QueuedPod, now: float, longest_seconds: float | None = None) -> None:
        """No node can take it: wait for a change, so long at most."""
        if self.entries.get(entry.uid) is not entry:
            return
        entry.failures += 1
        entry.not_before = now + backoff_seconds(entry.failures)
        longest = LONGEST_PARKING_SECONDS if longest_seconds is None else longest_seconds
        self._wait(entry, Place.PARKED, now + longest, now, Cause.FAILED)
        self._parked.setdefault(entry.pod_class.key, {})[entry.uid] = entry

    def defer(self, entry: QueuedPod, until: float, now: float, refused: float = math.inf) -> None:
        """A better node than `refused` is worth waiting for, `until` at the latest; now and then looked at again."""
        if self.entries.get(entry.uid) is not entry:
            return
        entry.deferred_until, entry.refused = until, refused
        self._wait(entry, Place.DEFERRED, min(until, now + RECHECK_SECONDS), now, Cause.DEFERRED)
        self._parked.setdefault(entry.pod_class.key, {})[entry.uid] = entry

    def capacity(
        self,
        could_fit: Callable[[PodClass], bool],
        now: float,
        is_better: Callable[[QueuedPod], bool] = lambda _entry: True,
        cause: Cause = Cause.NODE_CHANGED,
    ) -> None:
        """A node changed: wake the waiting pods of every class that it could take, deferred ones if it is better."""
        for key in list(self._parked):
            waiting = self._parked[key]
            if could_fit(next(iter(waiting.values())).pod_class):
                chosen = [entry for entry in waiting.values() if entry.place is Place.PARKED or is_better(entry)]
                self._wake(chosen, now, cause)

    def wake(self, entry: QueuedPod, now: float, cause: Cause) -> None:
        """Look at a waiting pod again, after its pause."""
        if entry.place in {Place.PARKED, Place.DEFERRED}:
            self._wake([entry], now, cause)

    def wake_next(self, key: bytes, now: float) -> None:
        """A pod of this class found a node: perhaps two more of it do, though no single event woke them all."""
        waiting = self._parked.get(key)
        if waiting:
            self._wake(list(itertools.islice(waiting.values(), 2)), now, Cause.ALIKE_PLACED)

    def wake_all(self, now: float, cause: Cause) -> None:
        """Wake everything that waits: what decisions rest on has changed."""
        for waiting in list(self._parked.values()):
            self._wake(waiting.values(), now, cause, limit=len(waiting))

    def tick(self, now: float) -> None:
        """Activate the pods whose pause has ended."""
        while self._wakes and self._wakes[0][0] <= now:
            _, ticket, uid = heapq.heappop(self._wakes)
            entry = self.entries.get(uid)
            if entry is not None and entry.ticket == ticket:
                self._activate(entry, now, _TIME_CAME[entry.place])
        self._reorder(now)

    def _reorder(self, now: float) -> None:
        """Give the hopeless ones that have waited long enough their place among the others."""
        while self._patience and self._patience[0][0] <= now:
            _, uid = heapq.heappop(self._patience)
            entry = self.entries.get(uid)
            if entry is not None and entry.place is Place.ACTIVE:
                self._push_active(entry, self._key(entry, now))

    def move_up(self, namespaces: set[str], now: float) -> None:
        """These namespaces have had less lately: their active pods are served earlier."""
        for entry in self.entries.values() if namespaces else ():
            if entry.place is Place.ACTIVE and entry.pod.metadata.namespace in namespaces:
                self._push_active(entry, self._key(entry, now))

    def next_wake(self) -> float | None:
        """When `tick` has something to do next, None if never."""
        while self._wakes:
            when, ticket, uid = self._wakes[0]
            entry = self.entries.get(uid)
            if entry is not None and ticket == entry.ticket:
                return when
            heapq.heappop(self._wakes)
        return None

    def _wake(self, entries: Iterable[QueuedPod], now: float, cause: Cause, limit: int = WOKEN_AT_ONCE) -> None:
        chosen = list(entries)
        if len(chosen) > limit:
            chosen = heapq.nsmallest(limit, chosen, key=lambda entry: self._key(entry, now))
        for entry in chosen:
            if entry.place is Place.PARKED and entry.not_before > now:
                self._wait(entry, Place.BACKOFF, entry.not_before, now, cause)
                if len(self._woken) < MOST_EARLY:
                    self._woken[entry.uid] = None
            else:
                self._activate(entry, now, cause)

    def _activate(self, entry: QueuedPod, now: float, cause: Cause) -> None:
        self._leave(entry)
        entry.place = Place.ACTIVE
        entry.moved = now
        self._push_active(entry, self._key(entry, now))
        self.on_move(Place.ACTIVE, cause)

    def _key(self, entry: QueuedPod, now: float) -> QueueKey:
        priority, hopeless, deadline, enqueued = entry.standing.key(now)
        return priority, self.level_of(entry.pod.metadata.namespace), hopeless, deadline, enqueued

    def _push_active(self, entry: QueuedPod, key: QueueKey) -> None:
        entry.ticket = next(self._tickets)
        heapq.heappush(self._active, (key, entry.ticket, entry.uid))
        if key[2]:  # hopeless: until its patience runs out
            heapq.heappush(self._patience, (entry.standing.enqueued + HOPELESS_PATIENCE_SECONDS, entry.uid))

    def _wait(self, entry: QueuedPod, place: Place, until: float, now: float, cause: Cause) -> None:
        self._leave(entry)
        entry.place = place
        entry.moved = now
        entry.ticket = next(self._tickets)
        heapq.heappush(self._wakes, (until, entry.ticket, entry.uid))
        self.on_move(place, cause)

    def _leave(self, entry: QueuedPod) -> None:
        entry.ticket = 0
        self._woken.pop(entry.uid, None)
        waiting = self._parked.get(entry.pod_class.key)
        if waiting is not None and waiting.pop(entry.uid, None) is not None and not waiting:
            del self._parked[entry.pod_class.key]
