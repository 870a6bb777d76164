"""Observe mode: what would we have done? Whenever another scheduler binds a pod, we judge the same pod ourselves.

Nothing is bound and nothing is written. The other one's node must be among those that we find feasible: if it is not,
one of the two schedulers is wrong, and the record says which filter of ours is against the node.
"""

import asyncio
import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any, Final

import msgspec

from cloudai_kube.listing import Breath
from cloudai_kube.objects import Meta, Pod
from cloudai_kube.wording import sentence
from cloudai_rts.placement import Deferred, Placed
from cloudai_scheduler.cluster.state import TERMINAL
from cloudai_scheduler.cluster.trial import Trial
from cloudai_scheduler.cycle import Surroundings, decide, view_of
from cloudai_scheduler.filters import unsupported
from cloudai_scheduler.intake import Intake, PodStore
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.queue import QueuedPod
from cloudai_scheduler.walk import Walk, blamed_at, walk

_log = logging.getLogger(__name__)
MOST_WAITING: Final = 100_000
KEPT_RECORDS: Final = 100
LISTED: Final = "ADDED"
"""What a list tells of objects that are known already; a watch tells of a bind as a change."""
CONFIRM_SECONDS: Final = 3.0
"""After so long all watches tell of what was so at the bind."""
LOOK_SECONDS: Final = 0.5
JUDGING_SECONDS: Final = 0.02
MOST_DOUBTS: Final = 1_000
"""More are taken for what they look like at first."""
MOST_REMEMBERED: Final = 20_000
"""Binds: as many as there may be within `CONFIRM_SECONDS`."""


class Result(Enum):
    """How the other scheduler's node compares with ours."""

    SAME = "same"
    OTHER = "other"
    WAIT = "wait"
    OUTSIDE = "outside"
    NOT_JUDGED = "not_judged"


