"""How fast a simulated machine works: true run times by type and GPU model, slowed by what else runs there.

Pure: time is an argument. The slow-down by load is that of the reference workload (Gavel's cluster): run time x
(1 + phi L^2 + 2 max(0, L - 1)) with L = requested cores / cores of the node.
"""

from dataclasses import dataclass, field

from cloudai_rts.replay.world import DEFAULT_PHI, OVERLOAD_SLOPE, REFERENCE_PHI
from cloudai_rts.traces import FleetNode, Speeds


@dataclass(slots=True)
class Work:
    """One running pod: seconds of work left at factor 1, how it is slowed, and the CPU seconds it has used."""

    uid: str
    task_type: str
    cpu: float
    remaining: float
    cpu_seconds: float = 0.0


@dataclass(slots=True)
class Machine:
    """The work on one node. `advance` before every change."""

    node: FleetNode
    speeds: Speeds
    fault_factor: float = 1.0
    cpu_seconds: float = 0.0
    work: dict[str, Work] = field(default_factory=dict)
    _at: float = 0.0

    def factor(self, work: Work) -> float:
        """Seconds that one second of reference work takes here now."""
        own = self.speeds.get((work.task_type, self.node.gpu_product), 1.0) * self.node.speed * self.fault_factor
        load = sum(other.cpu for other in self.work.values()) / self.node.cpu if self.node.cpu else 0.0
        phi = REFERENCE_PHI.get(work.task_type, DEFAULT_PHI)
        return own * (1.0 + phi * load * load + OVERLOAD_SLOPE * max(0.0, load - 1.0))

    def advance(self, now: float) -> list[str]:
        """Let time pass until `now` (seconds, monotonic). Returns the UIDs whose work is done, and forgets them."""
        elapsed = max(0.0, now - self._at)
        self._at = now
        self.cpu_seconds += elapsed * sum(work.cpu for work in self.work.values())
        for work in self.work.values():
            work.remaining -= elapsed / self.factor(work)
            work.cpu_seconds += elapsed * work.cpu
        done = [uid for uid, work in self.work.items() if work.remaining <= 1e-6]
        for uid in done:
            del self.work[uid]
        return done

    def start(self, work: Work, now: float) -> list[str]:
        """Begin work; others slow down. Returns what was done by then."""
        done = self.advance(now)
        self.work[work.uid] = work
        return done

    def stop(self, uid: str, now: float) -> list[str]:
        """End work early. Returns what was done by then."""
        done = self.advance(now)
        self.work.pop(uid, None)
        return done

    def next_end(self) -> float | None:
        """When the next pod's work is done if nothing changes (seconds, monotonic); None if nothing ends."""
        ends = [self._at + work.remaining * self.factor(work) for work in self.work.values()]
        return min(ends, default=None)
