"""How the search converges, and what its options are worth: adaptive mutation, islands, a Pareto front.

On fixed data (1,500 recorded tasks at load .90 a seed), from the defaults and from bad weights. `unseen` are deadlines
missed on 3,000 other tasks in the true world; energy is against what is in force.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from bar import Bar, judge
from guard import BAD, LOAD
from scenario import scene
from shown import shown

from cloudai_kube.node_use import NodeUse
from cloudai_optimizer.fit import learn
from cloudai_optimizer.rules import Rules
from cloudai_optimizer.search import fitness, tuning
from cloudai_optimizer.search.variants import AdaptiveMutation
from cloudai_rts.parameters import Document
from cloudai_rts.replay import trace
from cloudai_rts.replay.chooser import RtsChooser
from cloudai_rts.replay.engine import Replay
from cloudai_rts.replay.summary import summarise

WHOLE: Final = Rules()
VARIANTS: Final = {
    "plain": WHOLE,
    "adaptive mutation": replace(WHOLE, mutation=AdaptiveMutation()),
    "four islands": replace(WHOLE, islands=4),
    "pareto, energy .0": replace(WHOLE, fitness=fitness.PARETO),
    "pareto, energy .5": replace(WHOLE, fitness=fitness.PARETO, energy_weight=0.5),
    "pareto, energy 1.": replace(WHOLE, fitness=fitness.PARETO, energy_weight=1.0),
}
STARTS: Final = ("defaults", "bad weights")
UNSEEN: Final = 3000


@dataclass(frozen=True)
class Course:
    """One search: best fitness by generation, and what its result is worth on unseen tasks."""

    start: str
    variant: str
    seed: int
    best: list[float]
    mean: list[float]
    missed: float
    missed_before: float
    energy: float


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/search.py --seeds 4 --plot build/search.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw best fitness by generation")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    cases = [(start, variant, seed) for start in STARTS for variant in VARIANTS for seed in range(arguments.seeds)]
    with ProcessPoolExecutor(arguments.workers) as executor:
        runs = executor.map(run, cases)
        courses = list(shown(runs, "searching", len(cases)))
    if arguments.plot is not None:
        draw(courses, arguments.plot)
    if arguments.output == "json":
        sys.stdout.write(json.dumps([asdict(course) for course in courses]) + "\n")
    else:
        tell(courses)
    judge(
        [
            Bar(
                "points of deadlines that a plain search gains from bad weights", gain(courses, "bad weights"), least=2
            ),
            Bar("the same from the defaults, which are good already", gain(courses, "defaults"), least=-0.3),
        ]
    )


def gain(courses: Sequence[Course], start: str) -> float:
    """Percentage points of unseen deadlines that are met after a plain search and were missed before."""
    plain = [course for course in courses if (course.start, course.variant) == (start, "plain")]
    return 100 * statistics.mean(course.missed_before - course.missed for course in plain)


def tell(courses: Sequence[Course]) -> None:
    """For people."""
    for start in STARTS:
        sys.stdout.write(f"from {start}:\n")
        for variant in VARIANTS:
            own = [course for course in courses if (course.start, course.variant) == (start, variant)]
            first, last = (statistics.mean(course.best[at] for course in own) for at in (0, -1))
            sys.stdout.write(
                f"  {variant:>18}: best fitness {first:.4f} -> {last:.4f}; unseen "
                f"{100 * statistics.mean(course.missed_before for course in own):.2f} -> "
                f"{100 * statistics.mean(course.missed for course in own):.2f} % missed, energy "
                f"{100 * (statistics.mean(course.energy for course in own) - 1):+.1f} %\n"
            )


def run(case: tuple[str, str, int]) -> Course:
    """One search."""
    start, variant, seed = case
    at = scene("reference", 200 + seed)
    incumbent = at.experience()
    if start != "defaults":
        incumbent = msgspec.structs.replace(incumbent, Lateness=BAD)
    records = at.history(1500, RtsChooser(incumbent), LOAD)
    with ThreadPoolExecutor(1) as executor:
        rng = np.random.default_rng(seed)
        learned = learn.from_records(records, incumbent, at.cores(), NodeUse())
        tuned = tuning.tune(records, at.machines(), learned, None, VARIANTS[variant], rng, executor)
    after = msgspec.structs.replace(incumbent, Lateness=tuned.document.Lateness)
    drawn = at.test(LOAD, UNSEEN)

    def unseen(document: Document) -> tuple[float, float]:
        jobs = trace.jobs(drawn.tasks, document, drawn.cpu_used, drawn.called)
        summary = summarise(at.world(), jobs, Replay(at.world(), jobs, RtsChooser(document)).run())
        return summary.violations, summary.energy_joules

    (before_missed, before_energy), (missed, energy) = unseen(incumbent), unseen(after)
    best = [generation.best for generation in tuned.generations]
    mean = [generation.mean for generation in tuned.generations]
    return Course(start, variant, seed, best, mean, missed, before_missed, energy / before_energy)


def draw(courses: Sequence[Course], file: Path) -> None:
    """Best fitness by generation, one panel a start."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(STARTS), figsize=(11, 4.5))
    for start, axes in zip(STARTS, panels, strict=True):
        for variant in list(VARIANTS)[:3]:
            own = np.array([course.best for course in courses if (course.start, course.variant) == (start, variant)])
            axes.plot(range(1, own.shape[1] + 1), own.mean(axis=0), label=variant)
        axes.set_title(f"from {start}")
        axes.set_xlabel("generation")
        axes.set_ylabel("best fitness, mean over the seeds")
        axes.legend()
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
