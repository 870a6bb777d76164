"""One epoch: what finished -> fit -> replay -> search -> guard -> the next document, or none and why.

This module reads as the algorithm and touches nothing outside: records in, decision out. Clock, random generator and
executor are arguments.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from cloudai_kube import timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.node_use import NodeUse
from cloudai_kube.wording import sentence
from cloudai_optimizer.fit import learn
from cloudai_optimizer.judge.guard import Verdict
from cloudai_optimizer.release.publication import SEARCHED_AT
from cloudai_optimizer.release.reach import Reach
from cloudai_optimizer.rules import Rules
from cloudai_optimizer.search import tuning
from cloudai_optimizer.search.genetic import Generation
from cloudai_rts import history
from cloudai_rts.history import Record
from cloudai_rts.machine import Machine
from cloudai_rts.parameters import Document

_log = logging.getLogger(__name__)

UNCHANGED: Final = "unchanged"
FITTED: Final = "fitted"
TUNED: Final = "tuned"
REFUSED: Final = "refused"
"""History is not to be believed."""
UNREADABLE: Final = "it is no record"


@dataclass(slots=True)
class Outcome:
    """What an epoch decided. `document` is what to publish (version and date are the publisher's), None: nothing.

    `dropped` and `unmeasured` count records and measurements that could not be used, by what was wrong with them.
    """

    result: str
    reason: str
    document: Document | None = None
    finished: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    unmeasured: dict[str, int] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    generations: list[Generation] = field(default_factory=list)
    verdict: Verdict | None = None
    seconds: float = 0.0
    searched_at: str = ""

    def evidence(self) -> dict[str, Any]:
        """What travels with the document, for people and dashboards."""
        evidence: dict[str, Any] = {"Result": self.result, "Reason": self.reason, "Tasks": self.finished}
        evidence["EpochSeconds"] = round(self.seconds, 3)
        if self.searched_at:
            evidence[SEARCHED_AT] = self.searched_at
        evidence |= {name: round(value, 4) for name, value in self.quality.items()}
        if self.generations:
            evidence["BestFitness"] = round(self.generations[-1].best, 6)
        if self.verdict is not None:
            evidence["Guard"] = {
                name: round(value, 5) if isinstance(value, float) else value
                for name, value in asdict(self.verdict).items()
            }
        return evidence


def run(
    records: Sequence[Record],
    machines: Sequence[Machine],
    incumbent: Document,
    rules: Rules,
    rng: np.random.Generator,
    executor: Executor,
    now: float,
    use: NodeUse | None = None,
    reach: Reach | None = None,
    unreadable: int = 0,
    progress: Callable[[Generation], None] = lambda _generation: None,
) -> Outcome:
    """Decide what the parameters should be after what has happened. `now` in seconds since the epoch.

    `reach` is what values were in the last day (None: unknown); `use` is what was measured of the nodes; `unreadable`
    counts documents of the history that are no records.
    """
    usable, dropped = _usable(records, now)
    if unreadable:
        dropped[UNREADABLE] = unreadable
    total = len(records) + unreadable
    invalid = total - len(usable) - dropped.get(history.TOO_SHORT, 0)
    finished = sum(record.outcome == history.SUCCEEDED for record in usable)
    outcome = Outcome(UNCHANGED, "", finished=finished, dropped=dropped)
    others_total, others_invalid = _beside_the_worst(records, usable, unreadable, now)
    limit = rules.max_invalid_share
    if invalid > limit * total and others_invalid > limit * others_total:
        outcome.result = REFUSED
        counts = ", ".join(f"{count} x {what}" for what, count in dropped.items())
        outcome.reason = f"{invalid} of {total} records are unusable: {counts}"
        return outcome
    if finished < rules.min_tasks:
        outcome.reason = f"{finished} finished tasks, at least {rules.min_tasks} are needed"
        return outcome
    if rules.only_news and not _is_news(usable, incumbent):
        outcome.reason = "nothing has finished since the last epoch"
        return outcome
    cores = {machine.node.node: machine.node.cpu for machine in machines}
    learned = learn.from_records(
        usable, incumbent, cores, use or NodeUse(), reach, now, rules.remembered_runs, rules.energy
    )
    outcome.quality = learned.quality
    outcome.document = learned.document
    outcome.result, outcome.reason = FITTED, f"run times fitted on {finished} tasks"
    if finished < rules.search_tasks:
        outcome.reason += f"; weights are searched from {rules.search_tasks} tasks on"
        return outcome
    outcome.searched_at = str(incumbent.Evidence.get(SEARCHED_AT, ""))
    too_early = _too_early(outcome.searched_at, usable, rules, now)
    if too_early:
        outcome.reason += f"; {too_early}"
        return outcome
    outcome.searched_at = timestamp.millis(now)
    try:
        tuned = tuning.tune(usable, machines, learned, reach, rules, rng, executor, progress)
    except Exception as error:  # noqa: BLE001  whatever keeps the search from ending, what was fitted holds
        _log.exception("the search failed")
        outcome.reason += f"; the search failed ({sentence(error)}), the weights in force stay"
        return outcome
    outcome.generations, outcome.verdict = tuned.generations, tuned.verdict
    if tuned.verdict.accepted:
        outcome.document = tuned.document
        outcome.result, outcome.reason = TUNED, f"tuned weights are {tuned.verdict.reason}"
    else:
        outcome.reason += f"; tuned weights are {tuned.verdict.reason}, the weights in force stay"
    return outcome


def _too_early(searched_at: str, records: Sequence[Record], rules: Rules, now: float) -> str:
    """Why weights are not searched again already, empty if they may be."""
    try:
        last = timestamp.parse(searched_at)
    except FormatError:
        return ""
    if last > now:  # the clock has been set back: when that was is not known
        return ""
    new = sum(end > last for end in history.ends(records))
    if now - last >= rules.search_pause_seconds and new >= rules.search_new_tasks:
        return ""
    return (
        f"weights were searched {max(0.0, now - last) / 60:.0f} min and {new} tasks ago, they are again after "
        f"{rules.search_pause_seconds / 60:.0f} min and {rules.search_new_tasks} tasks"
    )


def _usable(records: Sequence[Record], now: float) -> tuple[list[Record], dict[str, int]]:
    """Valid records, each pod once; the others counted by what is wrong with them."""
    seen: set[str] = set()
    usable: list[Record] = []
    dropped: dict[str, int] = {}
    for record in records:
        problem = "it is there twice" if record.pod_uid in seen else history.problem(record, now)
        if problem is None:
            seen.add(record.pod_uid)
            usable.append(record)
        else:
            dropped[problem] = dropped.get(problem, 0) + 1
    return usable, dropped


def _beside_the_worst(
    records: Sequence[Record], usable: Sequence[Record], unreadable: int, now: float
) -> tuple[int, int]:
    """How many records there are, and how many of them cannot be used, without the namespace that has most of those.

    What one namespace writes stops nobody else's learning; where it is the only one, its records are all there is.
    """
    totals = Counter(record.namespace for record in records)
    worst = totals - Counter(record.namespace for record in usable)
    for record in records:
        if worst[record.namespace] and history.problem(record, now) == history.TOO_SHORT:
            worst[record.namespace] -= 1
    worst = +worst
    total, invalid = len(records) + unreadable, worst.total() + unreadable
    if len(totals) == 1 or not worst:
        return total, invalid
    namespace, count = worst.most_common(1)[0]
    return total - totals[namespace], invalid - count


def _is_news(records: Sequence[Record], incumbent: Document) -> bool:
    """Whether any run has ended that the document in force does not know."""
    return max(history.ends(records)) > learn.read_until(incumbent)
