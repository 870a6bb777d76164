"""Traces: fleets, speeds and task lists as CSV, one format for simulation, benchmarks, tests and the demo.

Only text is read here; where it comes from is the caller's business.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Final

from cloudai_rts import contract
from cloudai_rts.errors import TraceError
from cloudai_rts.history import MAX_MOMENT


def resource_of(gpu_product: str) -> str:
    """The resource behind a product: slices of devices go by their resource's name, `nvidia.com/mig-1g.5gb`."""
    return gpu_product if "/" in gpu_product else contract.DEFAULT_GPU_RESOURCE


@dataclass(frozen=True, slots=True)
class FleetNode:
    """One machine: cores, bytes, devices; `speed` is its own run-time factor (1.5: half as slow again as its class)."""

    node: str
    cpu: float
    memory_bytes: int
    gpu: int
    gpu_product: str
    storage_bytes: int
    pods: int
    speed: float = 1.0

    @property
    def gpu_resource(self) -> str:
        """The resource that its devices are."""
        return resource_of(self.gpu_product)


@dataclass(frozen=True, slots=True)
class TraceTask:
    """One task. Times in seconds from the start of the trace; `reference_runtime_s` is the truth only kubelets see.

    `deadline_s` is infinite where nobody waits for it, None where it follows from the multiplier. `gpu_product`
    restricts it to machines with that GPU.
    """

    arrival_s: float
    name: str
    type: str
    cpu: float
    memory_bytes: int
    gpu: int
    reference_runtime_s: float
    sla_multiplier: float
    expected_runtime_s: float | None = None
    deadline_s: float | None = None
    priority: int = 0
    gpu_product: str = ""
    storage_bytes: int = 0
    user: str = ""

    @property
    def gpu_resource(self) -> str:
        """The resource that it asks for; empty without devices."""
        return resource_of(self.gpu_product) if self.gpu else ""

    @property
    def allowed_s(self) -> float | None:
        """The time that its user allowed; None where the deadline follows from a run time."""
        return contract.time_allowed(self.arrival_s, self.deadline_s, contract.FINISH_BY)


MOST: Final[Mapping[str, float]] = {
    "cpu": 65_536,
    "gpu": 65_536,
    "memory_bytes": 1 << 50,
    "storage_bytes": 1 << 50,
    "pods": 100_000,
    "speed": 1e6,
    "factor": 1e6,
    "sla_multiplier": 1e6,
}
"""The most that a column may hold; whatever counts seconds, `MAX_MOMENT`."""
_TIMES: Final = "; write seconds, or a time such as 2026-03-01T18:00:00Z"
REMEDIES: Final[Mapping[str, str]] = {
    "memory_bytes": "; write bytes, 34359738368 for 32Gi",
    "storage_bytes": "; write bytes, 34359738368 for 32Gi",
    "cpu": "; write cores, .5 for 500m",
    "arrival_s": _TIMES,
    "deadline_s": _TIMES,
}
"""What to write instead of what is often found there."""
NO_DEADLINE: Final = "none"
"""In the column of deadlines: nobody waits for the task."""
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d")
_WHOLE: Final = re.compile(r"-?[0-9]{1,9}")
Speeds = dict[tuple[str, str], float]
"""Run-time factor against the reference by (type, GPU product); absent pairs are 1, an empty product is no GPU."""


def read_fleet(text: str) -> list[FleetNode]:
    """Parse a fleet. Raises `TraceError`."""
    required = ("node", "cpu", "memory_bytes", "gpu", "gpu_product", "storage_bytes", "pods")
    nodes = [
        FleetNode(
            node=row.text("node"),
            cpu=row.number("cpu"),
            memory_bytes=int(row.number("memory_bytes")),
            gpu=row.devices("gpu"),
            gpu_product=row.values.get("gpu_product", "").strip(),
            storage_bytes=int(row.number("storage_bytes")),
            pods=int(row.number("pods")),
            speed=row.optional("speed") or 1.0,
        )
        for row in _rows(text, required)
    ]
    twice = [name for name, count in Counter(node.node for node in nodes).items() if count > 1]
    if twice:
        raise TraceError(f"node {twice[0]!r} stands there twice; give every node a name of its own")
    idle = [node.node for node in nodes if node.cpu <= 0]
    if idle:
        raise TraceError(f"node {idle[0]!r} has no cores; leave it out")
    if not nodes:
        raise TraceError("the fleet has no nodes; write at least one line below the header")
    return nodes


