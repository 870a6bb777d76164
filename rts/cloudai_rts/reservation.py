"""Room that is kept for tasks which need much of one machine: reservation with backfill by predicted ends.

Where small tasks come all the time, half a machine hardly ever becomes free by itself, however many GPUs are free in
total. So a task of several GPUs that finds no node gets the one on which it would end first, by what is predicted of
those that run there. Meanwhile only those may begin there that fit beside it or will have ended before it begins
(backfill: Lifka, "The ANL/IBM SP Scheduling System", 1995), both by an upper quantile of the run time: half of the ends
are later than a median. A node is kept from tasks with a deadline only, and never longer than those can wait.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from cloudai_rts import calibration
from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.calibration import NORMAL_SHAPE, Shape
from cloudai_rts.fragmentation import GpuRequest, Room
from cloudai_rts.harm import RunningRows

MIN_GPUS: Final = 2
"""A task of one GPU takes the first that becomes free."""
MOST_KEPT: Final = 0.2
"""Share of the nodes that suit a task which are kept at the same time; at least one may be. With half of it tasks of
eight GPUs miss 35 instead of 29 % where machines are alike and full (`benchmarks/policy.py`, one model, load 1.70)."""
LEAST_NODES: Final = 4
"""Of fewer nodes that suit a task none is kept: it would be a third of all that there is, or more."""
SLACK_PER_WAIT: Final = 2.0
"""Room on a part of a node is kept once waiting for it takes half of the slack: until then there may be some elsewhere.
"""
MOST_OF_TENANT: Final = 0.15
"""The same for one tenant: who asks for more room than there is must not close the cluster to others."""
MOST_LOOKED_AT: Final = 200
"""Nodes: what runs on 5,000 would hold the event loop for a tenth of a second."""
MOST_SECONDS: Final = 3600.0
"""A task with all the time in the world stands back so long."""
UPPER_SD: Final = 0.84
"""Standard deviations of ln run time above its mean: the run is over by then four times out of five (2b)."""


def upper_seconds(predicted: float, log_sd: float, shape: Shape) -> float:
    """An upper quantile of a run time of which the expected value is known, seconds; `shape` as it is learned (2b)."""
    return predicted * math.exp(calibration.log_quantile(UPPER_SD, log_sd, shape))


@dataclass(frozen=True, slots=True)
class Claim:
    """A task that needs room: its name (unique), whose it is, its priority and what it asks for.

    `gpu_resource` is what its GPUs are devices of. Nothing is kept after its `deadline` (seconds since
    the epoch).
    """

    name: str
    tenant: str
    priority: int
    request: GpuRequest
    gpu_resource: str = ""
    deadline: float = math.inf

    def beside(self, other: "Claim") -> GpuRequest:
        """What it asks for of that which another one needs: devices of another resource are no business of that one."""
        if self.gpu_resource == other.gpu_resource:
            return self.request
        return GpuRequest(0, self.request.cpu, self.request.memory)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A node kept for a task: from when on it will have room (seconds since the epoch), and what is left beside it."""

    claim: Claim
    slot: int
    start: float
    spare: Room


