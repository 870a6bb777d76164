"""The operator's bars: 50 Tasks in one file until all are bound, idle CPU and memory, restart until ready.

All on one sandbox with its simulated kubelets. Idle CPU is user plus system time of the operator's process over the
window, half of the resident Tasks running and half complete.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from bar import Bar, judge
from rich.console import Console

from cloudai_kube import timestamp
from cloudai_rts import contract
from cloudai_sandbox.sandbox import Sandbox

BATCH = 50
TASKS_OF_A_NODE = 25
MEMORY_MIB = {1000: 200.0, 10_000: 500.0}
"""Most that the operator may take with so many Tasks."""
RUNTIME = "sandbox.cloudai.dev/runtime-seconds"


@dataclass(frozen=True)
class Result:
    """Seconds, share of one core, MiB."""

    resident: int
    fifty_bound_seconds: list[float]
    apply_seconds: float
    idle_cpu_share: float
    idle_window_seconds: float
    restart_seconds: list[float]
    memory_mib: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/operator_bars.py --window 30 -o json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--window", type=float, default=30.0, help="seconds of idling")
    parser.add_argument("--resident", type=int, default=1000, help="Tasks that are there while it idles")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    console = Console(stderr=True, log_path=False)
    with (
        tempfile.TemporaryDirectory(prefix="cloudai-bench-") as folder,
        Sandbox(Path(folder), nodes=arguments.resident // TASKS_OF_A_NODE, say=console.log) as sandbox,
    ):
        result = measure(sandbox, console, arguments.window, arguments.rounds, arguments.resident)
    if arguments.output == "json":
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
    else:
        sys.stdout.write(
            f"50 Tasks in one file, until all are bound   {_spread(result.fifty_bound_seconds)} s\n"
            f"operator idle with {result.resident:,} Tasks              {result.idle_cpu_share:.2%} of a core, "
            f"{result.memory_mib:.0f} MiB\n"
            f"operator restarted until ready              {_spread(result.restart_seconds)} s\n"
            f"{result.resident:,} Tasks applied until all are bound     {result.apply_seconds:.1f} s\n"
        )
    judge(
        [
            Bar("seconds until 50 Tasks are bound, median", statistics.median(result.fifty_bound_seconds), most=5),
            Bar("per cent of a core when idle", 100 * result.idle_cpu_share, most=2),
            Bar("MiB when idle", result.memory_mib, most=MEMORY_MIB.get(result.resident, 500.0)),
            Bar("seconds from a kill until ready, the longest", max(result.restart_seconds), most=10),
        ]
    )


def measure(sandbox: Sandbox, console: Console, window_seconds: float, rounds: int, resident: int) -> Result:
    """Run everything on a running sandbox."""
    bound = []
    for number in range(rounds):
        begun = apply(sandbox, [task(f"fifty-{number}-{i}", "1") for i in range(BATCH)])
        bound.append(wait_bound(sandbox, f"fifty-{number}-", BATCH) - begun)
        console.log(f"50 bound after {bound[-1]:.2f} s")
    begun = apply(sandbox, [task(f"resident-{i}", "86400" if i % 2 else "0.5") for i in range(resident)])
    all_bound = wait_bound(sandbox, "resident-", resident) - begun
    console.log(f"{resident:,} bound after {all_bound:.1f} s; settling, then {window_seconds:.0f} s of idling")
    time.sleep(15)
    process = psutil.Process(sandbox.process(contract.OPERATOR_NAME).process.pid)
    before, at = _cpu(process), time.monotonic()
    time.sleep(window_seconds)
    share = (_cpu(process) - before) / (time.monotonic() - at)
    memory = process.memory_info().rss / (1 << 20)
    restarts = [_restart(sandbox) for _ in range(rounds)]
    return Result(resident, bound, all_bound, share, window_seconds, restarts, memory)


def apply(sandbox: Sandbox, tasks: Sequence[dict[str, Any]]) -> float:
    """Create Tasks from one file. Returns when kubectl was started (epoch seconds)."""
    file = sandbox.folder / "tasks.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(tasks)}))
    begun = time.time()
    sandbox.plane.kubectl("create", f"--filename={file}")
    return begun


def wait_bound(sandbox: Sandbox, prefix: str, count: int) -> float:
    """When the last pod of these Tasks was decided on (the decision's own time, epoch seconds)."""
    end = time.monotonic() + 300 + count / 10
    while time.monotonic() < end:
        pods = json.loads(sandbox.plane.kubectl("get", "pods", "--output=json"))["items"]
        ours = [pod for pod in pods if pod["metadata"]["name"].startswith(prefix) and pod["spec"].get("nodeName")]
        if len(ours) >= count:
            notes = (pod["metadata"]["annotations"][contract.ANNOTATION_DECISION] for pod in ours)
            return max(timestamp.parse(json.loads(note)["decidedAt"]) for note in notes)
        time.sleep(0.5)
    raise SystemExit(f"only {len(ours)} of {count} pods {prefix}* are bound in time")


def _restart(sandbox: Sandbox) -> float:
    name = contract.OPERATOR_NAME
    sandbox.process(name).kill()
    begun = time.monotonic()
    sandbox.revive()
    sandbox.wait_ready(name)
    return time.monotonic() - begun


def task(name: str, runtime: str) -> dict[str, Any]:
    """A Task that runs for so many seconds."""
    spec = {"image": "work:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    metadata = {"name": name, "annotations": {RUNTIME: runtime}}
    return {"apiVersion": contract.API_VERSION, "kind": contract.KIND, "metadata": metadata, "spec": spec}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
