"""A trace out of Slurm's accounting: `sacct --parsable2` with the fields of `FIELDS`.

Every job of one node that completed is a task: its arrival is its submission, its run time what it took, and the time
limit that its user gave is a declared run time. A GPU type that a job asked for (`ReqTRES`, if it is there) restricts
its task to the product of that name. With `Eligible` a job comes once nothing but a machine is missing, with
`ElapsedRaw` its run time is without suspensions. Times are as sacct wrote them, taken as UTC: only their differences
count.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from cloudai_cli.errors import InputError
from cloudai_cli.imported import Run
from cloudai_rts import contract
from cloudai_rts.contract import CPU, MAX_SECONDS, MEMORY

FIELDS: Final = ("JobID", "JobName", "User", "Submit", "Start", "End", "Timelimit", "State", "NNodes", "AllocTRES")
ASKED: Final = "ReqTRES"
ELIGIBLE: Final = "Eligible"
ELAPSED: Final = "ElapsedRaw"
OPTIONAL: Final = (ASKED, ELIGIBLE, ELAPSED)
COMMAND: Final = f"TZ=UTC sacct --allusers --parsable2 --starttime=2026-01-01 --format={','.join((*FIELDS, *OPTIONAL))}"
_STEP: Final = "."
_HETEROGENEOUS: Final = "+"
_PART: Final = re.compile(r"gres/(?:shard|mps)\b")
_TYPED: Final = "gres/gpu:"
_COMPLETED: Final = "COMPLETED"
_UNITS: Final = {"": 1 << 20, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
"""Of memory in TRES; without a unit it is mebibytes."""
_COUNT: Final = re.compile(r"[0-9]{1,7}")
_MEMORY: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([KMGT]?)[A-Za-z]?")
_LIMIT: Final = re.compile(r"(?:([0-9]{1,5})-)?(?:([0-9]{1,5}):)?([0-9]{1,9}):([0-9]{1,2})")


def read(text: str) -> tuple[list[Run], Counter[str]]:
    """The jobs as runs, in order of submission, and why others are left out. Raises `InputError`."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), delimiter="|", quoting=csv.QUOTE_NONE)
    try:
        missing = [name for name in FIELDS if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"the output of sacct lacks {', '.join(missing)}; write it with: {COMMAND}")
        runs: list[Run] = []
        left_out: Counter[str] = Counter()
        for row in reader:
            if _STEP in (row["JobID"] or ""):
                continue
            run = _run({name: row.get(name) or "" for name in (*FIELDS, *OPTIONAL)})
            if isinstance(run, Run):
                runs.append(run)
            else:
                left_out[run] += 1
    except csv.Error as error:
        raise InputError(f"line {reader.line_num}: {error}; write it with: {COMMAND}") from error
    return sorted(runs, key=lambda run: (run.created, run.uid)), left_out


def _run(row: Mapping[str, str]) -> Run | str:
    """A job, or why it is none of ours."""
    if row["State"] != _COMPLETED:
        return "did not complete"
    if row["NNodes"] != "1":
        return "ran on several nodes"
    if _HETEROGENEOUS in row["JobID"]:
        return "are parts of a heterogeneous job"
    if any(_PART.match(name) for name in _amounts(row["AllocTRES"])):
        return "ask for parts of a GPU (shards, MPS)"
    submitted, started, ended = (_moment(row[name]) for name in ("Submit", "Start", "End"))
    submitted = _moment(row[ELIGIBLE]) or submitted  # before, it waited for others, not for a machine
    if started is not None and _COUNT.fullmatch(row[ELAPSED]):
        ended = started + float(row[ELAPSED])  # without the time in which it was suspended
    if submitted is None or started is None or ended is None or not 0 < ended - started <= MAX_SECONDS:
        return "have no times, or contradicting ones"
    requests = _requests(row["AllocTRES"])
    if not requests.get(CPU):
        return "say nothing of their CPUs"
    return Run(
        uid=row["JobID"],
        name=row["JobID"],
        workload=f"{row['User'] or 'unknown'}/{row['JobName']}",
        created=min(submitted, started),
        started=started,
        completed=ended,
        requests=requests,
        declared=_seconds(row["Timelimit"]),
        gpu_products=frozenset(name.removeprefix(_TYPED) for name in _amounts(row[ASKED]) if name.startswith(_TYPED)),
    )


def _requests(tres: str) -> dict[str, float]:
    """Cores, bytes and GPUs of `cpu=8,mem=32G,gres/gpu=2,gres/gpu:a100=2`."""
    amounts = _amounts(tres)
    requests: dict[str, float] = {}
    if _COUNT.fullmatch(amounts.get("cpu", "")):
        requests[CPU] = float(amounts["cpu"])
    if match := _MEMORY.fullmatch(amounts.get("mem", "")):
        requests[MEMORY] = float(match[1]) * _UNITS[match[2]]
    typed = [amount for name, amount in amounts.items() if name.startswith(_TYPED)]
    gpus = [amounts["gres/gpu"]] if "gres/gpu" in amounts else typed  # the first is the sum of the others
    if gpus and all(map(_COUNT.fullmatch, gpus)):
        requests[contract.DEFAULT_GPU_RESOURCE] = sum(map(float, gpus))
    return requests


def _amounts(tres: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in tres.split(","))


def _moment(text: str) -> float | None:
    """Seconds since the epoch; None for `Unknown` and its like."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _seconds(text: str) -> float | None:
    """A time limit as Slurm writes it, `2-03:04:05`; None for `UNLIMITED` and `Partition_Limit`."""
    match = _LIMIT.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    whole = 86_400.0 * days + 3600.0 * hours + 60.0 * minutes + seconds
    return whole if 0 < whole <= MAX_SECONDS else None
