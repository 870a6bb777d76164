"""How good the predictions are: run times on tasks not seen, P(late), the interval of the completion, and a cold start.

Each seed fits on a history and predicts another workload on the same machines. R2 is that of ln run time, `tau alone`
what the type says by itself (its mean in the history); Spearman is within each type, weighted by its tasks, and beside
it what the true speeds of the machines would give: sizes of tasks that nobody declares cannot be predicted. The cold
start shows deadlines missed by the number of tasks that were learned from.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from typing import Any, Final

import numpy as np
from bar import Bar, judge
from scenario import TAU, Scene, scene, settings
from worlds import worlds

from cloudai_rts import calibration as scatter
from cloudai_rts.arrays import FloatArray
from cloudai_rts.history import Record
from cloudai_rts.parameters import Document, RuntimeModel
from cloudai_rts.policy import ROUND_ROBIN
from cloudai_rts.prediction import load_curve
from cloudai_rts.replay import trace
from cloudai_rts.replay.chooser import LEAST_ALLOCATED, Chooser, RtsChooser, ScoreChooser
from cloudai_rts.replay.engine import Course, Replay
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.summary import violated

LARGE_WORLD: Final = "320 machines"
"""The same tasks and machines as in `whole nodes`, only more."""
Z80: Final = 1.2816
CALIBRATED: Final = (("reference", 0.75), *((name, 0.90) for name in (*settings(), *worlds()) if name != LARGE_WORLD))
"""Setting and load."""
INSIDE: Final = (0.72, 0.88)
"""Share of the completions that an 80 % interval should hold."""
HISTORIES: Final = (0, 10, 50, 100, 200, 400, 800, 1500)
MIN_DECILE: Final = 100
LEARNED_FROM: Final = 3_000
"""Tasks of the history on which held-out run times are predicted: as many as an epoch of the policy benchmark has."""
HELD_OUT: Final = (
    ("reference", LEAST_ALLOCATED),
    ("reference", ROUND_ROBIN),
    ("declared 70 %", LEAST_ALLOCATED),
    ("declared 70 %", ROUND_ROBIN),
)
"""Setting, and who placed history and test: round-robin reaches all machines, least-allocated the large ones."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/prediction.py --seeds 8",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    with ProcessPoolExecutor(arguments.workers) as executor:
        report: dict[str, Any] = {
            "held_out": {f"{name}, {who}": held_out(executor, name, who, seeds) for name, who in HELD_OUT}
        }
        report["calibration"] = {}
        for setting, load in CALIBRATED:
            name = f"{setting}, load {load:.2f}"
            sys.stderr.write(f"calibration, {name} ...\n")
            runs = list(executor.map(partial(placed, setting, load), seeds))
            report["calibration"][name] = calibration(runs)
        report["cold"] = {}
        for setting in ("reference", *worlds()):
            if setting == LARGE_WORLD:
                continue
            sys.stderr.write(f"calibration with nothing learned, {setting} ...\n")
            runs = list(executor.map(partial(placed, setting, 0.90, learns=False), seeds))
            report["cold"][setting] = calibration(runs)
        sys.stderr.write("cold start ...\n")
        report["cold_start"] = cold_start(executor, seeds)
    sys.stdout.write(json.dumps(report) + "\n" if arguments.output == "json" else text(report))
    judge(bars(report))


def bars(report: dict[str, Any]) -> list[Bar]:
    """What must hold where all machines were seen, and that P(late) is true on every workload."""
    known = report["held_out"][f"reference, {ROUND_ROBIN}"]
    result = [
        Bar("R2 of ln run time", known["r2"], least=0.70),
        Bar("gain over the type alone", known["r2"] - known["r2_tau_alone"], least=0.35),
        Bar("Spearman within types", known["spearman"], least=0.6),
    ]
    for name, figures in report["calibration"].items():
        errors = [abs(row["predicted"] - row["observed"]) for row in figures["deciles"]]
        result.append(Bar(f"{name}: largest error of P(late) in a decile", max(errors, default=0.0), most=0.08))
        result.append(Bar(f"{name}: in the 80 % interval", figures["inside_80"], *INSIDE))
    for name, figures in report["cold"].items():
        errors = [abs(row["predicted"] - row["observed"]) for row in figures["deciles"]]
        result.append(Bar(f"{name}, nothing learned: largest error of P(late)", max(errors, default=0.0), most=0.20))
    return result


