"""What an epoch of the optimizer costs: fit, replay, search and guard over history of many tasks on many nodes.

History comes from a replay of the reference workload on copies of the reference cluster.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from bar import Bar, judge
from rich.console import Console

from cloudai_optimizer import epoch
from cloudai_optimizer.rules import Rules
from cloudai_rts import traces
from cloudai_rts.machine import Machine
from cloudai_rts.parameters import Document
from cloudai_rts.replay import trace, workload, world
from cloudai_rts.replay.chooser import LEAST_ALLOCATED, ScoreChooser
from cloudai_rts.replay.engine import Replay
from cloudai_rts.replay.records import records
from cloudai_rts.replay.workload import REFERENCE_KINDS, Shape
from cloudai_rts.traces import FleetNode

ROOT: Final = Path(__file__).parents[1]
SIZES: Final = ((300, 30), (1_000, 100), (3_000, 300), (10_000, 1_000))
FLEETS: Final = ((1_000, 30), (1_000, 300), (1_000, 1_000))
"""The same number of tasks on few and on many nodes."""


@dataclass(frozen=True)
class Result:
    """Seconds and MiB of one epoch."""

    tasks: int
    nodes: int
    seconds: float
    peak_mib: float
    result: str
    r2: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/epoch.py -o json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw seconds against tasks")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    console = Console(stderr=True, log_path=False)
    results = []
    for tasks, nodes in (*SIZES, *FLEETS):
        results.append(measure(tasks, nodes, arguments.workers, console))
        console.log(str(results[-1]))
    if arguments.plot is not None:
        draw(results, arguments.plot)
    if arguments.output == "json":
        sys.stdout.write(json.dumps([asdict(result) for result in results]) + "\n")
    else:
        for result in results:
            sys.stdout.write(
                f"{result.tasks} tasks on {result.nodes} nodes: {result.seconds:.1f} s, "
                f"peak {result.peak_mib:.0f} MiB, {result.result}, R2 {result.r2:.2f}\n"
            )
    seconds = {(result.tasks, result.nodes): result.seconds for result in results}
    judge(
        [
            Bar("1,000 tasks on 100 nodes, s", seconds[1_000, 100], most=5.0),
            Bar("10,000 tasks on 1,000 nodes, s", seconds[10_000, 1_000], most=60.0),
            Bar("largest process, MiB", max(result.peak_mib for result in results), most=1024.0),
        ]
    )


def measure(tasks: int, count: int, workers: int, console: Console) -> Result:
    """One epoch over a drawn history."""
    speeds = traces.read_speeds((ROOT / "benchmarks/data/gavel-speeds.csv").read_text(encoding="utf-8"))
    nodes = fleet(count)
    drawn = workload.draw(1, tasks, Shape(load=0.9), nodes)
    cluster = world.from_speeds(nodes, speeds, list(REFERENCE_KINDS))
    jobs = trace.jobs(drawn.tasks, Document(), drawn.cpu_used)
    console.log(f"making the history of {tasks} tasks on {count} nodes ...")
    history = records(jobs, Replay(cluster, jobs, ScoreChooser(LEAST_ALLOCATED)).run(), nodes)
    machines = [Machine(node, name) for node, name in zip(nodes, world.classes_of(nodes), strict=True)]
    with ProcessPoolExecutor(workers) as executor:
        begun = time.perf_counter()
        outcome = epoch.run(history, machines, Document(), Rules(), np.random.default_rng(1), executor, 1e12)
        seconds = time.perf_counter() - begun
    kib = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Result(tasks, count, seconds, kib / 1024, outcome.result, outcome.quality.get("R2", float("nan")))


def draw(results: Sequence[Result], file: Path) -> None:
    """Seconds against tasks (a tenth as many nodes), and against nodes (with the same tasks)."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True)
    growing = [result for result in results if (result.tasks, result.nodes) in SIZES]
    left.loglog([result.tasks for result in growing], [result.seconds for result in growing], marker="o")
    for result in growing:
        note = f"{result.nodes} nodes, {result.peak_mib:.0f} MiB"
        left.annotate(note, (result.tasks, result.seconds), (-6, 6), textcoords="offset points", ha="right", fontsize=8)
    left.set_xlabel("finished tasks, a tenth as many nodes")
    left.set_ylabel("seconds of one epoch")
    same = sorted((result for result in results if result.tasks == FLEETS[0][0]), key=lambda result: result.nodes)
    right.loglog([result.nodes for result in same], [result.seconds for result in same], marker="o")
    right.set_xlabel(f"nodes, with {FLEETS[0][0]:,} finished tasks")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def fleet(count: int) -> list[FleetNode]:
    """Copies of the reference cluster."""
    base = traces.read_fleet((ROOT / "config/reference-fleet.csv").read_text(encoding="utf-8"))
    return [replace(base[i % len(base)], node=f"{base[i % len(base)].node}-{i // len(base)}") for i in range(count)]


if __name__ == "__main__":
    main()
