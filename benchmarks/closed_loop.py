"""The loop closed from a cold start: a scheduler that learns from its own placements gets better, and stays so.

Stage by stage the scheduler places new tasks under what it has learned so far (nothing at first), and an epoch fits on
what finished in the last two stages. Shown is the share of missed deadlines by stage; beside it the same without the
memory for what the window no longer shows: slow machines that are avoided are forgotten there, and tried again.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np
from bar import Bar, judge
from scenario import scene
from shown import shown

from cloudai_optimizer import epoch
from cloudai_optimizer.rules import Rules
from cloudai_rts.history import Record
from cloudai_rts.parameters import Document
from cloudai_rts.replay import trace, workload
from cloudai_rts.replay.chooser import RtsChooser
from cloudai_rts.replay.engine import Replay
from cloudai_rts.replay.records import records
from cloudai_rts.replay.summary import violated

STAGES: Final = 8
TASKS: Final = 400
WINDOW_STAGES: Final = 2
STAGE_SECONDS: Final = 1e6
LOAD: Final = 0.9
FIT_ONLY: Final = Rules(search_tasks=10**9)
MODES: Final = {"with memory": FIT_ONLY, "without": replace(FIT_ONLY, remembered_runs=0.0)}


def main() -> None:
    """Run all seeds and print the course."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/closed_loop.py --seeds 8 -o json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    cases = [(mode, seed) for mode in MODES for seed in range(arguments.seeds)]
    with ProcessPoolExecutor(arguments.workers) as executor:
        runs = executor.map(course, cases)
        courses = list(shown(runs, "closed loops", len(cases)))
    means = {
        mode: [
            statistics.mean(shares[stage] for (name, _), shares in zip(cases, courses, strict=True) if name == mode)
            for stage in range(STAGES)
        ]
        for mode in MODES
    }
    if arguments.output == "json":
        sys.stdout.write(json.dumps(means) + "\n")
    else:
        tell(means)
    with_memory, without = (means[mode][-1] for mode in MODES)
    judge(
        [
            Bar("last stage, % missed", 100 * with_memory, most=7),
            Bar("last stage against the first", with_memory / means["with memory"][0], most=0.6),
            Bar("points that the memory costs at the end", 100 * (with_memory - without), most=0.5),
        ]
    )


def tell(means: Mapping[str, Sequence[float]]) -> None:
    """For people."""
    for mode, shares in means.items():
        sys.stdout.write(f"deadlines missed by stages of {TASKS} tasks, {mode}:\n")
        for stage, share in enumerate(shares):
            sys.stdout.write(f"  {stage + 1}: {share:6.1%} {'#' * round(300 * share)}\n")


def course(case: tuple[str, int]) -> list[float]:
    """Share of missed deadlines by stage."""
    mode, seed = case
    at = scene("reference", 300 + seed)
    document, missed = Document(), []
    window: list[list[Record]] = []
    for stage in range(STAGES):
        drawn = workload.draw(1000 * (seed + 1) + stage, TASKS, replace(at.setting.shape, load=LOAD), at.nodes)
        jobs = trace.jobs(drawn.tasks, document, drawn.cpu_used, drawn.called)
        replayed = Replay(at.world(), jobs, RtsChooser(document)).run()
        missed.append(float(violated(jobs, replayed).mean()))
        window = [*window[1 - WINDOW_STAGES :], _shifted(records(jobs, replayed, at.nodes, drawn.tasks), stage)]
        recent = [record for part in window for record in part]
        rng = np.random.default_rng(seed)
        with ThreadPoolExecutor(1) as executor:
            outcome = epoch.run(recent, at.machines(), document, MODES[mode], rng, executor, 1e12)
        document = document if outcome.document is None else outcome.document
    return missed


def _shifted(history: list[Record], stage: int) -> list[Record]:
    """The records at the time of their stage: every replay has a clock of its own."""
    begin = stage * STAGE_SECONDS
    return [
        msgspec.structs.replace(
            record,
            pod_uid=f"{stage}-{record.pod_uid}",
            arrival=record.arrival + begin,
            start=record.start + begin,
            finish=record.finish + begin,
            deadline=None if record.deadline is None else record.deadline + begin,
        )
        for record in history
    ]


if __name__ == "__main__":
    main()
