"""How many deadlines each policy misses: the same arrivals on the same machines, decided by the production code.

Each seed draws a history (1,500 tasks), from which the run-time model is fitted, and a test workload (1,500 tasks) on
the reference cluster, on which one machine of each kind is slow without anybody being told. Shown are the means over
the seeds, and for each policy the paired difference to `lateness` with its 95 % half-width.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cloudai_optimizer import learn
from cloudai_rts import traces
from cloudai_rts.arrays import FloatArray
from cloudai_rts.parameters import Document, RuntimeModel
from cloudai_rts.placement import ROUND_ROBIN
from cloudai_rts.replay import trace, workload, world
from cloudai_rts.replay.chooser import (
    EDF_BEST_NODE,
    LEAST_ALLOCATED,
    MOST_ALLOCATED,
    Chooser,
    RtsChooser,
    ScoreChooser,
)
from cloudai_rts.replay.engine import Replay
from cloudai_rts.replay.records import records
from cloudai_rts.replay.summary import Summary, summarise, violated
from cloudai_rts.replay.workload import Drawn, Shape
from cloudai_rts.traces import FleetNode, Speeds

ROOT: Final = Path(__file__).parents[1]
TASKS: Final = 1500
SLOW: Final = 1.5
Z80: Final = 1.2816
TAU: Final = {name: kind.runtime for name, kind in workload.REFERENCE_KINDS.items()}
POLICIES: Final = (
    "round-robin",
    LEAST_ALLOCATED,
    MOST_ALLOCATED,
    "hinge",
    "hinge + affinity",
    EDF_BEST_NODE,
    "lateness",
    "without harm",
    "without waiting",
    "without learning",
    "oracle",
)
SHAPES: Final = {
    "reference": Shape(),
    "size sd .9": Shape(size_log_sd=0.9, deadline_on="size"),
    "size sd 1.9": Shape(size_log_sd=1.9, deadline_on="size"),
    "declared 70 %": Shape(size_log_sd=0.9, deadline_on="declared", declared_share=0.7),
    "20 % mislabelled": Shape(mislabelled=0.2),
    "day cycle": Shape(day_amplitude=0.8),
}


@dataclass(frozen=True)
class Case:
    """One replay."""

    shape: str
    load: float
    seed: int
    policy: str


def main() -> None:
    """Run all cases and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/policy.py --seeds 8 --loads .75,.90 --shapes reference -o json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--loads", default=".60,.75,.90,1.05")
    parser.add_argument("--shapes", default="reference", help=f"of {', '.join(SHAPES)}; or all")
    parser.add_argument("--calibration", action="store_true", help="predicted against observed lateness, by decile")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    if arguments.calibration:
        with ProcessPoolExecutor(arguments.workers) as executor:
            for load in (0.75, 0.90):
                runs = executor.map(placed, [(load, seed) for seed in range(arguments.seeds)])
                sys.stdout.write(calibration(load, list(runs)))
        return
    shapes = list(SHAPES) if arguments.shapes == "all" else arguments.shapes.split(",")
    loads = [float(text) for text in arguments.loads.split(",")]
    cases = [
        Case(shape, load, seed, policy)
        for shape in shapes
        for load in loads
        for policy in POLICIES
        for seed in range(arguments.seeds)
    ]
    with ProcessPoolExecutor(arguments.workers) as executor:
        found = executor.map(run, cases, chunksize=4)
        shown = track(found, "replaying", total=len(cases), console=Console(stderr=True))
        results = dict(zip(cases, shown, strict=True))
    if arguments.output == "json":
        rows = [{**asdict(case), **asdict(summary)} for case, summary in results.items()]
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    console = Console(width=140)
    for shape in shapes:
        console.print(table(shape, loads, arguments.seeds, results))


def run(case: Case) -> Summary:
    """Replay one case."""
    shape = replace(SHAPES[case.shape], load=case.load)
    speeds = traces.read_speeds((ROOT / "benchmarks/data/gavel-speeds.csv").read_text(encoding="utf-8"))
    nodes = fleet(case.seed)
    drawn = workload.draw(5000 + case.seed, TASKS, shape, nodes)
    document = Document(Tau=TAU)
    if case.policy not in {"round-robin", LEAST_ALLOCATED, MOST_ALLOCATED, "hinge", "without learning"}:
        document = experience(case.seed, nodes, speeds, replace(shape, load=0.75))
    if case.policy == "oracle":
        return _oracle(nodes, speeds, drawn)
    if case.policy.startswith("hinge"):
        document = msgspec.structs.replace(document, model="hinge", Tau=TAU)
    if case.policy == "without harm":
        document = msgspec.structs.replace(document, Lateness=msgspec.structs.replace(document.Lateness, Psi=0.0))
    if case.policy == "without waiting":
        document = msgspec.structs.replace(document, Lateness=msgspec.structs.replace(document.Lateness, Delta=1.0))
    chooser: Chooser = RtsChooser(document)
    if case.policy == "round-robin":
        chooser = RtsChooser(document, ROUND_ROBIN)
    elif case.policy in {LEAST_ALLOCATED, MOST_ALLOCATED, EDF_BEST_NODE}:
        chooser = ScoreChooser(case.policy, document)
    there = world.from_speeds(nodes, speeds, list(TAU))
    jobs = trace.jobs(drawn.tasks, document, drawn.cpu_used, drawn.called)
    return summarise(there, jobs, Replay(there, jobs, chooser).run())


