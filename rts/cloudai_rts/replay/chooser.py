"""The deciders in a replay: the production rules under any parameters, and what they are measured against."""

import math
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from cloudai_rts import choice, prediction
from cloudai_rts.arrays import BoolArray, FloatArray
from cloudai_rts.choice import Rotation
from cloudai_rts.contract import CPU, MEMORY
from cloudai_rts.fleet import Fleet
from cloudai_rts.fragmentation import GpuRequest
from cloudai_rts.harm import HarmTable
from cloudai_rts.load_history import LoadHistory
from cloudai_rts.ordering import Standing
from cloudai_rts.parameters import Document
from cloudai_rts.placement import Candidates, Deferred, Placed, keep_room, place
from cloudai_rts.policy import ROUND_ROBIN, RTS, Policy
from cloudai_rts.replay.job import Admitted, Job
from cloudai_rts.reservation import Claim, Reservations, upper_seconds


@dataclass(slots=True)
class View:
    """What a policy may look at."""

    fleet: Fleet
    harm: HarmTable
    loads: LoadHistory


class Chooser(Protocol):
    """Decides one task at a time. `order` sorts the waiting ones, smallest first."""

    def order(self, view: View, job: Job, allowed: BoolArray, now: float) -> tuple[float, ...]:
        """Place in the queue."""

    def decide(
        self, view: View, job: Job, allowed: BoolArray, now: float, deferred_until: float | None
    ) -> Placed | Deferred | None:
        """Node, deferral, or None where no node is free."""

    def improves(self, view: View, job: Job, slot: int, refused: float) -> bool:
        """Whether a deferred job should look at a node that gained room; `refused` as in `Deferred.log_factor`."""


@dataclass(slots=True)
class RtsChooser:
    """The production code: `hinge`, `lateness` or round-robin under a document."""

    document: Document
    mode: str = RTS
    policy: Policy | None = None
    kept: Reservations = field(default_factory=Reservations)
    _standings: dict[str, Standing] = field(default_factory=dict)
    _eligible: dict[tuple[object, ...], BoolArray] = field(default_factory=dict)
    _best: dict[tuple[str, str, Admitted], float] = field(default_factory=dict)

    def order(self, view: View, job: Job, allowed: BoolArray, now: float) -> tuple[float, ...]:
        """The production order: priority, hope, deadline."""
        if self.mode == ROUND_ROBIN:
            return (-job.priority, job.known.arrival)
        standing = self._standings.get(job.name)
        if standing is None:
            best = 0.0 if job.known.deadline is None else self._best_runtime(view, job, allowed)
            self._policy_on(view).note(job.known, job.tenant)
            standing = Standing(job.priority, job.known.deadline, job.known.arrival, best)
            self._standings[job.name] = standing
        return standing.key(now)

    def _best_runtime(self, view: View, job: Job, allowed: BoolArray) -> float:
        """Min E at load 0; but for tau it is the same for all tasks of a kind."""
        known = job.known
        key = (known.type, known.gpu_resource, job.admitted)
        if key not in self._best:
            self._best[key] = self._policy_on(view).best_runtime(known, allowed) / known.least_runtime(
                self.document.Runtime.Shape
            )
        return self._best[key] * known.least_runtime(self.document.Runtime.Shape)

    def decide(
        self, view: View, job: Job, allowed: BoolArray, now: float, deferred_until: float | None
    ) -> Placed | Deferred | None:
        """One call of the production rule."""
        policy = self._policy_on(view)
        candidates = Candidates(
            feasible=allowed & view.fleet.fits(job.amounts),
            eligible=self._could_take(view, job, allowed),
            harm=view.harm.values(view.fleet, self.document, now),
            typical_load=view.loads.typical(view.fleet),
            kept=self.kept,
            claim=_claim(job),
        )
        if not candidates.feasible.any():
            kept = keep_room(policy, job.known, job.amounts, candidates, view.harm, now)
            self.kept.renew(job.name, kept)
            return None
        outcome = place(policy, job.known, job.amounts, candidates, now, deferred_until)
        if isinstance(outcome, Placed):
            self.kept.release(job.name)
            self._fill(candidates.claim, job, outcome, now)
        elif not outcome.is_kept:
            self.kept.release(job.name)
        return outcome

    def _fill(self, claim: Claim | None, job: Job, placed: Placed, now: float) -> None:
        """What it holds is no more there beside those for which the node is kept."""
        if claim is not None and placed.predicted_runtime is not None:
            self.kept.fill(
                claim,
                placed.slot,
                now + upper_seconds(placed.predicted_runtime, job.known.log_sd, self.document.Runtime.Shape),
            )

    def improves(self, view: View, job: Job, slot: int, refused: float) -> bool:
        """Whether a deferred job should look at a node that gained room."""
        return self._policy_on(view).is_worth_another_look(job.known, job.amounts, slot, refused)

    def _could_take(self, view: View, job: Job, allowed: BoolArray) -> BoolArray:
        """Machines whose whole capacity fits; in a replay they stay as they are."""
        key = (*job.amounts.items(), job.admitted)
        if key not in self._eligible:
            self._eligible[key] = allowed & view.fleet.could_fit(job.amounts)
        return self._eligible[key]

    def _policy_on(self, view: View) -> Policy:
        if self.policy is None or self.policy.fleet is not view.fleet:
            self.policy = Policy(view.fleet, self.document, self.mode)
            self.kept.kept.clear()
            self._standings.clear()
            self._eligible.clear()
            self._best.clear()
        return self.policy


