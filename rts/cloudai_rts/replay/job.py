"""A task in a replay: what the policy is told about it, and what is true."""

from dataclasses import dataclass

from cloudai_rts.contract import CPU, MEMORY
from cloudai_rts.fleet import Resources
from cloudai_rts.task import Task

Admitted = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Job:
    """One task of a replay.

    `known` is what the policy sees (arrival and deadline in seconds of the replay's clock). True are `work` (seconds on
    an idle reference machine), `cpu_used` (cores), `memory_used` (bytes) and `due`, the deadline it is judged by, None
    where nobody waits for it. `true_type` is what it is, whatever its user called it (empty: what it was called).
    `tenant` is whose it is. `amounts` are its requests; `gpu_product` restricts it to machines with that GPU, `classes`
    to machines of these classes (empty: it does not).
    """

    name: str
    known: Task
    amounts: Resources
    work: float
    cpu_used: float
    due: float | None
    true_type: str = ""
    gpu_product: str = ""
    classes: tuple[str, ...] = ()
    priority: int = 0
    memory_used: float = 0.0
    tenant: str = ""

    @property
    def held(self) -> tuple[int, int, int]:
        """Devices, millicores and bytes that it gives back when it ends."""
        amounts = self.amounts
        return round(self.known.gpu), amounts.get(CPU, 0), amounts.get(MEMORY, 0)

    @property
    def admitted(self) -> Admitted:
        """What jobs share that may go to the same machines, however large those are."""
        return (self.gpu_product, self.classes)


@dataclass(frozen=True, slots=True)
class Carried:
    """A task that runs already when a replay begins: where (index of the machine), since when, what is left of it.

    `started` in seconds of the replay's clock (negative), `left` in seconds on an idle reference machine, `predicted`
    the run time that was predicted for it, in seconds. It takes room and makes load, and nobody judges it.
    """

    job: Job
    node: int
    started: float
    left: float
    predicted: float
