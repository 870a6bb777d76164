"""Whether a candidate does worse than its control: the same tenants' other tasks in the same period.

Tasks are dealt to the two by a hash of their UID, so each tenant is an experiment of its own, and what counts is the
difference within tenants (Mantel and Haenszel's weights). A tenant with tasks on one side says nothing, so claiming to
have been placed by the candidate is of no use. No large tenant outweighs the others: its weight has a limit, and
what it sees that they do not is pulled in to what chance allows. But clear harm to one tenant ends the trial: it may
pretend that on purpose, and all that is lost are weights that were not in force yet.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_optimizer.errors import PublishError
from cloudai_optimizer.fit.tenancy import LARGEST_SHARE
from cloudai_optimizer.fit.voices import Voices
from cloudai_optimizer.judge.guard import Z90
from cloudai_rts import history
from cloudai_rts.arrays import FloatArray
from cloudai_rts.history import Record
from cloudai_rts.ordering import share_of
from cloudai_rts.parameters import CanaryShare, Document

MIN_DEADLINES: Final = 100
LONGEST_SECONDS: Final = 86_400.0
CHANCE: Final = 2.0
"""Sd by which a large tenant's difference may be off the others' without being pulled in."""
LARGE: Final = 0.05
"""Of the weight: a smaller tenant cannot outweigh anybody, and its few tasks are either late or not."""
HARM: Final = 4.0
MIN_TRIED: Final = 10
"""So many sd is a tenant harmed beyond doubt, if it has so many tasks under the candidate."""
SHRINK: Final = 10.0
"""A tenant's share of missed deadlines is taken for that of all by so many tasks."""
RUNNING, PROMOTED, ROLLED_BACK = "running", "promoted", "rolled back"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a canary does against its control: shares of missed deadlines over comparable tasks, and what follows.

    `difference` is what is missed more under the candidate by the same tenants.
    """

    result: str
    canary_tasks: int
    canary_late: float
    control_tasks: int
    control_late: float
    difference: float

    def text(self) -> str:
        """For people."""
        return (
            f"{self.result}: {100 * self.canary_late:.1f} % of {self.canary_tasks} deadlines missed under the "
            f"candidate, {100 * self.control_late:.1f} % of {self.control_tasks} under its control; "
            f"{100 * self.difference:+.1f} points for the same tenants"
        )


@dataclass(slots=True)
class _Sides:
    """A tenant's missed deadlines (1, else 0) under the candidate and under its control."""

    tried: list[bool] = field(default_factory=list)
    control: list[bool] = field(default_factory=list)

    def count(self) -> int:
        return len(self.tried) + len(self.control)

    def is_comparable(self) -> bool:
        return bool(self.tried and self.control)

    def weight(self) -> float:
        """Mantel and Haenszel's: what the smaller side can tell."""
        return len(self.tried) * len(self.control) / self.count()

    def difference(self) -> float:
        return _share(self.tried) - _share(self.control)

    def variance(self, usual: float) -> float:
        """Of the difference, if both sides are alike. `usual` is the share of all that is late."""
        late = sum(self.tried) + sum(self.control)
        pooled = (late + SHRINK * usual) / (self.count() + SHRINK)
        return max(pooled * (1.0 - pooled), 1e-9) * (1.0 / len(self.tried) + 1.0 / len(self.control))


def judge(
    active: Document, records: Sequence[Record], since: float, now: float, min_deadlines: int = MIN_DEADLINES
) -> Verdict:
    """Compare tasks placed by candidate and control since the canary began (one-sided 90 %). Raises `PublishError`."""
    canary = active.Canary
    if canary is None:
        raise PublishError("no canary runs")
    tenants = [tenant for tenant in _sides(active, canary, records, since, now).values() if tenant.is_comparable()]
    tried = [late for tenant in tenants for late in tenant.tried]
    control = [late for tenant in tenants for late in tenant.control]
    difference, error, is_harmed = _compared(tenants, _share([*tried, *control])) if tenants else (0.0, 0.0, False)
    result = RUNNING
    if since > now:  # the clock has been set back: nobody knows what was placed since
        result = ROLLED_BACK
    elif len(tried) >= min_deadlines or now - since > LONGEST_SECONDS:
        result = ROLLED_BACK if not tenants or is_harmed or difference > Z90 * error else PROMOTED
    return Verdict(result, len(tried), _share(tried), len(control), _share(control), difference)


def _sides(
    active: Document, canary: CanaryShare, records: Sequence[Record], since: float, now: float
) -> Mapping[str, _Sides]:
    """What can be believed, by tenant: each pod once, on the side that its hash says."""
    sides: defaultdict[str, _Sides] = defaultdict(_Sides)
    for record in {record.pod_uid: record for record in records}.values():
        late = record.violated
        if late is None or record.start < since or history.problem(record, now) is not None:
            continue
        if record.parameters_version == canary.Version and _may_be(record, canary, is_tried=True):
            sides[record.namespace].tried.append(late)
        elif record.parameters_version == active.version and _may_be(record, canary, is_tried=False):
            sides[record.namespace].control.append(late)
    return sides


def _may_be(record: Record, canary: CanaryShare, *, is_tried: bool) -> bool:
    """Whether the scheduler really dealt it to that side. Of pods that are no Task's the owner is not recorded."""
    return record.task_uid == record.pod_uid or (share_of(record.task_uid) < canary.Share) == is_tried


def _compared(tenants: Sequence[_Sides], usual: float) -> tuple[float, float, bool]:
    """Deadlines missed more under the candidate within tenants, its standard error, and whether one is harmed."""
    weights = _weights(tenants)
    seen = np.array([tenant.difference() for tenant in tenants])
    deviation = np.sqrt([tenant.variance(usual) for tenant in tenants])
    many = np.array([len(tenant.tried) >= MIN_TRIED for tenant in tenants])
    is_harmed = bool((many & (seen > HARM * deviation)).any())
    middle = Voices(seen, weights, np.zeros(len(tenants), np.int64)).usual(seen)[0]
    near = np.clip(seen, middle - CHANCE * deviation, middle + CHANCE * deviation)
    seen = np.where(weights >= LARGE, near, seen)
    return float(weights @ seen), float(np.sqrt(weights**2 @ deviation**2)), is_harmed


def _weights(tenants: Sequence[_Sides]) -> FloatArray:
    """Weight of each tenant's difference, no more than `LARGEST_SHARE` or its share of the deadlines; together 1."""
    own = np.array([tenant.weight() for tenant in tenants])
    count = np.array([tenant.count() for tenant in tenants])
    share = np.maximum(LARGEST_SHARE, count / count.sum())
    with np.errstate(divide="ignore", invalid="ignore"):  # a tenant who is alone may say everything
        most = np.where(share < 1.0, (own.sum() - own) * share / (1.0 - share), np.inf)
    limited = np.minimum(own, most)
    return np.asarray(limited / limited.sum())


def _share(late: Sequence[bool]) -> float:
    return sum(late) / len(late) if late else 0.0