def read_speeds(text: str) -> Speeds:
    """Parse speeds. Raises `TraceError`."""
    speeds: Speeds = {}
    for row in _rows(text, ("type", "gpu_product", "factor")):
        pair = (row.text("type"), row.values.get("gpu_product", "").strip())
        if pair in speeds:
            raise TraceError(f"line {row.line}: {pair[0]} on {pair[1] or 'no GPU'} stands there twice; keep one")
        speeds[pair] = row.above_zero("factor")
    return speeds


def read_tasks(text: str) -> list[TraceTask]:
    """Parse a task list, in order of arrival; of equal names the later ones get a number. Raises `TraceError`.

    Where arrivals are moments (ISO 8601), seconds count from the first one.
    """
    required = ("arrival_s", "name", "type", "cpu", "memory_bytes", "gpu", "reference_runtime_s", "sla_multiplier")
    names = _Names()
    rows = list(_rows(text, required))
    tasks = [
        TraceTask(
            arrival_s=row.moment("arrival_s"),
            name=names.of(row.text("name")),
            type=row.text("type"),
            cpu=row.number("cpu"),
            memory_bytes=int(row.number("memory_bytes")),
            gpu=row.devices("gpu"),
            reference_runtime_s=row.above_zero("reference_runtime_s"),
            sla_multiplier=row.above_zero("sla_multiplier"),
            expected_runtime_s=row.optional("expected_runtime_s"),
            deadline_s=row.deadline("deadline_s"),
            priority=row.integer("priority"),
            gpu_product=row.values.get("gpu_product", "").strip(),
            storage_bytes=int(row.optional("storage_bytes") or 0),
            user=row.values.get("user", "").strip(),
        )
        for row in rows
    ]
    if any(row.is_moment("arrival_s") for row in rows):
        for row in rows:
            row.must_be_moments("arrival_s", "deadline_s")
        tasks = _from_first(tasks)
    elif odd := next((row for row in rows if row.is_moment("deadline_s")), None):
        raise TraceError(f"line {odd.line}: deadline_s is a time and arrival_s a number; write both in one way")
    for row, task in zip(rows, tasks, strict=True):
        if task.deadline_s is not None and task.deadline_s < task.arrival_s:
            raise TraceError(f"line {row.line}: deadline_s lies before arrival_s; leave it empty, or write none")
    return sorted(tasks, key=lambda task: task.arrival_s)


def _from_first(tasks: Sequence[TraceTask]) -> list[TraceTask]:
    """Times from the first arrival on."""
    begin = min(task.arrival_s for task in tasks)
    return [
        replace(
            task,
            arrival_s=task.arrival_s - begin,
            deadline_s=None if task.deadline_s is None else task.deadline_s - begin,
        )
        for task in tasks
    ]


