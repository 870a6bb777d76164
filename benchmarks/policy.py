"""How many deadlines each policy misses: the same arrivals on the same machines, decided by the production code.

Each seed draws a history (1,500 tasks), from which the run-time model is fitted, and a test workload (1,500 tasks) on
the reference cluster, on which one machine of each kind is slow without anybody being told. Shown are the means over
the seeds, and for each policy the paired difference to `lateness` with its 95 % half-width. `tuned` is what an epoch
leaves in force after 3,000 further tasks that `lateness` itself placed: run times fitted again, weights searched and
guarded; without memory the fit knows nothing but those tasks. A fitness from history alone is the same for every
candidate, so such a search ends with any member of its last generation. Users' words are run times that they declare
and the time that they allow. `oracle` knows everything, also afterwards.

Ends with 1 if a bar is missed that the chosen policies, loads and workloads allow to be judged.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Final
from unittest.mock import patch

import msgspec
import numpy as np
import oracle
from ablation import ABLATIONS, DEFAULTS, FIRST_COME, FirstComeChooser
from bar import judge
from policy_bars import bars
from replays import (
    BY_HISTORY,
    COLD,
    FORGETTING,
    ORACLE,
    TUNED,
    UNDECLARED,
    UNFRAGMENTED,
    UNKEPT,
    UNTIMED,
    WORDLESS,
    Case,
    OfGpus,
    Result,
    Seen,
)
from rich.console import Console
from rich.table import Table
from scenario import LARGE, TAU, Scene, scene, settings
from shown import shown
from worlds import worlds

from cloudai_kube.node_use import NodeUse
from cloudai_optimizer import epoch
from cloudai_optimizer.fit import affinity
from cloudai_optimizer.rules import Rules
from cloudai_optimizer.search import genes
from cloudai_optimizer.search.genetic import GENERATIONS, GeneticSearch
from cloudai_rts import lateness, reservation
from cloudai_rts.parameters import HINGE, Document
from cloudai_rts.policy import ROUND_ROBIN
from cloudai_rts.replay import trace
from cloudai_rts.replay.chooser import (
    EDF_BEST_NODE,
    LEAST_ALLOCATED,
    MOST_ALLOCATED,
    Chooser,
    RtsChooser,
    ScoreChooser,
)
from cloudai_rts.replay.engine import Course, Replay
from cloudai_rts.replay.interval import half_width
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.summary import summarise, violated

POLICIES: Final = (
    "round-robin",
    LEAST_ALLOCATED,
    MOST_ALLOCATED,
    "hinge",
    BY_HISTORY,
    "hinge + affinity",
    EDF_BEST_NODE,
    "lateness",
    TUNED,
    FORGETTING,
    *ABLATIONS,
    FIRST_COME,
    "without learning",
    COLD,
    WORDLESS,
    UNDECLARED,
    UNTIMED,
    UNFRAGMENTED,
    UNKEPT,
    *DEFAULTS,
    ORACLE,
)
_DECLARED: Final = {"declared 70 %", "declared, k x size", "declared, k x declared"}
ONLY_IN: Final = {
    WORDLESS: _DECLARED,
    UNDECLARED: _DECLARED,
    UNTIMED: {"size sd .9", "size sd 1.9", "20 % mislabelled", "chronus deadlines", *_DECLARED},
    UNFRAGMENTED: {"reference", "8-GPU jobs", *worlds()},
    UNKEPT: {"reference", "8-GPU jobs", *worlds()},
    **{name: {"reference"} for name in (FORGETTING, BY_HISTORY, FIRST_COME, *DEFAULTS)},
    TUNED: {"reference", *worlds()},
    **{name: {"reference", *worlds()} for name in ABLATIONS},
}
"""Policies that make a difference, or are affordable, in some settings only."""
UNLEARNED: Final = frozenset({"round-robin", LEAST_ALLOCATED, MOST_ALLOCATED, "hinge", "without learning"})
TUNING_TASKS: Final = 3000
MOST_SEEDS: Final = 80


def main() -> None:
    """Run all cases and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/policy.py --seeds 8 --loads .75,.90 --shapes reference -o json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--loads", default=".60,.75,.90,1.05")
    known = [*settings(), *worlds()]
    named = f"of {'; '.join(known)}; all: those of the reference cluster, foreign: the others"
    parser.add_argument("--shapes", default="reference", help=named.replace("%", "%%"))
    parser.add_argument("--policies", default="all", help=f"of {', '.join(POLICIES)}; lateness is always there")
    parser.add_argument("--width", type=float, default=math.inf, help="more seeds until half-widths are at most this")
    parser.add_argument("--by-gpu", action="store_true", help="misses and waits by number of GPUs too")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    groups = {"all": list(settings()), "foreign": list(worlds())}
    shapes = groups.get(arguments.shapes) or [name.strip() for name in arguments.shapes.split(";")]
    policies = POLICIES if arguments.policies == "all" else (*arguments.policies.split(","), "lateness")
    unknown = [name for name in (*policies, *shapes) if name not in {*POLICIES, *known}]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; see --help")
    loads = [float(text) for text in arguments.loads.split(",")]
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    results: dict[Case, Result] = {}
    drawn: dict[str, range] = {}
    with ProcessPoolExecutor(arguments.workers) as executor:
        for shape in shapes:
            chosen = [name for name in POLICIES if name in policies and shape in ONLY_IN.get(name, {shape})]
            drawn[shape] = replay(executor, shape, loads, chosen, seeds, arguments.width, results)
    if arguments.output == "json":
        rows = [
            {**asdict(case), **asdict(result.summary), "gpus": {k: asdict(v) for k, v in result.gpus.items()}}
            for case, result in results.items()
        ]
        sys.stdout.write(json.dumps(rows) + "\n")
    else:
        console = Console(width=150)
        for shape in shapes:
            console.print(table(shape, loads, drawn[shape], results))
            if arguments.by_gpu:
                for load in loads:
                    console.print(gpu_table(shape, load, drawn[shape], results))
    judge([bar for shape in shapes for load in loads for bar in bars(Seen(shape, load, drawn[shape], results))])


