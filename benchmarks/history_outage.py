"""History while its database is away, slow or half-open for minutes: nobody waits for it, and nothing is lost.

Batches of Tasks come all the time, and the operator is killed in the middle. Shown are the seconds from kubectl's start
until a batch is bound, before and during each trouble, and afterwards how many runs history holds, and how many twice.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bar import Bar, judge
from operator_bars import apply, task, wait_bound
from pymongo import MongoClient
from rich.console import Console

from cloudai_rts import contract
from cloudai_sandbox.sandbox import Sandbox
from cloudai_sandbox.services import MONGODB, start_mongodb

BATCH: Final = 20
PAUSE_SECONDS: Final = 10.0
RUNTIME: Final = "1.2"
STALL_SECONDS: Final = 1.5
BREATH_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 180.0
AWAY, SLOW, HALF_OPEN = "away", "slow", "half-open"
KINDS: Final = (AWAY, SLOW, HALF_OPEN)


@dataclass(frozen=True)
class Result:
    """One trouble: its length, seconds to bind a batch before and during it, and what history holds afterwards."""

    kind: str
    seconds: float
    bound_before: float
    bound_during: float
    tasks: int
    recorded: int
    twice: int
    caught_up_seconds: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/history_outage.py --seconds 600 --kinds half-open",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="length of each trouble")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    kinds = arguments.kinds.split(",")
    if not set(kinds) <= set(KINDS):
        parser.error(f"--kinds {arguments.kinds}: known are {', '.join(KINDS)}")
    console = Console(stderr=True, log_path=False)
    with (
        tempfile.TemporaryDirectory(prefix="cloudai-history-") as folder,
        Sandbox(Path(folder), nodes=20, services=(MONGODB,), say=console.log) as sandbox,
    ):
        results = [measure(sandbox, kind, arguments.seconds, console) for kind in kinds]
    if arguments.output == "json":
        sys.stdout.write(json.dumps([asdict(result) for result in results]) + "\n")
    else:
        tell(results)
    judge([bar for result in results for bar in bars(result)])


def bars(result: Result) -> list[Bar]:
    """Everything is there once, and binds take no longer."""
    return [
        Bar(f"{result.kind}: Tasks that history lacks", result.tasks - result.recorded, most=0),
        Bar(f"{result.kind}: Tasks that history has twice", result.twice, most=0),
        Bar(f"{result.kind}: seconds to bind, over those before", result.bound_during / result.bound_before, most=1.25),
    ]


def tell(results: list[Result]) -> None:
    """For people."""
    for result in results:
        sys.stdout.write(
            f"{result.kind} for {result.seconds:.0f} s: a batch of {BATCH} bound in {result.bound_during:.2f} s "
            f"({result.bound_before:.2f} before); {result.recorded} of {result.tasks} Tasks recorded "
            f"{result.caught_up_seconds:.0f} s after it ended, {result.twice} twice\n"
        )


def measure(sandbox: Sandbox, kind: str, seconds: float, console: Console) -> Result:
    """Batches before, during and after one trouble."""
    count, before = batches(sandbox, f"{kind}-before", 6 * PAUSE_SECONDS)
    console.log(f"{MONGODB} is {kind} for {seconds:.0f} s")
    process = sandbox.process(MONGODB)
    port = int(sandbox.urls[MONGODB].rstrip("/").rpartition(":")[2])
    if kind == AWAY:
        process.kill()
        sandbox.children.running.remove(process)
    elif kind == HALF_OPEN:
        os.kill(process.process.pid, signal.SIGSTOP)
    with stalling(process.process.pid) if kind == SLOW else nullcontext():
        first, during = batches(sandbox, f"{kind}-first", seconds / 2)
        console.log("the operator is killed")
        os.kill(sandbox.process(contract.OPERATOR_NAME).process.pid, signal.SIGKILL)
        time.sleep(0.5)
        sandbox.revive()
        sandbox.wait_ready(contract.OPERATOR_NAME)
        second, later = batches(sandbox, f"{kind}-second", seconds / 2)
    if kind == AWAY:
        start_mongodb(sandbox.folder, sandbox.children, console.log, port)
    elif kind == HALF_OPEN:
        os.kill(process.process.pid, signal.SIGCONT)
    tasks = count + first + second
    recorded, twice, waited = caught_up(sandbox, f"{kind}-", tasks)
    return Result(
        kind, seconds, statistics.median(before), statistics.median([*during, *later]), tasks, recorded, twice, waited
    )


def batches(sandbox: Sandbox, prefix: str, seconds: float) -> tuple[int, list[float]]:
    """Batch after batch for so long. Returns how many Tasks that were, and the seconds until each batch was bound."""
    end = time.monotonic() + seconds
    waits: list[float] = []
    while time.monotonic() < end:
        name = f"{prefix}-{len(waits)}-"
        begun = apply(sandbox, [task(f"{name}{index}", RUNTIME) for index in range(BATCH)])
        waits.append(wait_bound(sandbox, name, BATCH) - begun)
        time.sleep(max(0.0, min(PAUSE_SECONDS, end - time.monotonic())))
    return BATCH * len(waits), waits


@contextmanager
def stalling(process: int) -> Iterator[None]:
    """Every answer of a process takes a second or two."""
    stop = threading.Event()

    def stall() -> None:
        while not stop.is_set():
            os.kill(process, signal.SIGSTOP)
            stop.wait(STALL_SECONDS)
            os.kill(process, signal.SIGCONT)
            stop.wait(BREATH_SECONDS)

    thread = threading.Thread(target=stall)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def caught_up(sandbox: Sandbox, prefix: str, tasks: int) -> tuple[int, int, float]:
    """Tasks that history has, those that it has more than once, and the seconds until it had all."""
    begun = time.monotonic()
    names: list[str] = []
    with MongoClient[dict[str, Any]](sandbox.urls[MONGODB], timeoutMS=20_000) as client:
        while len(set(names)) < tasks and time.monotonic() - begun < PATIENCE_SECONDS:
            time.sleep(1.0)
            rows = client[contract.MONGODB_DATABASE][contract.TASK_HISTORY].find({}, {"name": 1})
            names = [row["name"] for row in rows if row["name"].startswith(prefix)]
    return len(set(names)), len(names) - len(set(names)), time.monotonic() - begun


if __name__ == "__main__":
    main()