def held_out(executor: Executor, setting: str, placed_by: str, seeds: Sequence[int]) -> dict[str, float]:
    """Means over the seeds, the lowest R2 and gain too."""
    runs = list(executor.map(partial(quality, setting, placed_by), seeds))
    names = ("r2", "r2_tau_alone", "spearman", "spearman_true_speeds")
    means = {name: statistics.mean(run[name] for run in runs) for name in names}
    gain = min(run["r2"] - run["r2_tau_alone"] for run in runs)
    return {**means, "lowest_r2": min(run["r2"] for run in runs), "lowest_gain": gain}


def chooser(name: str) -> Chooser:
    """The policy that places history and test alike."""
    return RtsChooser(Document(Tau=TAU), ROUND_ROBIN) if name == ROUND_ROBIN else ScoreChooser(name)


def quality(setting: str, placed_by: str, seed: int) -> dict[str, float]:
    """How well ln run time is predicted on a workload that was not learned from. Nothing is fitted to the test."""
    at = scene(setting, seed)
    document = at.experience(LEARNED_FROM, chooser=chooser(placed_by))
    drawn = at.test(0.75)
    jobs = trace.jobs(drawn.tasks, document, drawn.cpu_used, drawn.called)
    course = Replay(at.world(), jobs, chooser(placed_by)).run()
    actual = np.log(course.finish - course.start)
    kinds = np.array([job.known.type for job in jobs])
    # A mean is expected; its logarithm lies half a variance above the mean of the logarithms.
    known = (
        np.log([job.known.reference_runtime for job in jobs]) - 0.5 * np.array([job.known.log_sd for job in jobs]) ** 2
    )
    classes = [machine.node_class for machine in at.machines()]
    predicted = known + _slower(at, document.Runtime, classes, jobs, course)
    true = known + _slower(at, at.truth(), [node.gpu_product for node in at.nodes], jobs, course)
    usual = _usual(at.history(LEARNED_FROM, chooser=chooser(placed_by)))
    return {
        "r2": _r2(actual, predicted),
        "r2_tau_alone": _r2(actual, np.array([usual[name] for name in kinds])),
        "spearman": _spearman(actual, predicted, kinds),
        "spearman_true_speeds": _spearman(actual, true, kinds),
    }


def _slower(
    at: Scene, runtime: RuntimeModel, classes: Sequence[str], jobs: Sequence[Job], course: Course
) -> FloatArray:
    """u + v + ln f(L) of each task where it ran, with the load that it met there and its own."""
    slots = course.node
    load = course.load + np.array([job.known.cpu for job in jobs]) / np.array([at.nodes[slot].cpu for slot in slots])
    node = np.array(
        [
            runtime.U.get(job.known.type, {}).get(classes[slot], 0.0) + runtime.V.get(at.nodes[slot].node, 0.0)
            for job, slot in zip(jobs, slots, strict=True)
        ]
    )
    return node + np.log(load_curve(load, runtime.Kappa, runtime.Mu))


def _usual(history: Sequence[Record]) -> dict[str, float]:
    """What the type says by itself: the mean of ln run time in the history, wherever it ran."""
    by_type: dict[str, list[float]] = {}
    for record in history:
        by_type.setdefault(record.type, []).append(math.log(record.runtime))
    return {name: statistics.mean(values) for name, values in by_type.items()}


def placed(setting: str, load: float, seed: int, learns: bool = True) -> tuple[FloatArray, FloatArray, FloatArray]:
    """P(late) of each task when it was placed, whether it was late, and its error as a normal score."""
    at = scene(setting, seed)
    document = at.experience() if learns else Document()
    drawn = at.test(load)
    jobs = trace.jobs(drawn.tasks, document, drawn.cpu_used, drawn.called)
    course = Replay(at.world(), jobs, RtsChooser(document)).run()
    spread = np.array([job.known.log_sd for job in jobs])
    # Predicted is a mean; the interval lies around the mean of the logarithms.
    error = np.log((course.finish - course.start) / (course.predicted - course.start)) / spread + 0.5 * spread
    shape = document.Runtime.Shape
    scores = [scatter.normal_score(off, sd, shape) for off, sd in zip(error.tolist(), spread.tolist(), strict=True)]
    return course.late_probability, violated(jobs, course), np.array(scores)


