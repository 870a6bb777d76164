"""Tasks bound with Prometheus and MongoDB there, and with both dead: two sandboxes of one run, in turn.

The optimizer is a job that runs now and then; it runs in neither. Seconds are from kubectl's start to the last
decision. Ends with 1 if a Task was not bound, or not by the rule, where everything is dead, or if binds took more than
a quarter longer there.
"""

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bar import Bar, judge
from operator_bars import apply, task, wait_bound
from rich.console import Console

from cloudai_rts import contract
from cloudai_sandbox.sandbox import Sandbox
from cloudai_sandbox.services import MONGODB, PROMETHEUS

BATCH: Final = 200
WELL, DEAD = "well", "dead"


@dataclass(frozen=True)
class Result:
    """One batch: seconds until all were bound, and how many the rule placed."""

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
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    console = Console(stderr=True, log_path=False)
    with (
        tempfile.TemporaryDirectory(prefix="cloudai-well-") as well_folder,
        tempfile.TemporaryDirectory(prefix="cloudai-dead-") as dead_folder,
        Sandbox(Path(well_folder), nodes=20, services=(PROMETHEUS, MONGODB), say=console.log) as well,
        Sandbox(Path(dead_folder), nodes=20, services=(PROMETHEUS, MONGODB), say=console.log) as dead,
    ):
        results = measure({WELL: well, DEAD: dead}, arguments.rounds, console)
    if arguments.output == "json":
        sys.stdout.write(json.dumps([asdict(result) for result in results]) + "\n")
    else:
        tell(results)
    by_rule = min(result.by_rts for result in results if result.services == DEAD)
    judge(
        [
            Bar(f"Tasks of a batch of {BATCH} that the rule places where all is dead", by_rule, least=BATCH),
            Bar("seconds there over seconds where all is well, median", statistics.median(_ratios(results)), most=1.25),
        ]
    )


def measure(sandboxes: dict[str, Sandbox], rounds: int, console: Console) -> list[Result]:
    """Kill the services of one; then batches in turn, the first of each unmeasured."""
    for name in (PROMETHEUS, MONGODB):
        child = sandboxes[DEAD].process(name)
        child.kill()
        sandboxes[DEAD].children.running.remove(child)
        console.log(f"{name} is dead in one of them")
    results = []
    for number in range(rounds + 1):
        order = list(sandboxes) if number % 2 else list(reversed(sandboxes))
        results += [_batch(sandboxes[services], services, number) for services in order]
        console.log(f"round {number} of {rounds}")
    return results[len(sandboxes) :]


def tell(results: list[Result]) -> None:
    """For people."""
    for services in (WELL, DEAD):
        own = [result for result in results if result.services == services]
        seconds = sorted(result.seconds for result in own)
        sys.stdout.write(
            f"services {services}: {sum(result.bound for result in own)} Tasks bound, "
            f"{sum(result.by_rts for result in own)} by the rule; a batch of {BATCH} in "
            f"{statistics.median(seconds):.2f} s ({seconds[0]:.2f} to {seconds[-1]:.2f})\n"
        )
    ratios = _ratios(results)
    sys.stdout.write(
        f"dead over well, round by round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; "
        f"median {statistics.median(ratios):.2f}\n"
    )


def _ratios(results: list[Result]) -> list[float]:
    """Seconds of the dead over those of the well, round by round."""
    pairs = zip(
        *([result.seconds for result in results if result.services == name] for name in (DEAD, WELL)), strict=True
    )
    return [dead / well for dead, well in pairs]


def _batch(sandbox: Sandbox, services: str, number: int) -> Result:
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