class _Names:
    """Names that differ from each other: what runs is told apart by them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        """The name, from its second use on with a number."""
        unique = name
        while unique in self._taken:
            self._counts[name] += 1
            unique = f"{name}#{self._counts[name] + 1}"
        self._taken.add(unique)
        return unique


def write_tasks(tasks: Sequence[TraceTask]) -> str:
    """Write what `read_tasks` reads."""
    return _written(TraceTask, tasks)


def write_fleet(nodes: Sequence[FleetNode]) -> str:
    """Write what `read_fleet` reads."""
    return _written(FleetNode, nodes)


def _written(kind: type[TraceTask] | type[FleetNode], rows: Sequence[TraceTask] | Sequence[FleetNode]) -> str:
    columns = [column.name for column in fields(kind)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = [getattr(row, name) for name in columns]
        writer.writerow(
            "" if value is None else _number(value) if isinstance(value, float) else value for value in values
        )
    return text.getvalue()


def _number(value: float) -> str:
    return NO_DEADLINE if value == math.inf else f"{value:.3f}"


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    values: dict[str, str]

    def text(self, column: str) -> str:
        value = self.values.get(column, "").strip()
        if not value:
            raise TraceError(f"line {self.line}: column {column} is empty; write a value")
        if not value.isprintable():
            raise TraceError(f"line {self.line}: {column} = {value[:40]!r} has characters that cannot be printed")
        return value

    def number(self, column: str) -> float:
        text = self.text(column)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        most = MOST.get(column, MAX_MOMENT)
        if not 0 <= number <= most:
            remedy = REMEDIES.get(column, "")
            raise TraceError(f"line {self.line}: {column} = {text[:40]!r} is no number from 0 to {most:g}{remedy}")
        return number

    def above_zero(self, column: str) -> float:
        number = self.number(column)
        if number == 0:
            raise TraceError(f"line {self.line}: {column} = 0; write a number above 0, or leave the line out")
        return number

    def devices(self, column: str) -> int:
        number = self.number(column)
        if number != int(number):
            raise TraceError(
                f"line {self.line}: {column} = {number:g}; devices are placed whole: round up, or leave the line out"
            )
        return int(number)

    def is_moment(self, column: str) -> bool:
        return bool(_MOMENT.match(self.values.get(column, "").strip()))

    def must_be_moments(self, *columns: str) -> None:
        """Refuse numbers among times: their origin is unknown."""
        for column in columns:
            text = self.values.get(column, "").strip()
            if text and text.lower() != NO_DEADLINE and not self.is_moment(column):
                raise TraceError(f"line {self.line}: {column} = {text[:40]!r} is no time as in other lines; write one")

    def moment(self, column: str) -> float:
        """Seconds, or those since the epoch of an ISO 8601 time (without a zone: UTC)."""
        if not self.is_moment(column):
            return self.number(column)
        text = self.text(column)
        try:
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError) as error:
            raise TraceError(
                f"line {self.line}: {column} = {text[:40]!r} is no time; write for example 2026-03-01T18:00:00Z"
            ) from error

    def deadline(self, column: str) -> float | None:
        text = self.values.get(column, "").strip()
        if not text or text.lower() == NO_DEADLINE:
            return math.inf if text else None
        return self.moment(column)

    def integer(self, column: str) -> int:
        text = self.values.get(column, "").strip() or "0"
        if not _WHOLE.fullmatch(text):
            raise TraceError(f"line {self.line}: {column} = {text[:40]!r} is no whole number of at most nine digits")
        return int(text)

    def optional(self, column: str) -> float | None:
        return self.number(column) if self.values.get(column, "").strip() else None


def _read(reader: "csv.DictReader[str]") -> Iterator[dict[str, str]]:
    """The lines. Raises `TraceError` where there is no reading on."""
    try:
        yield from reader
    except csv.Error as error:
        raise TraceError(f"line {reader.line_num}: {error}; check the quotes") from error


def _rows(text: str, required: tuple[str, ...]) -> Iterator[_Row]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    try:
        header = reader.fieldnames or ()
    except csv.Error as error:
        raise TraceError(f"line 1: {error}; check the quotes") from error
    missing = [name for name in required if name not in header]
    if missing and len(header) == 1 and (other := next((mark for mark in ";\t" if mark in header[0]), None)):
        raise TraceError(f"line 1: the columns are separated by {other!r}; save the file as CSV with commas")
    if missing:
        raise TraceError(f"line 1: the header lacks {', '.join(missing)}; it needs {', '.join(required)}")
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise TraceError(f"line 1: column {twice[0]!r} stands there twice; keep one of them")
    for values in _read(reader):
        if None in values:
            raise TraceError(f"line {reader.line_num}: more values than columns; put values with commas into quotes")
        if (values.get("gang") or "1").strip() not in {"", "1"}:
            raise TraceError(
                f"line {reader.line_num}: gang = {values['gang']!r}; only tasks of one pod can be replayed"
            )
        yield _Row(reader.line_num, {name: value or "" for name, value in values.items()})