def calibration(runs: Sequence[tuple[FloatArray, FloatArray, FloatArray]]) -> dict[str, Any]:
    """Deciles with at least 100 tasks, and the coverage of the 80 % interval of the predicted completion."""
    predicted, late, error = (np.concatenate([run[part] for run in runs]) for part in range(3))
    deciles = []
    for decile in range(10):
        members = (predicted >= decile / 10) & (predicted < (decile + 1) / 10 + (decile == 9))
        if members.sum() >= MIN_DECILE:
            deciles.append(
                {
                    "from": decile / 10,
                    "tasks": int(members.sum()),
                    "predicted": float(predicted[members].mean()),
                    "observed": float(late[members].mean()),
                }
            )
    return {"inside_80": float((np.abs(error) < Z80).mean()), "deciles": deciles}


def cold_start(executor: Executor, seeds: Sequence[int]) -> dict[str, float]:
    """Deadlines missed at load .75 by the number of tasks learned from; and by those who learn nothing."""
    shares = {}
    for count in HISTORIES:
        shares[str(count)] = statistics.mean(executor.map(partial(missed, str(count)), seeds))
    for policy in (LEAST_ALLOCATED, ROUND_ROBIN):
        shares[policy] = statistics.mean(executor.map(partial(missed, policy), seeds))
    return shares


def missed(how: str, seed: int) -> float:
    """Share of deadlines missed after learning from so many tasks, or under another policy."""
    at = scene("reference", seed)
    drawn = at.test(0.75)
    document = at.experience(int(how)) if how.isdigit() and int(how) else Document(Tau=TAU)
    rts = RtsChooser(document) if how.isdigit() else RtsChooser(document, ROUND_ROBIN)
    jobs = trace.jobs(drawn.tasks, document, drawn.cpu_used, drawn.called)
    if how == LEAST_ALLOCATED:
        return float(violated(jobs, Replay(at.world(), jobs, ScoreChooser(LEAST_ALLOCATED)).run()).mean())
    return float(violated(jobs, Replay(at.world(), jobs, rts).run()).mean())


def text(report: dict[str, Any]) -> str:
    """For people."""
    lines = []
    for name, figures in report["held_out"].items():
        lines.append(f"held out, {name}: R2 of ln run time {figures['r2']:.2f} (lowest {figures['lowest_r2']:.2f})")
        lines.append(f"  tau alone {figures['r2_tau_alone']:.2f} (least gain {figures['lowest_gain']:.2f})")
        lines.append(
            f"  Spearman within type {figures['spearman']:.3f} "
            f"(with the true speeds {figures['spearman_true_speeds']:.3f})"
        )
    cold = {f"{name}, nothing learned": known for name, known in report["cold"].items()}
    for name, known in {**report["calibration"], **cold}.items():
        lines.append(f"{name}: {known['inside_80']:.1%} of the completions lie in the 80 % interval")
        lines += [
            f"  P(late) {row['from']:.1f}..: {row['tasks']} tasks, predicted {row['predicted']:.1%}, "
            f"observed {row['observed']:.1%}"
            for row in known["deciles"]
        ]
    lines.append("cold start, deadlines missed at load .75 by tasks learned from:")
    lines += [f"  {name:>16} {share:6.1%} {'#' * round(200 * share)}" for name, share in report["cold_start"].items()]
    return "\n".join(lines) + "\n"


def _r2(actual: FloatArray, predicted: FloatArray) -> float:
    return 1.0 - float(((actual - predicted) ** 2).sum()) / float(((actual - actual.mean()) ** 2).sum())


def _spearman(actual: FloatArray, predicted: FloatArray, kinds: Any) -> float:  # noqa: ANN401  an array of names
    total = 0.0
    for kind in np.unique(kinds):
        own = kinds == kind
        first, second = (np.argsort(np.argsort(values[own])).astype(np.float64) for values in (actual, predicted))
        total += float(np.corrcoef(first, second)[0, 1]) * int(own.sum())
    return total / len(actual)


if __name__ == "__main__":
    main()
