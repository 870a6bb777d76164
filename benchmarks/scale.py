"""Many Tasks on many nodes, end to end: operator, scheduler, history and one epoch of the optimizer.

Everything runs on one machine: control plane, simulated kubelets, database and CloudAI. Shown are how long it takes,
what each process costs, and whether the audit of the whole history finds anything.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop
from bar import Bar, judge
from rich.console import Console

from cloudai_kube import connection
from cloudai_kube.transport import Transport
from cloudai_rts import contract
from cloudai_sandbox.sandbox import OURS, Sandbox
from cloudai_sandbox.services import MONGODB

TYPES = ("cpu-light", "cpu-heavy", "memory-heavy", "mixed")
LIMIT_SECONDS = 3000.0
POLL_SECONDS = 20.0
LEASE = {"LEASE_DURATION_SECONDS": "15", "LEASE_RENEW_DEADLINE_SECONDS": "10", "LEASE_RETRY_SECONDS": "2"}
"""As in a cluster: with everything on one machine the API server is slow at times."""


@dataclass(frozen=True)
class Result:
    """Seconds of wall clock, CPU seconds and MiB by process, and what the audit found."""

    tasks: int
    nodes: int
    applied_seconds: float
    complete_seconds: float
    recorded_seconds: float
    epoch: dict[str, Any]
    cpu_seconds: dict[str, float]
    memory_mib: dict[str, float]
    violations: int
    restarts: list[str]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/scale.py --nodes 1000 --tasks 10000 -o json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    console = Console(stderr=True, log_path=False)
    with (
        tempfile.TemporaryDirectory(prefix="cloudai-scale-") as folder,
        Sandbox(
            Path(folder),
            nodes=arguments.nodes,
            services=(MONGODB,),
            settings=dict.fromkeys(OURS, LEASE),
            say=console.log,
        ) as sandbox,
    ):
        result = uvloop.run(measure(sandbox, arguments.tasks, arguments.nodes, console))
    if arguments.output == "json":
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
    else:
        for name, value in asdict(result).items():
            sys.stdout.write(f"{name}: {value}\n")
    judge(
        [
            Bar("violations that the audit found", result.violations, most=0),
            Bar("processes that had to be started again", len(result.restarts), most=0),
        ]
    )


async def measure(sandbox: Sandbox, tasks: int, nodes: int, console: Console) -> Result:
    """Apply, wait, learn."""
    begun = time.monotonic()
    async with Transport(connection.load(str(sandbox.plane.kubeconfig)), "scale", 16) as transport:
        await apply(transport, tasks)
        applied = time.monotonic() - begun
        console.log(f"{tasks} Tasks applied after {applied:.0f} s")
        complete, restarts = await wait(sandbox, transport, console, tasks, begun)
    recorded = await asyncio.to_thread(wait_recorded, sandbox, tasks, begun)
    console.log(f"all recorded after {recorded:.0f} s; one epoch ...")
    processes = {name: psutil.Process(sandbox.process(name).process.pid) for name in OURS}
    cpu = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
    memory = {name: process.memory_info().rss / (1 << 20) for name, process in processes.items()}
    kubeconfig = sandbox.plane.service_account_kubeconfig(contract.OPTIMIZER_NAME)
    command = [sys.executable, "-m", "cloudai_optimizer", "--kubeconfig", str(kubeconfig), "epoch", "-o", "json"]
    command += ["--mongodb-uri", sandbox.urls[MONGODB]]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    violations = len(sandbox.audit().violations)
    return Result(tasks, nodes, applied, complete, recorded, report, cpu, memory, violations, restarts)


async def apply(transport: Transport, count: int) -> None:
    """Create the Tasks, sixteen at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            body = task(number)
            await transport.request("POST", f"/apis/{contract.API_VERSION}/namespaces/default/{contract.PLURAL}", body)

    await asyncio.gather(*(worker() for _ in range(16)))


def task(number: int) -> dict[str, Any]:
    """A Task of one of four types that takes some seconds."""
    kind = TYPES[number % len(TYPES)]
    return {
        "apiVersion": contract.API_VERSION,
        "kind": contract.KIND,
        "metadata": {
            "name": f"scale-{number}",
            "annotations": {"sandbox.cloudai.dev/runtime-seconds": str(5 + number % 17)},
        },
        "spec": {
            "type": kind,
            "image": "work:1",
            "resources": {"limits": {"cpu": str(1 + number % 4), "memory": "2Gi"}},
            "sla": {"finishWithin": "10m"},
        },
    }


async def wait(
    sandbox: Sandbox, transport: Transport, console: Console, tasks: int, begun: float
) -> tuple[float, list[str]]:
    """Seconds until all Tasks have ended, and whatever had to be started again as a Deployment would."""
    path = f"/apis/{contract.API_VERSION}/{contract.PLURAL}"
    restarts: list[str] = []
    while time.monotonic() - begun < LIMIT_SECONDS:
        restarts += sandbox.revive()
        whole = json.loads(await transport.request("GET", path, params={"fieldSelector": "status.state=Complete"}))
        done = len(whole["items"])
        console.log(f"{done} of {tasks} complete, started again: {restarts}")
        if done >= tasks:
            return time.monotonic() - begun, restarts
        await asyncio.sleep(POLL_SECONDS)
    raise SystemExit(f"not complete after {LIMIT_SECONDS:.0f} s")


def wait_recorded(sandbox: Sandbox, tasks: int, begun: float) -> float:
    """Seconds until history holds all of them."""
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]](sandbox.urls[MONGODB]) as client:
        while client["cloudai"]["TASK_HISTORY"].estimated_document_count() < tasks:
            if time.monotonic() - begun > LIMIT_SECONDS:
                raise SystemExit("history is not complete in time")
            time.sleep(2)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