def placed(case: tuple[float, int]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """P(late) of each task when it was placed, whether it was late, and its error in predicted sds."""
    load, seed = case
    speeds = traces.read_speeds((ROOT / "benchmarks/data/gavel-speeds.csv").read_text(encoding="utf-8"))
    nodes = fleet(seed)
    document = experience(seed, nodes, speeds, Shape(load=0.75))
    drawn = workload.draw(5000 + seed, TASKS, Shape(load=load), nodes)
    there = world.from_speeds(nodes, speeds, list(TAU))
    jobs = trace.jobs(drawn.tasks, document, drawn.cpu_used, drawn.called)
    course = Replay(there, jobs, RtsChooser(document)).run()
    spread = np.array([job.known.log_sd for job in jobs])
    error = np.log((course.finish - course.start) / (course.predicted - course.start)) / spread
    return course.late_probability, violated(jobs, course), error


def calibration(load: float, runs: Sequence[tuple[FloatArray, FloatArray, FloatArray]]) -> str:
    """Deciles with at least 100 tasks, and the coverage of the 80 % interval of the predicted completion."""
    predicted, late, error = (np.concatenate([run[part] for run in runs]) for part in range(3))
    inside = float((np.abs(error) < Z80).mean())
    lines = [f"load {load:.2f}: {inside:.1%} of the completions lie in the 80 % interval"]
    for decile in range(10):
        members = (predicted >= decile / 10) & (predicted < (decile + 1) / 10 + (decile == 9))
        if members.sum() >= 100:
            lines.append(
                f"  P(late) {decile / 10:.1f}..: {int(members.sum())} tasks, predicted "
                f"{float(predicted[members].mean()):.1%}, observed {float(late[members].mean()):.1%}"
            )
    return "\n".join(lines) + "\n"


def fleet(seed: int) -> list[FleetNode]:
    """The reference cluster with one slow machine of each kind."""
    nodes = traces.read_fleet((ROOT / "config/reference-fleet.csv").read_text(encoding="utf-8"))
    rng = np.random.default_rng(9000 + seed)
    kinds: dict[str, list[int]] = {}
    for index, node in enumerate(nodes):
        kinds.setdefault(node.gpu_product, []).append(index)
    slow = {int(rng.choice(members)) for members in kinds.values()}
    return [replace(node, speed=SLOW if index in slow else 1.0) for index, node in enumerate(nodes)]


def experience(seed: int, nodes: Sequence[FleetNode], speeds: Speeds, shape: Shape) -> Document:
    """What is learned from a history of other tasks on the same machines, placed by least-allocated."""
    drawn = workload.draw(1000 + seed, TASKS, shape, nodes)
    before = Document(Tau=TAU)
    there = world.from_speeds(nodes, speeds, list(TAU))
    jobs = trace.jobs(drawn.tasks, before, drawn.cpu_used, drawn.called)
    course = Replay(there, jobs, ScoreChooser(LEAST_ALLOCATED)).run()
    cores = {node.node: node.cpu for node in nodes}
    return learn.from_records(records(jobs, course, nodes, drawn.tasks), Document(), cores, {}).document


def _oracle(nodes: Sequence[FleetNode], speeds: Speeds, drawn: Drawn) -> Summary:
    """Everything known: each task's true work, each machine's true speed, the true slow-down."""
    products = sorted({node.gpu_product for node in nodes if node.gpu_product})
    model = runtime_truth(nodes, speeds, products)
    document = Document(Tau=TAU, Runtime=model)
    there = world.from_speeds(nodes, speeds, list(TAU))
    jobs = [
        replace(job, known=replace(job.known, type=job.true_type, reference_runtime=job.work, log_sd=0.1))
        for job in trace.jobs(drawn.tasks, document, drawn.cpu_used, drawn.called)
    ]
    return summarise(there, jobs, Replay(there, jobs, RtsChooser(document)).run())


def runtime_truth(nodes: Sequence[FleetNode], speeds: Speeds, products: Sequence[str]) -> RuntimeModel:
    """The run-time model that is true."""
    u = {name: {one: math.log(speeds.get((name, one), 1.0)) for one in products} for name in TAU}
    return RuntimeModel(Kappa=0.3, Mu=2.0, U=u, V={node.node: math.log(node.speed) for node in nodes})


def table(shape: str, loads: Sequence[float], seeds: int, results: dict[Case, Summary]) -> Table:
    """Violations by policy and load."""
    found = Table(title=f"{shape}: deadlines missed, % (paired difference to lateness +- 95 %)")
    for name in ("policy", *(f"load {load:.2f}" for load in loads), "p95 slowdown", "GPU-h a task"):
        found.add_column(name, justify="left" if name == "policy" else "right")
    for policy in POLICIES:
        cells = []
        for load in loads:
            own = [100 * results[Case(shape, load, seed, policy)].violations for seed in range(seeds)]
            base = [100 * results[Case(shape, load, seed, "lateness")].violations for seed in range(seeds)]
            gap = [one - other for one, other in zip(own, base, strict=True)]
            width = 1.96 * statistics.stdev(gap) / math.sqrt(seeds) if seeds > 1 else math.nan
            note = "" if policy == "lateness" else f" ({statistics.mean(gap):+.1f} +-{width:.1f})"
            cells.append(f"{statistics.mean(own):.1f}{note}")
        last = [results[Case(shape, loads[-1], seed, policy)] for seed in range(seeds)]
        found.add_row(
            policy,
            *cells,
            f"{statistics.mean(one.p95_slowdown for one in last):.1f}",
            f"{statistics.mean(one.gpu_hours_per_job for one in last):.3f}",
        )
    floors = [
        statistics.mean(results[Case(shape, load, seed, "lateness")].floor for seed in range(seeds)) for load in loads
    ]
    found.add_section()
    found.add_row("floor: not to be met by any", *(f"{100 * one:.1f}" for one in floors), "", "")
    return found


if __name__ == "__main__":
    main()