def replay(
    executor: Executor,
    shape: str,
    loads: Sequence[float],
    policies: Sequence[str],
    seeds: range,
    width: float,
    results: dict[Case, Result],
) -> range:
    """Replay one setting, with more seeds until every difference is known well enough. Returns the seeds."""
    known = range(seeds.start, seeds.start)
    while len(known) < len(seeds) or (
        len(known) < MOST_SEEDS
        and any(_width(shape, load, policy, known, results) > width for load in loads for policy in policies)
    ):
        fresh = range(known.stop, known.stop + len(seeds))
        cases = [Case(shape, load, seed, policy) for policy in policies for seed in fresh for load in loads]
        runs = executor.map(run, cases, chunksize=len(loads))  # what a policy knows is the same at all loads
        told = shown(runs, f"{shape}, {len(known) + len(seeds)} seeds", len(cases))
        results |= dict(zip(cases, told, strict=True))
        known = range(seeds.start, fresh.stop)
    return known


def _width(shape: str, load: float, policy: str, seeds: range, results: dict[Case, Result]) -> float:
    """Half-width of the paired difference to `lateness`, in points."""
    return half_width(Seen(shape, load, seeds, results).gaps(policy)) or 0.0


def run(case: Case) -> Result:
    """Replay one case."""
    at = scene(case.shape, case.seed)
    drawn = at.test(case.load)
    document = parameters(case.shape, case.seed, case.policy)
    jobs = trace.jobs(drawn.tasks, document, drawn.cpu_used, drawn.called)
    if case.policy in {WORDLESS, UNDECLARED}:
        jobs = trace.jobs([replace(task, expected_runtime_s=None) for task in drawn.tasks], document, drawn.cpu_used)
    weight = 0.0 if case.policy == UNFRAGMENTED else lateness.FRAGMENTATION_WEIGHT
    least = 1 << 30 if case.policy == UNKEPT else reservation.MIN_GPUS
    world = at.world()
    with patch.object(lateness, "FRAGMENTATION_WEIGHT", weight), patch.object(reservation, "MIN_GPUS", least):
        if case.policy == ORACLE:
            jobs = oracle.told(jobs)
            course = oracle.best(world, jobs, document, case.seed)
        else:
            course = Replay(world, jobs, chooser(case.policy, document)).run()
    return Result(summarise(world, jobs, course), _of_gpus(jobs, course))


@lru_cache(maxsize=1)
def parameters(shape: str, seed: int, policy: str) -> Document:
    """What a policy knows."""
    at = scene(shape, seed)
    if policy == COLD:
        document = Document()
    elif policy in UNLEARNED:
        document = Document(Tau=TAU)
    elif policy == ORACLE:
        document = Document(Tau=TAU, Runtime=at.truth())
    elif policy == TUNED:
        document = tuned(at, Rules())
    elif policy == FORGETTING:
        document = tuned(at, Rules(search_tasks=TUNING_TASKS + 1, remembered_runs=0.0))
    else:
        document = at.experience(
            ignoring_declarations=policy in {WORDLESS, UNDECLARED}, ignoring_deadlines=policy in {WORDLESS, UNTIMED}
        )
    if policy.startswith("hinge"):
        document = msgspec.structs.replace(document, model=HINGE, Tau=TAU)
    if policy == BY_HISTORY:
        return drifted(at, document)
    changed = {**ABLATIONS, **DEFAULTS}.get(policy)
    return document if changed is None else changed(document)


def drifted(at: Scene, document: Document) -> Document:
    """Where a genetic search ends whose fitness, read off the history alone (EDD 5.5), is the same for every member."""
    rng = np.random.default_rng(at.seed)
    search = GeneticSearch(rng, [genes.encode(document, document)])
    for _ in range(GENERATIONS):
        search.tell(np.zeros(len(search.ask())))
    last = search.ask()
    member = genes.decode(last[int(rng.integers(len(last)))], document)
    return affinity.scored(member, affinity.tally(at.history()), NodeUse())


