"""What was promised about a pod: arrival, deadline and expected run time, read from its annotations.

The operator writes the frozen values on the pods of Tasks; any other pod may carry the few annotations of the contract.
A value that cannot be read counts as absent, and the pod's owner is told.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube import duration, moment, timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Meta, Pod
from cloudai_rts import contract
from cloudai_rts.contract import MAX_SECONDS
from cloudai_rts.task import clip_type, deadline_of, infer_type

REMEMBERED: Final = 100_000
"""Controllers whose pods are followed, the ones seen last."""
_TERMINAL: Final = frozenset({"Succeeded", "Failed"})


@dataclass(slots=True)
class _Series:
    """The pods of one Job: when the first came, the newest one, and whether each stands for itself."""

    first: float
    newest: str
    newest_lives: bool = True
    has_many: bool = False


@dataclass(slots=True)
class Arrivals:
    """When the work of a pod came: a retry of a Job with one completion keeps the first pod's clock.

    A controller is one promise only if its pods come one after the other, each because the last one failed. Workflows,
    ReplicaSets and Jobs with several completions are many promises: there each pod's clock is its own creation.
    """

    _series: dict[str, _Series] = field(default_factory=dict)

    def note(self, pod: Pod) -> None:
        """Take what is known of a pod; those of one controller in the order in which they were created."""
        owner = _job(pod.metadata)
        if not owner:
            return
        meta = pod.metadata
        lives = pod.status.phase not in _TERMINAL and meta.deletionTimestamp is None
        series = self._series.pop(owner, None)
        if series is None:
            series = _Series(_created(meta), meta.uid)
        elif series.newest == meta.uid:
            pass
        elif _created(meta) < series.first:
            series.first = _created(meta)
            series.has_many = series.has_many or lives
        else:
            series.has_many = series.has_many or series.newest_lives
            series.newest = meta.uid
        if series.newest == meta.uid:
            series.newest_lives = lives
        series.has_many = series.has_many or pod.status.phase == "Succeeded"
        self._series[owner] = series
        if len(self._series) > REMEMBERED:
            del self._series[next(iter(self._series))]

    def of(self, pod: Pod) -> float:
        """When the pod's work came, seconds since the epoch."""
        self.note(pod)
        series = self._series.get(_job(pod.metadata))
        created = _created(pod.metadata)
        return created if series is None or series.has_many else min(created, series.first)

    def keep(self, metas: Iterable[Meta]) -> None:
        """Forget all controllers but those of these pods."""
        owners = {_job(meta) for meta in metas}
        self._series = {owner: series for owner, series in self._series.items() if owner in owners}


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


def controller_of(meta: Meta) -> str:
    """Namespace and UID of the controlling owner, empty without one.

    An owner reference is a claim: with the namespace it can only name what its writer may touch.
    """
    if not meta.ownerReferences:
        return ""
    return next((f"{meta.namespace}/{owner.uid}" for owner in meta.ownerReferences if owner.controller), "")


def task_uid(pod: Pod) -> str:
    """UID of the Task whose attempt a pod's name and owner prove it to be, empty for all other pods."""
    for owner in pod.metadata.ownerReferences:
        is_task = owner.kind == contract.KIND and owner.apiVersion.startswith(f"{contract.GROUP}/")
        if owner.controller and is_task and contract.attempt_of(owner.name, owner.uid, pod.metadata.name):
            return owner.uid
    return ""


def _job(meta: Meta) -> str:
    """The controller, if it is a Job."""
    if not meta.ownerReferences:
        return ""
    owners = (o for o in meta.ownerReferences if o.controller and o.kind == "Job")
    return next((f"{meta.namespace}/{o.uid}" for o in owners if o.apiVersion.startswith("batch/")), "")


def _created(meta: Meta) -> float:
    return moment.read(meta.creationTimestamp) or 0.0


def says_anything(pod: Pod) -> bool:
    """Whether the pod says what kind of work it is, or how long it takes."""
    texts = pod.metadata.annotations
    said = (contract.ANNOTATION_TASK_TYPE, contract.ANNOTATION_EXPECTED_RUNTIME, contract.ANNOTATION_REFERENCE_RUNTIME)
    return contract.LABEL_TASK_TYPE in pod.metadata.labels or any(key in texts for key in said)


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

    # The operator says it of a Task's pods, which may come long after their Task; of any other pod it is a claim.
    told = take(contract.ANNOTATION_ARRIVAL, timestamp.parse) if task_uid(pod) else None
    arrival = arrivals.of(pod) if told is None else told
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