def _claim(job: Job) -> Claim:
    known = job.known
    deadline = math.inf if known.deadline is None else known.deadline
    return Claim(job.name, job.tenant, job.priority, GpuRequest(*job.held), known.gpu_resource, deadline)


@dataclass(slots=True)
class ScoreChooser:
    """First come, first served, on the node with the best of a simple score; what other schedulers do."""

    name: str
    document: Document = field(default_factory=Document)
    rotation: Rotation = field(default_factory=Rotation)

    def order(
        self,
        view: View,  # noqa: ARG002  the rule needs no more
        job: Job,
        allowed: BoolArray,  # noqa: ARG002  the rule needs no more
        now: float,  # noqa: ARG002  the rule needs no more
    ) -> tuple[float, ...]:
        """By arrival; `edf-best-node` by deadline."""
        if self.name == EDF_BEST_NODE and job.known.deadline is not None:
            return (-job.priority, job.known.deadline)
        return (-job.priority, job.known.arrival)

    def decide(
        self,
        view: View,
        job: Job,
        allowed: BoolArray,
        now: float,  # noqa: ARG002  the rule needs no more
        deferred_until: float | None,  # noqa: ARG002  the rule needs no more
    ) -> Placed | Deferred | None:
        """The lowest score among the feasible nodes."""
        slots = np.flatnonzero(allowed & view.fleet.fits(job.amounts))
        if not len(slots):
            return None
        score = self._score(view, job)[slots]
        slot = choice.lowest(score, slots, self.rotation)
        return Placed(slot, self.name, self.name, None, None, None, 0.0, 0.0)

    def improves(self, view: View, job: Job, slot: int, refused: float) -> bool:  # noqa: ARG002  it never defers
        """Nothing is ever deferred."""
        return True

    def _score(self, view: View, job: Job) -> FloatArray:
        fleet = view.fleet
        if self.name == EDF_BEST_NODE:
            names = fleet.class_names
            u = prediction.class_factors(job.known.type, names, self.document.Runtime, job.known.gpu > 0)
            runtime = self.document.Runtime
            curve = prediction.load_curve(fleet.load(job.amounts), runtime.Kappa, runtime.Mu)
            v = prediction.node_factors(fleet.names, runtime)
            return prediction.log_runtime(job.known.reference_runtime, u, fleet.class_index, v, curve)
        used = np.zeros(len(fleet))
        for resource in (CPU, MEMORY):  # kube-scheduler's default resources, equal weights
            allocatable = np.maximum(1, fleet.allocatable(resource))
            used += (fleet.requested(resource) + job.amounts.get(resource, 0)) / allocatable / 2
        return used if self.name == LEAST_ALLOCATED else -used


LEAST_ALLOCATED: Final = "least-allocated"
MOST_ALLOCATED: Final = "most-allocated"
EDF_BEST_NODE: Final = "edf-best-node"