@dataclass(slots=True)
class Reservations:
    """All nodes that are kept, by the task's name."""

    kept: dict[str, Reservation] = field(default_factory=dict)

    def release(self, name: str) -> Reservation | None:
        """The task has been placed, or is gone. Returns what was kept for it."""
        return self.kept.pop(name, None)

    def renew(self, name: str, reservation: Reservation | None) -> None:
        """Keep this for the task from now on, or nothing."""
        self.release(name)
        if reservation is not None:
            self.kept[name] = reservation

    def leave(self, slot: int) -> None:
        """A node is gone."""
        for name in [name for name, reservation in self.kept.items() if reservation.slot == slot]:
            del self.kept[name]

    def fill(self, claim: Claim, slot: int, end: float) -> None:
        """A task begins on a node and is over by `end`: what it holds after that is no more there for others."""
        for name, reservation in self.kept.items():
            if reservation.slot == slot and name != claim.name and end > reservation.start:
                asked, spare = claim.beside(reservation.claim), reservation.spare
                left = Room(spare.gpus - asked.gpus, spare.cpu - asked.cpu, spare.memory - asked.memory)
                self.kept[name] = replace(reservation, spare=left)

    def has_place_for(self, claim: Claim, slots: IntArray, machines: int) -> bool:
        """Whether the task needs a node kept, and one more may be: of those that suit it, and of all `machines`.

        A task may name nodes, and another one others: of all that have such devices no more may be kept either.
        """
        if claim.request.gpus < MIN_GPUS or len(slots) < LEAST_NODES:
            return False
        everywhere = [reservation for name, reservation in self.kept.items() if name != claim.name]
        return _has_place(claim, self._others(claim, slots), len(slots)) and _has_place(claim, everywhere, machines)

    def _others(self, claim: Claim, slots: IntArray) -> list[Reservation]:
        """The reservations of others that the task must respect, on nodes that suit it."""
        return [
            reservation
            for name, reservation in self.kept.items()
            if name != claim.name and reservation.claim.priority >= claim.priority and _holds(slots, reservation.slot)
        ]

    def closed(self, claim: Claim, slots: IntArray, run_seconds: FloatArray, now: float) -> BoolArray:
        """Which nodes the task must leave to others; `slots` ascending, `run_seconds` by node, an upper quantile."""
        closed = np.zeros(len(slots), np.bool_)
        for reservation in self._others(claim, slots):
            other = reservation.claim
            if now < other.deadline and not _fits(claim.beside(other), reservation.spare):
                at = int(np.searchsorted(slots, reservation.slot))
                closed[at] |= now + run_seconds[at] > reservation.start
        return closed

    def choose(
        self,
        claim: Claim,
        slots: IntArray,
        room: Room,
        running: RunningRows,
        run_seconds: FloatArray,
        now: float,
        shape: Shape = NORMAL_SHAPE,
        machines: int | None = None,
    ) -> Reservation | None:
        """Choose the node on which the task will end first, among those that suit it: `slots` (ascending), `room`.

        None where as many nodes as may be are kept already, or where no predicted end frees enough. `run_seconds` is an
        upper quantile by node, `now` in seconds since the epoch, `shape` how run times scatter. Of many nodes those are
        looked at that have most free.
        """
        if not self.has_place_for(claim, slots, len(slots) if machines is None else machines):
            return None
        others = [reservation for name, reservation in self.kept.items() if name != claim.name]
        looked_at = np.sort(np.argsort(-room.gpus, kind="stable")[:MOST_LOOKED_AT])
        slots, run_seconds, room = slots[looked_at], run_seconds[looked_at], room.at(looked_at)
        start, spare = openings(slots, room, claim.request, running, now, shape)
        start[np.isin(slots, [reservation.slot for reservation in others])] = np.inf
        at = int(np.argmin(start + run_seconds))
        if not math.isfinite(start[at]):
            return None
        return Reservation(claim, int(slots[at]), float(start[at]), spare.at(np.array([at])))


def _has_place(claim: Claim, others: Sequence[Reservation], nodes: int) -> bool:
    """Whether so many nodes may have one more kept, and the task's tenant one more of them."""
    own = sum(reservation.claim.tenant == claim.tenant for reservation in others)
    most, most_own = (max(1, math.floor(share * nodes)) for share in (MOST_KEPT, MOST_OF_TENANT))
    return len(others) < most and own < most_own


def is_needed(reservation: Reservation, run_seconds: float, now: float, is_kept: bool) -> bool:
    """Whether room is to be kept for a task: it can still meet its deadline there, and has not much slack beyond that.

    `run_seconds` is what it takes there, `is_kept` whether that was so before.
    """
    slack, wait = reservation.claim.deadline - run_seconds - now, reservation.start - now
    return wait <= slack and (is_kept or slack < SLACK_PER_WAIT * wait)


def openings(
    slots: IntArray, room: Room, request: GpuRequest, running: RunningRows, now: float, shape: Shape = NORMAL_SHAPE
) -> tuple[FloatArray, Room]:
    """When each node will have room for a request (seconds since the epoch), and what is left beside it then.

    Infinite where what ends as predicted does not free enough.
    """
    start = np.full(len(slots), np.inf)
    spare = np.stack([room.gpus - request.gpus, room.cpu - request.cpu, room.memory - request.memory])
    start[(spare >= 0).all(axis=0)] = now
    at = np.minimum(np.searchsorted(slots, running.slot), len(slots) - 1)
    ends = running.ends(now, calibration.log_quantiles(UPPER_SD, running.log_sd, shape))
    here = np.flatnonzero(slots[at] == running.slot)
    for row in here[np.argsort(ends[here], kind="stable")].tolist():
        node = int(at[row])
        if start[node] == np.inf:
            spare[:, node] += running.held[:, row]
            if (spare[:, node] >= 0).all():
                start[node] = ends[row]
    return start, Room(*spare)


def _holds(slots: IntArray, slot: int) -> bool:
    """Whether a slot is one of these, which are ascending."""
    at = int(np.searchsorted(slots, slot))
    return at < len(slots) and bool(slots[at] == slot)


def _fits(request: GpuRequest, spare: Room) -> bool:
    return bool(request.gpus <= spare.gpus[0] and request.cpu <= spare.cpu[0] and request.memory <= spare.memory[0])
