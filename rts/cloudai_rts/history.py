"""One finished attempt of a task, as history keeps it and learning reads it."""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from cloudai_rts import contract
from cloudai_rts.contract import MAX_SECONDS

SUCCEEDED: Final = "Succeeded"
RUNNING: Final = "Running"
"""Not finished: `finish` is when it was looked at. Learned from as a run that lasts at least so long."""
_INTERRUPTED: Final = frozenset({RUNNING, "Disrupted", "Deleted", "Rejected"})
"""Ends that say nothing about the deadline: the Task goes on, or somebody did not want it any more."""
MAX_LOAD: Final = 64.0
MAX_AMOUNT: Final = 1e18
"""Bytes."""
MAX_DEVICES: Final = 65_536.0
"""Cores or GPUs of one machine."""
MAX_MOMENT: Final = 1e12
TOO_SHORT: Final = "it ran for less than a second"
"""Containers' times are whole seconds: such a run says nothing, and is no sign of anything wrong either."""


class Available(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was free on the node before the task: cores, bytes, devices."""

    cpu: float = 0.0
    memoryBytes: float = 0.0
    gpu: float = 0.0
    storageBytes: float = 0.0


class RunnerUp(msgspec.Struct, frozen=True):
    """The node that would have been taken next, and its risk."""

    node: str
    risk: float | None = None


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finished pod. Times in seconds since the epoch, requests in cores, bytes and devices.

    `reference_runtime` and `log_sd` are what was expected at acceptance; `declared` the user's own estimate and
    `allowed` the time from arrival to the user's own deadline, where it had not been moved (both seconds).
    `load` is the node's before the task and `load_with` with it, as the scheduler used them, `allowed_classes` those of
    nodes that its selectors and tolerations admit (empty: all), `predicted` the run time predicted for this node
    (seconds); `policy` to `runner_up` are the decision's.
    `rank` is its place among the pods of its Task, of which there is one. Really used
    were `used_cpu` cores and `used_gpu` devices on average, `used_memory` bytes at most.
    """

    pod_uid: str
    task_uid: str
    namespace: str
    name: str
    type: str
    node: str
    node_class: str
    arrival: float
    start: float
    finish: float
    outcome: str
    cpu: float
    memory: float
    gpu: float = 0.0
    gpu_resource: str = ""
    storage: float = 0.0
    user: str = ""
    identity: str = ""
    attempt: int = 1
    deadline: float | None = None
    deadline_source: str = ""
    reference_runtime: float = 0.0
    log_sd: float = 0.0
    declared: float | None = None
    allowed: float | None = None
    load: float = 0.0
    load_with: float | None = None
    predicted: float | None = None
    late_probability: float | None = None
    parameters_version: int = 0
    policy: str = ""
    model: str = ""
    fallback_reason: str | None = None
    risk: float | None = None
    runner_up: RunnerUp | None = None
    available: Available = Available()
    allowed_classes: tuple[str, ...] = ()
    rank: int = 0
    used_cpu: float | None = None
    used_memory: float | None = None
    used_gpu: float | None = None

    @property
    def pod_name(self) -> str:
        """Name of its pod: a Task's is derived, any other pod is its own task."""
        if self.task_uid == self.pod_uid:
            return self.name
        return contract.pod_name(self.name, self.task_uid, self.attempt)

    @property
    def runtime(self) -> float:
        """How long it ran, seconds."""
        return self.finish - self.start

    @property
    def violated(self) -> bool | None:
        """Whether it missed its deadline; None without one, and where it may still be met in another attempt."""
        if self.deadline is None:
            return None
        if self.finish > self.deadline:
            return True
        return None if self.outcome in _INTERRUPTED else self.outcome != SUCCEEDED


def problem(record: Record, now: float) -> str | None:
    """Why a record cannot be learned from, None if it can. Rubbish is dropped and counted, never repaired."""
    if not all(map(math.isfinite, (record.arrival, record.start, record.finish))):
        return "a number is not finite"
    if not record.type or not record.node or not record.node_class:
        return "type, node or node class is missing"
    if record.runtime == 0.0:
        return TOO_SHORT
    if not 0.0 < record.runtime <= MAX_SECONDS:
        return "its run time is not positive"
    waited = record.start - record.arrival
    if record.start > now + 300.0 or record.finish > now + 300.0 or not -300.0 <= waited <= MAX_SECONDS:
        return "its times contradict each other or lie in the future"
    if any(said is not None and not 0.0 < said <= MAX_SECONDS for said in (record.declared, record.allowed)):
        return "its declared run time, or the time allowed, is impossible"
    return _wrong_amount(record)


def _wrong_amount(record: Record) -> str | None:
    devices = (record.cpu, record.gpu, record.used_cpu or 0.0, record.used_gpu or 0.0)
    sizes = (record.memory, record.storage, record.used_memory or 0.0)
    expected = (record.deadline or 0.0, record.reference_runtime, record.log_sd)
    if not all(map(math.isfinite, (record.load, *devices, *sizes, *expected))):
        return "a number is not finite"
    if min(record.load, *devices, *sizes) < 0:
        return "an amount is negative"
    if record.load > MAX_LOAD or max(devices) > MAX_DEVICES or max(sizes) > MAX_AMOUNT:
        return "an amount is larger than any machine"
    if max(map(abs, expected)) > MAX_MOMENT:
        return "its deadline or what was expected of it is impossible"
    return None


def ends(records: Sequence[Record]) -> list[float]:
    """When those that have ended did, seconds since the epoch: what still runs is no news."""
    return [record.finish for record in records if record.outcome != RUNNING]


def decode(raw: dict[str, Any]) -> Record | None:
    """A record from stored fields; None if they are not those of one."""
    try:
        return msgspec.convert({name: value for name, value in raw.items() if name != "_id"}, Record)
    except msgspec.ValidationError:
        return None


def identity_key(image: str, command: Sequence[str], args: Sequence[str], gpus: float, user: str) -> str:
    """Twelve hex digits for tasks that do the same thing: image, command, arguments, GPUs and user."""
    words = json.dumps([image, list(command), list(args), gpus, user], ensure_ascii=False)
    return hashlib.sha256(words.encode(errors="replace")).hexdigest()[:12]
