"""What was promised about a pod: arrival, deadline and expected run time, read from its annotations.

The operator writes the frozen values on the pods of Tasks; any other pod may carry the few annotations of the contract.
A value that cannot be read counts as absent, and the pod's owner is told.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube import duration, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Meta, Pod
from cloudai_rts import contract
from cloudai_rts.contract import MAX_SECONDS
from cloudai_rts.task import clip_type, deadline_of, infer_type

REMEMBERED: Final = 100_000
"""Controllers whose first pod's creation is kept, the ones seen last."""


@dataclass(slots=True)
class Arrivals:
    """When the oldest pod of each controller was created, so that a retry does not reset the clock."""

    _first: dict[str, float] = field(default_factory=dict)

    def first(self, meta: Meta) -> float:
        """Creation time of the oldest pod seen with the same controller; the pod's own without one."""
        created = timestamp.parse_optional(meta.creationTimestamp) or 0.0
        owner = controller_uid(meta)
        if not owner:
            return created
        oldest = min(created, self._first.pop(owner, created))
        self._first[owner] = oldest
        if len(self._first) > REMEMBERED:
            del self._first[next(iter(self._first))]
        return oldest

    def keep(self, owners: set[str]) -> None:
        """Forget all controllers but these."""
        self._first = {owner: first for owner, first in self._first.items() if owner in owners}


@dataclass(frozen=True, slots=True)
class Promise:
    """What was said; None where nothing was. `problems` are the annotations that could not be read.

    Times in seconds since the epoch; `deadline_source` is who gave the deadline (empty without one), `expected` the
    user's own estimate, `reference_runtime` (both seconds) and `log_sd` what the operator expected at acceptance.
    """

    arrival: float
    deadline: float | None
    deadline_source: str
    expected: float | None
    reference_runtime: float | None
    log_sd: float | None
    problems: tuple[str, ...] = ()


def controller_uid(meta: Meta) -> str:
    """UID of the controlling owner, empty without one."""
    return next((owner.uid for owner in meta.ownerReferences if owner.controller), "")


def type_of(pod: Pod, cpu: float, memory: float, gpu: float) -> str:
    """The type that the pod names, else the one that its requests (cores, bytes, devices) look like."""
    named = pod.metadata.annotations.get(contract.ANNOTATION_TASK_TYPE)
    named = named or pod.metadata.labels.get(contract.LABEL_TASK_TYPE, "")
    return clip_type(named) or infer_type(cpu, memory, gpu)


def read(pod: Pod, arrivals: Arrivals, sla_multiplier: float) -> Promise:
    """Everything that the pod's annotations say."""
    problems: list[str] = []
    texts = pod.metadata.annotations

    def take(key: str, parse: Callable[[str], float]) -> float | None:
        text = texts.get(key)
        if text is None:
            return None
        try:
            return parse(text)
        except FormatError as error:
            problems.append(f"annotation {key}: {error}; it is ignored")
            return None

    arrival = take(contract.ANNOTATION_ARRIVAL, timestamp.parse)
    arrival = arrivals.first(pod.metadata) if arrival is None else arrival
    expected = take(contract.ANNOTATION_EXPECTED_RUNTIME, duration.parse)
    runtime = take(contract.ANNOTATION_REFERENCE_RUNTIME, positive_number)
    log_sd = take(contract.ANNOTATION_RUNTIME_LOG_SD, positive_number)
    by_declaration = None if expected is None else deadline_of(arrival, sla_multiplier, expected)
    source = texts.get(contract.ANNOTATION_DEADLINE_SOURCE, "")
    source = source if source in contract.DEADLINE_SOURCES else contract.FINISH_BY
    deadline, source = _deadline(arrival, take, by_declaration, source)
    return Promise(arrival, deadline, source, expected, runtime, log_sd, tuple(problems))


def _deadline(
    arrival: float,
    take: Callable[[str, Callable[[str], float]], float | None],
    by_declaration: float | None,
    source: str,
) -> tuple[float | None, str]:
    """The most definite word first, and whose it is; a declared run time promises k times itself, as in a Task.

    `source` is that of the deadline that the operator, or the user himself, fixed.
    """
    for key in (contract.ANNOTATION_DEADLINE, contract.ANNOTATION_FINISH_BY):
        if (deadline := take(key, timestamp.parse)) is not None:
            return deadline, source
    if (within := take(contract.ANNOTATION_FINISH_WITHIN, duration.parse)) is not None:
        return arrival + within, contract.FINISH_WITHIN
    return by_declaration, "" if by_declaration is None else contract.BY_DECLARATION


def positive_number(text: str) -> float:
    """Read a decimal number above 0. Raises `FormatError`."""
    try:
        number = float(text)
    except ValueError as error:
        raise FormatError(f"{text[:40]!r} is no number") from error
    if not (math.isfinite(number) and 0 < number <= MAX_SECONDS):
        raise FormatError(f"{text[:40]!r} is not a number above 0")
    return number
