"""What the guard lets pass: epochs on small windows from good weights, and from deliberately bad ones.

Each trial draws a history, lets the optimizer search and judge, and replays the weights it would release beside those
in force on 6,000 tasks that nobody has seen, in the true world. From the defaults nothing should pass that is worse by
more than half a point; from bad weights at least half of the epochs should pass and miss fewer deadlines.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

import msgspec
import numpy as np
from bar import Bar, judge
from scenario import Scene, scene
from shown import shown

from cloudai_optimizer import epoch
from cloudai_optimizer.epoch import TUNED
from cloudai_optimizer.fit import learn
from cloudai_optimizer.rules import Rules
from cloudai_rts.parameters import Document, LatenessTerms
from cloudai_rts.replay import trace
from cloudai_rts.replay.chooser import RtsChooser
from cloudai_rts.replay.engine import Replay
from cloudai_rts.replay.summary import violated

BAD: Final = LatenessTerms(Alpha=1.0, Psi=0.05, Beta=10.0, Eta=0.05, Zeta=0.02, Delta=1.0, LoadScale=0.2)
"""Load is nearly all that counts, and nobody ever waits: least-allocated in disguise."""
SMALL: Final = Rules(window_tasks=50, least_window_tasks=50, guard_tasks=50)
LOAD: Final = 0.9
UNSEEN: Final = 6000


@dataclass(frozen=True)
class Trial:
    """One epoch: whether it passed, and the share of deadlines missed on unseen tasks before and after."""

    kind: str
    seed: int
    accepted: bool
    before: float
    after: float
    promised: float


def main() -> None:
    """Run the trials and print what passed."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/guard.py --trials 30 -o json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--bad-trials", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    cases = [("good", seed) for seed in range(arguments.trials)] + [
        ("bad", seed) for seed in range(arguments.bad_trials)
    ]
    with ProcessPoolExecutor(arguments.workers) as executor:
        runs = executor.map(run, cases)
        trials = list(shown(runs, "epochs", len(cases)))
    if arguments.output == "json":
        sys.stdout.write(json.dumps([asdict(trial) for trial in trials]) + "\n")
    else:
        tell(trials)
    judge(bars(trials))


def tell(trials: Sequence[Trial]) -> None:
    """For people."""
    for kind, name in (("good", "from the defaults, windows of 50 tasks"), ("bad", "from bad weights, 800 tasks")):
        own = [trial for trial in trials if trial.kind == kind]
        passed = [trial for trial in own if trial.accepted]
        sys.stdout.write(f"{name}: {len(passed)} of {len(own)} accepted\n")
        if passed:
            gains = [100 * (trial.before - trial.after) for trial in passed]
            sys.stdout.write(
                f"  gain on unseen tasks: mean {statistics.mean(gains):+.2f} points, worst {min(gains):+.2f} "
                f"(missed before {100 * statistics.mean(trial.before for trial in passed):.1f} %)\n"
            )


def bars(trials: Sequence[Trial]) -> list[Bar]:
    """What must hold: nothing worse passes, and from bad weights most epochs pass and help."""
    good = [100 * (trial.before - trial.after) for trial in trials if trial.kind == "good" and trial.accepted]
    bad = [trial for trial in trials if trial.kind == "bad"]
    checks = [Bar("worst gain of what passed from the defaults, points", min(good, default=0.0), least=-0.5)]
    if bad:
        gains = [100 * (trial.before - trial.after) for trial in bad if trial.accepted]
        checks.append(Bar("share of the epochs from bad weights that passed", len(gains) / len(bad), least=0.5))
        checks.append(Bar("their mean gain, points", statistics.mean(gains) if gains else 0.0, least=2.0))
    return checks


def run(case: tuple[str, int]) -> Trial:
    """One epoch and its true worth."""
    kind, seed = case
    at = scene("reference", 100 + seed)
    bad = kind == "bad"
    incumbent = at.experience()
    if bad:
        incumbent = msgspec.structs.replace(incumbent, Lateness=BAD)
    records = at.history(800, RtsChooser(incumbent), LOAD)
    with ThreadPoolExecutor(1) as executor:
        rules = Rules() if bad else SMALL
        outcome = epoch.run(records, at.machines(), incumbent, rules, np.random.default_rng(seed), executor, 1e12)
    accepted = outcome.result == TUNED
    after = incumbent
    if accepted and outcome.document is not None:
        after = learn.keep_weights(incumbent, outcome.document)
    late = partial(missed, at)
    promised = outcome.verdict.gain if outcome.verdict is not None else 0.0
    before = late(incumbent)
    return Trial(kind, seed, accepted, before, late(after) if accepted else before, promised)


def missed(at: Scene, document: Document) -> float:
    """Share of deadlines missed on unseen tasks in the true world."""
    drawn = at.test(LOAD, UNSEEN)
    jobs = trace.jobs(drawn.tasks, document, drawn.cpu_used, drawn.called)
    return float(violated(jobs, Replay(at.world(), jobs, RtsChooser(document)).run()).mean())


if __name__ == "__main__":
    main()