@dataclass(frozen=True, slots=True)
class Record:
    """One pod. `ours` is the node that we would have taken, "" where we would have waited; `against` our reasons."""

    namespace: str
    name: str
    scheduler: str
    theirs: str
    ours: str
    result: str
    against: str = ""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A bind that we would not have made by what we knew then: looked at again once the other watches have caught up.

    `record` is what was found; None where the time was too short for that. `at` in seconds since the epoch.
    """

    pod: Pod
    theirs: str
    at: float
    record: Record | None = None


@dataclass(slots=True)
class Observer(PodStore):
    """Store of the pod reflector that judges each bind that it sees, before it counts it.

    Watches tell of nodes, pods and volumes in no common order, and another scheduler binds several pods at once: a node
    outside our set is looked at again after `CONFIRM_SECONDS`, without the pod itself, and without those bound since.
    `is_synced()`: whether all has been listed.
    """

    intake: Intake
    around: Callable[[], Surroundings]
    metrics: SchedulerMetrics
    clock: Callable[[], float] = time.time
    is_synced: Callable[[], bool] = lambda: True
    counts: Counter[str] = field(default_factory=Counter)
    records: deque[Record] = field(default_factory=lambda: deque(maxlen=KEPT_RECORDS))
    _waiting: OrderedDict[str, Pod] = field(default_factory=OrderedDict)
    _doubts: deque[_Doubt] = field(default_factory=deque)
    _bound: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=MOST_REMEMBERED))

    def retain(self, listed: list[Meta]) -> None:
        """Take a list: what waited and is not there any more is gone."""
        uids = {meta.uid for meta in listed}
        for uid in [uid for uid in self._waiting if uid not in uids]:
            del self._waiting[uid]
        self.intake.retain_pods(listed)

    def apply(self, event: str, item: Pod) -> None:
        """Take an event."""
        uid, node = item.metadata.uid, item.spec.nodeName
        if event == "DELETED":
            self._waiting.pop(uid, None)
        elif not node:
            self._waiting[uid] = item
            if len(self._waiting) > MOST_WAITING:
                self._waiting.popitem(last=False)
        elif uid in self._waiting:
            self._see_bind(self._waiting.pop(uid), node, is_listed=event == LISTED)
        elif event != LISTED and uid not in self.intake.state.pods and not self._is_over(item):
            self._note(_record(item, node, "", Result.NOT_JUDGED, "nobody saw it wait"))
        self.intake.apply_pod(event, item)

    async def run(self) -> None:
        """Look at doubtful binds again, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.confirm()

    async def confirm(self) -> None:
        """Look again at the binds that are old enough; between two of them others have their turn."""
        now, breath = self.clock(), Breath()
        while self._doubts and self._doubts[0].at <= now - CONFIRM_SECONDS:
            await breath.take()
            doubt = self._doubts.popleft()
            self._note(self._safely(partial(self._look_again, doubt), doubt.pod, doubt.theirs))

    def report(self) -> dict[str, Any]:
        """Counts, and the last records."""
        judged = sum(self.counts.values()) - self.counts[Result.NOT_JUDGED.value]
        return {
            "bound": sum(self.counts.values()),
            "judged": judged,
            "inOurFeasibleSet": judged - self.counts[Result.OUTSIDE.value],
            "toBeLookedAtAgain": len(self._doubts),
            **{result.value: self.counts[result.value] for result in Result},
            "last": [asdict(record) for record in self.records],
        }

    @staticmethod
    def _is_over(pod: Pod) -> bool:
        return pod.status.phase in TERMINAL

    def _see_bind(self, pod: Pod, theirs: str, is_listed: bool) -> None:
        now = self.clock()
        self._bound.append((now, pod.metadata.uid))
        if not self.is_synced() or is_listed:
            why = "bound while the watch was broken" if self.is_synced() else "bound before all had been listed"
            self._note(_record(pod, theirs, "", Result.NOT_JUDGED, why))
            return
        record = self._safely(partial(self._judge, pod, theirs), pod, theirs)
        is_doubtful = record is None or record.result == Result.OUTSIDE.value
        if is_doubtful and len(self._doubts) < MOST_DOUBTS:
            self._doubts.append(_Doubt(pod, theirs, now, record))
        else:
            self._note(record or _record(pod, theirs, "", Result.NOT_JUDGED, "too many binds are doubtful"))

    def _note(self, record: Record | None) -> None:
        if record is None:
            return
        self.counts[record.result] += 1
        self.metrics.observed.labels(record.result).inc()
        self.records.append(record)
        if record.result == Result.OUTSIDE.value:
            _log.warning("%s", msgspec.json.encode(record).decode())

    @staticmethod
    def _safely(judge: Callable[[], Record | None], pod: Pod, theirs: str) -> Record | None:
        """One pod must never stop the others."""
        try:
            return judge()
        except Exception as error:  # noqa: BLE001  as it says
            _log.exception("pod %s/%s cannot be judged", pod.metadata.namespace, pod.metadata.name)
            return _record(pod, theirs, "", Result.NOT_JUDGED, sentence(error))

    def _judge(self, pod: Pod, theirs: str) -> Record | None:
        """What we would have done; None where there is no time to judge all nodes for the pod in one go."""
        hard = unsupported.hard(pod)
        if hard:
            return _record(pod, theirs, "", Result.NOT_JUDGED, f"not supported: {', '.join(hard)}")
        around, now = self.around(), self.clock()
        pod_class = self.intake.classes.of(pod)
        if not pod_class.refresh(around.state, time.perf_counter() + JUDGING_SECONDS):
            return None
        entry = self.intake.entry(pod, pod_class)
        walked = walk(view_of(around, entry, now), pod_class)
        slot = around.state.fleet.slot(theirs)
        if slot is None or not walked.feasible[slot]:
            return _record(pod, theirs, "", Result.OUTSIDE, self._against(around, entry, walked, slot))
        outcome = decide(around, entry, now)
        if isinstance(outcome, Placed):
            ours = around.state.by_slot[outcome.slot].name
            return _record(pod, theirs, ours, Result.SAME if ours == theirs else Result.OTHER)
        text = "waiting for a better node" if isinstance(outcome, Deferred) else outcome.message
        return _record(pod, theirs, "", Result.WAIT, text)

    def _look_again(self, doubt: _Doubt) -> Record:
        """Whether the node is in our set by what is known now: without the pod itself, or those after it too."""
        state, pod = self.around().state, doubt.pod
        placed = state.pods.get(pod.metadata.uid)
        if placed is None or placed.node not in state.nodes:
            return _record(pod, doubt.theirs, "", Result.NOT_JUDGED, "pod or node was gone before a second look")
        later = [state.pods[uid] for at, uid in self._bound if at > doubt.at and uid in state.pods]
        record: Record | None = None
        for gone in ([placed], [placed, *later]):
            with Trial(state) as trial:
                for each in gone:
                    if each.node in state.nodes:
                        trial.evict(state.nodes[each.node].slot, each)
                record = self._judge(pod, doubt.theirs)
            if record is not None and record.result != Result.OUTSIDE.value:
                break
        if record is None:
            return _record(pod, doubt.theirs, "", Result.NOT_JUDGED, "its spec takes too long to judge")
        # Which node we would have taken three seconds later says nothing about then.
        is_outside = record.result == Result.OUTSIDE.value
        return (doubt.record or record) if is_outside else replace(record, result=Result.OTHER.value)

    def _against(self, around: Surroundings, entry: QueuedPod, walked: Walk, slot: int | None) -> str:
        if slot is None:
            return "the node is not known"
        if walked.rejection is not None:
            return walked.rejection
        static = entry.pod_class.reasons[slot]
        if static:
            return static
        against = blamed_at(view_of(around, entry, self.clock()), entry.pod_class, slot)
        return ", ".join(against.reasons) if against is not None else "kept for another pod"


def _record(pod: Pod, theirs: str, ours: str, result: Result, against: str = "") -> Record:
    meta = pod.metadata
    return Record(meta.namespace, meta.name, pod.spec.schedulerName, theirs, ours, result.value, against)