def tuned(at: Scene, rules: Rules) -> Document:
    """What an epoch leaves in force that reads what happened under what was learned from the usual history."""
    before = at.experience()
    records = at.history(TUNING_TASKS, RtsChooser(before), 0.9)
    with ThreadPoolExecutor(1) as executor:
        rng = np.random.default_rng(at.seed)
        outcome = epoch.run(records, at.machines(), before, rules, rng, executor, 1e12)
    return before if outcome.document is None else outcome.document


def chooser(policy: str, document: Document) -> Chooser:
    """The decider behind a policy's name."""
    if policy == "round-robin":
        return RtsChooser(document, ROUND_ROBIN)
    if policy in {LEAST_ALLOCATED, MOST_ALLOCATED, EDF_BEST_NODE}:
        return ScoreChooser(policy, document)
    if policy == FIRST_COME:
        return FirstComeChooser(document)
    return RtsChooser(document)


def _of_gpus(jobs: Sequence[Job], course: Course) -> dict[int, OfGpus]:
    gpus = np.array([round(job.known.gpu) for job in jobs])
    late = violated(jobs, course)
    wait = course.start - np.array([job.known.arrival for job in jobs])
    return {
        int(count): OfGpus(
            int((gpus == count).sum()),
            float(np.nanmean(late[gpus == count])),
            float(np.nanmean(wait[gpus == count])),
            float(np.nanmax(wait[gpus == count])),
        )
        for count in np.unique(gpus)
    }


def gpu_table(shape: str, load: float, seeds: range, results: Mapping[Case, Result]) -> Table:
    """Misses and waits by number of GPUs."""
    seen = Seen(shape, load, seeds, results)
    first = results[Case(shape, load, seeds[0], "lateness")]
    shown = Table(title=f"{shape}, load {load:.2f}: missed, % (mean wait / longest wait, s) by GPUs asked for")
    counts = sorted(first.gpus)
    tasks = {count: sum(tasks.tasks for tasks in seen.gpus("lateness", count)) for count in counts}
    for name in ("policy", *(f"{count} GPU ({tasks[count]})" for count in counts)):
        shown.add_column(name, justify="left" if name == "policy" else "right")
    for policy in POLICIES:
        if Case(shape, load, seeds[0], policy) not in results:
            continue
        cells = []
        for count in counts:
            own = seen.gpus(policy, count)
            late = statistics.mean(100 * figures.late for figures in own)
            wait = statistics.mean(figures.wait for figures in own)
            cells.append(f"{late:.1f} ({wait:.0f} / {max(figures.longest for figures in own):.0f})")
        shown.add_row(policy, *cells)
    return shown


def table(shape: str, loads: Sequence[float], seeds: range, results: dict[Case, Result]) -> Table:
    """Violations by policy and load."""
    grid = Table(title=f"{shape}: deadlines missed, % (paired difference to lateness +- 95 %)")
    large = LARGE in results[Case(shape, loads[0], seeds[0], "lateness")].gpus
    extra = [*(["8-GPU tasks late, %"] if large else []), "tardiness, %", "p95 slowdown", "GPU-h a task", "GPU-h idle"]
    for name in ("policy", *(f"load {load:.2f}" for load in loads), *extra):
        grid.add_column(name, justify="left" if name == "policy" else "right")
    for policy in POLICIES:
        if Case(shape, loads[0], seeds[0], policy) not in results:
            continue
        cells = []
        for load in loads:
            own = [100 * results[Case(shape, load, seed, policy)].summary.violations for seed in seeds]
            gap = Seen(shape, load, seeds, results).gaps(policy)
            width = half_width(gap) or math.nan
            note = "" if policy == "lateness" else f" ({statistics.mean(gap):+.1f} +-{width:.1f})"
            cells.append(f"{statistics.mean(own):.1f}{note}")
        last = [results[Case(shape, loads[-1], seed, policy)] for seed in seeds]
        if large:
            cells.append(f"{100 * statistics.mean(result.late(LARGE) for result in last):.1f}")
        grid.add_row(
            policy,
            *cells,
            f"{100 * statistics.mean(result.summary.tardiness for result in last):.2f}",
            f"{statistics.mean(result.summary.p95_slowdown for result in last):.1f}",
            f"{statistics.mean(result.summary.gpu_hours_per_job for result in last):.3f}",
            f"{statistics.mean(result.summary.idle_gpu_hours_while_deferred for result in last):.1f}",
        )
    floors = [
        statistics.mean(results[Case(shape, load, seed, "lateness")].summary.floor for seed in seeds) for load in loads
    ]
    grid.add_section()
    grid.add_row("floor: not to be met by any", *(f"{100 * floor:.1f}" for floor in floors))
    grid.caption = "columns behind the loads: at the last load; GPU-h idle: GPUs free while a task was deferred"
    return grid


if __name__ == "__main__":
    main()
