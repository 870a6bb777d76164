"""Observe mode: what would we have done? Whenever another scheduler binds a pod, we judge the same pod ourselves.

Nothing is bound and nothing is written. The other one's node must be among those that we find feasible: if it is not,
one of the two schedulers is wrong, and the record says which filter of ours is against the node.
"""

import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Final

import msgspec

from cloudai_kube.objects import Pod
from cloudai_kube.wording import sentence
from cloudai_rts.placement import Deferred, Placed
from cloudai_scheduler.cycle import Surroundings, decide, view_of
from cloudai_scheduler.filters import unsupported
from cloudai_scheduler.intake import Intake, PodStore
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.queue import QueuedPod
from cloudai_scheduler.walk import Walk, blamed_at, walk

_log = logging.getLogger(__name__)
MOST_WAITING: Final = 100_000
KEPT_RECORDS: Final = 100


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


@dataclass(slots=True)
class Observer(PodStore):
    """Store of the pod reflector that judges each bind that it sees, before it counts it."""

    intake: Intake
    around: Callable[[], Surroundings]
    metrics: SchedulerMetrics
    clock: Callable[[], float] = time.time
    counts: Counter[str] = field(default_factory=Counter)
    records: deque[Record] = field(default_factory=lambda: deque(maxlen=KEPT_RECORDS))
    _waiting: OrderedDict[str, Pod] = field(default_factory=OrderedDict)

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
            self._judge(self._waiting.pop(uid), node)
        self.intake.apply_pod(event, item)

    def report(self) -> dict[str, Any]:
        """Counts, and the last records."""
        judged = sum(self.counts.values()) - self.counts[Result.NOT_JUDGED.value]
        return {
            "bound": sum(self.counts.values()),
            "judged": judged,
            "inOurFeasibleSet": judged - self.counts[Result.OUTSIDE.value],
            **{result.value: self.counts[result.value] for result in Result},
            "last": [asdict(record) for record in self.records],
        }

    def _judge(self, pod: Pod, theirs: str) -> None:
        meta = pod.metadata
        try:
            record = self._record(pod, theirs)
        except Exception as error:  # noqa: BLE001  one pod must never stop the others
            _log.exception("pod %s/%s cannot be judged", meta.namespace, meta.name)
            record = _record(pod, theirs, "", Result.NOT_JUDGED, sentence(error))
        self.counts[record.result] += 1
        self.metrics.observed.labels(record.result).inc()
        self.records.append(record)
        if record.result == Result.OUTSIDE.value:
            _log.warning("%s", msgspec.json.encode(record).decode())

    def _record(self, pod: Pod, theirs: str) -> Record:
        hard = unsupported.hard(pod)
        if hard:
            return _record(pod, theirs, "", Result.NOT_JUDGED, f"not supported: {', '.join(hard)}")
        around, now = self.around(), self.clock()
        pod_class = self.intake.classes.of(pod)
        pod_class.refresh(around.state)
        entry = self.intake.entry(pod, pod_class)
        view = view_of(around, entry, now)
        walked = walk(view, pod_class)
        slot = around.state.fleet.slot(theirs)
        if slot is None or not walked.feasible[slot]:
            return _record(pod, theirs, "", Result.OUTSIDE, self._against(around, entry, walked, slot))
        outcome = decide(around, entry, now)
        if isinstance(outcome, Placed):
            ours = around.state.by_slot[outcome.slot].name
            return _record(pod, theirs, ours, Result.SAME if ours == theirs else Result.OTHER)
        text = "waiting for a better node" if isinstance(outcome, Deferred) else outcome.message
        return _record(pod, theirs, "", Result.WAIT, text)

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
