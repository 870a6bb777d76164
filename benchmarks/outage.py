"""Tasks bound with Prometheus and MongoDB there, and with both dead, on the same sandbox in the same run.

In turn: a batch with everything well, then both services are killed and a batch follows. The optimizer is a job that
runs now and then; in neither half does it run. Seconds are from kubectl's start to the last decision.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from operator_bars import apply, task, wait_bound
from rich.console import Console

from cloudai_rts import contract
from cloudai_sandbox.sandbox import Sandbox
from cloudai_sandbox.services import MONGODB, PROMETHEUS

BATCH: Final = 200


@dataclass(frozen=True)
class Result:
    """One half: seconds until all were bound, and how many the rule placed."""

    services: str
    seconds: float
    bound: int
    by_rts: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/outage.py -o json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    console = Console(stderr=True, log_path=False)
    with (
        tempfile.TemporaryDirectory(prefix="cloudai-outage-") as folder,
        Sandbox(Path(folder), nodes=20, services=(PROMETHEUS, MONGODB), say=console.log) as sandbox,
    ):
        results = measure(sandbox, arguments.rounds, console)
    if arguments.output == "json":
        sys.stdout.write(json.dumps([asdict(one) for one in results]) + "\n")
        return
    for one in results:
        sys.stdout.write(
            f"services {one.services:>5}: {one.bound} Tasks bound in {one.seconds:.1f} s, {one.by_rts} by the rule\n"
        )


def measure(sandbox: Sandbox, rounds: int, console: Console) -> list[Result]:
    """Rounds with both alive, then as many with both dead."""
    results = [_half(sandbox, "well", number) for number in range(rounds)]
    for name in (PROMETHEUS, MONGODB):
        child = sandbox.process(name)
        child.kill()
        sandbox.children.running.remove(child)
        console.log(f"{name} is dead")
    return results + [_half(sandbox, "dead", number) for number in range(rounds)]


def _half(sandbox: Sandbox, services: str, number: int) -> Result:
    prefix = f"{services}-{number}-"
    begun = apply(sandbox, [task(f"{prefix}{index}", "1") for index in range(BATCH)])
    seconds = wait_bound(sandbox, prefix, BATCH) - begun
    pods: list[dict[str, Any]] = json.loads(sandbox.plane.kubectl("get", "pods", "--output=json"))["items"]
    notes = [
        json.loads(pod["metadata"]["annotations"][contract.ANNOTATION_DECISION])
        for pod in pods
        if pod["metadata"]["name"].startswith(prefix)
    ]
    return Result(services, seconds, len(notes), sum(note["policy"] == "rts" for note in notes))


if __name__ == "__main__":
    main()
