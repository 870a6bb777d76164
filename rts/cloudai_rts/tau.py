"""tau_c: the reference run time of each task type, cold values first, then a moving average (EDD 4.2)."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from cloudai_rts.parameters import HINGE
from cloudai_rts.task import CPU_HEAVY, CPU_LIGHT, GPU_INFERENCE, GPU_TRAINING, MEMORY_HEAVY, MIXED

DEFAULT_LAMBDA: Final = 0.2
UNKNOWN_TYPE_SECONDS: Final = 600.0
COLD_TAU_SECONDS: Final[Mapping[str, float]] = {
    CPU_LIGHT: 120.0,
    CPU_HEAVY: 500.0,
    MEMORY_HEAVY: 400.0,
    GPU_INFERENCE: 500.0,
    GPU_TRAINING: 900.0,
    MIXED: 400.0,
}
MIN_TAU_SECONDS: Final = 0.001
MAX_TAU_SECONDS: Final = 31_536_000.0


MOST_TENANTS: Final = 1000
MOST_TYPES: Final = 64
"""Of one tenant, learned between two epochs; more are not followed."""
MOST_FACTOR: Final = 8.0
"""How much faster or slower than the reference a node is believed to be: the prediction is told by the pod."""


class TauStore:
    """Reference run times by type, in seconds. Not thread-safe: one owner.

    `hinge` averages arithmetically as EDD 4.2 is written; `lateness` in log space, where run times are symmetric.
    """

    def __init__(self, known: Mapping[str, float] | None = None, smoothing: float = DEFAULT_LAMBDA) -> None:
        self._seconds = {**COLD_TAU_SECONDS, **(known or {})}
        self._learned = set(known or ())
        self._lambda = smoothing

    def get(self, task_type: str) -> float:
        """Return tau of the type; a type never seen has 600 s."""
        return self._seconds.get(task_type, UNKNOWN_TYPE_SECONDS)

    def seed(self, known: Mapping[str, float]) -> None:
        """Replace what is known by a newly published document's `Tau`; types it does not name keep their value."""
        self._seconds.update(known)
        self._learned.update(known)

    def copy(self) -> "TauStore":
        """The same again, to be changed without changing this one."""
        other = TauStore({}, self._lambda)
        other._seconds, other._learned = dict(self._seconds), set(self._learned)
        return other

    def has_learned(self, task_type: str) -> bool:
        """Whether tau of the type rests on observations rather than on a built-in value."""
        return task_type in self._learned

    def update(self, task_type: str, actual_seconds: float, node_factor: float = 1.0, model: str = HINGE) -> float:
        """tau' = lambda x + (1 - lambda) tau with x = actual / node_factor (EDD 4.2). Returns the new value.

        `node_factor` is exp(u + v) f(L) of the node it ran on: without it better placement would shorten tau and
        tighten the next deadlines. Non-positive or non-finite observations change nothing.
        """
        old = self.get(task_type)
        observed = actual_seconds / node_factor if node_factor > 0 else math.nan
        if not (math.isfinite(observed) and observed > 0):
            return old
        if model == HINGE:
            new = self._lambda * observed + (1.0 - self._lambda) * old
        else:
            new = math.exp(self._lambda * math.log(observed) + (1.0 - self._lambda) * math.log(old))
        self._learned.add(task_type)
        self._seconds[task_type] = min(MAX_TAU_SECONDS, max(MIN_TAU_SECONDS, new))
        return self._seconds[task_type]


class TenantTau:
    """tau between epochs: what everybody learned in the last epoch, moved by each tenant's own runs for that tenant.

    An epoch judges all records together and limits what one tenant's weigh; a moving average cannot. So nobody's runs
    move anybody else's deadlines before the next epoch.
    """

    def __init__(self) -> None:
        self._shared = TauStore()
        self._own: OrderedDict[str, TauStore] = OrderedDict()
        self._followed: dict[str, set[str]] = {}

    def of(self, tenant: str) -> TauStore:
        """What holds for a tenant. Not to be changed: `update` does that."""
        return self._own.get(tenant, self._shared)

    def seed(self, known: Mapping[str, float], afresh: bool = False) -> None:
        """Take a newly published document's `Tau`: it replaces what was learned since the last one.

        `afresh`: also what earlier documents said, back to the built-in values.
        """
        if afresh:
            self._shared = TauStore()
        self._shared.seed(known)
        self._own.clear()
        self._followed.clear()

    def update(self, tenant: str, task_type: str, actual_seconds: float, node_factor: float, model: str) -> None:
        """Learn from one run of a tenant (EDD 4.2)."""
        followed = self._followed.setdefault(tenant, set())
        if task_type not in followed and len(followed) >= MOST_TYPES:
            return
        followed.add(task_type)
        store = self._own.pop(tenant, None) or self._shared.copy()
        self._own[tenant] = store
        clipped = min(MOST_FACTOR, max(1.0 / MOST_FACTOR, node_factor))
        store.update(task_type, actual_seconds, clipped, model)
        if len(self._own) > MOST_TENANTS:
            del self._followed[self._own.popitem(last=False)[0]]
