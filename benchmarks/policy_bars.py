"""What must hold of the policies: bars over replays of one setting at one load."""

import math
import statistics
from collections.abc import Iterator
from typing import Final

from bar import Bar
from replays import COLD, ORACLE, TUNED, UNTIMED, WORDLESS, Seen
from scenario import LARGE
from worlds import worlds

from cloudai_rts.replay.chooser import EDF_BEST_NODE, LEAST_ALLOCATED, MOST_ALLOCATED
from cloudai_rts.replay.interval import half_width

BASELINES: Final = (LEAST_ALLOCATED, MOST_ALLOCATED, EDF_BEST_NODE)
JUDGED: Final = frozenset({0.75, 0.90})
"""Loads at which the worlds' shares are judged."""
ALIKE: Final = frozenset({"one model", "exact words, queues"})
"""Worlds whose machines are of one model: there is no speed to know."""
GONE: Final = {"round-robin": 60.0, LEAST_ALLOCATED: 50.0}
"""How much, %, of the misses that could be met is gone where speeds differ."""
ORACLE_FACTOR, ORACLE_POINTS = 1.5, 0.5


def bars(seen: Seen) -> list[Bar]:
    """Those that the replayed policies allow to be judged."""
    checks = _foreign(seen) if seen.shape in worlds() else _of_our_own(seen)
    return [bar for bar in checks if not math.isnan(bar.value)]


def _of_our_own(seen: Seen) -> Iterator[Bar]:
    """Worlds that are made of the model's own equation."""
    if seen.shape == "reference" and seen.load in JUDGED:
        yield _below(seen, "lateness", "round-robin", 72)
        yield _below(seen, "lateness", LEAST_ALLOCATED, 63)
        yield _below(seen, TUNED, "round-robin", 74)
        yield _below(seen, TUNED, LEAST_ALLOCATED, 65)
    for other in (LEAST_ALLOCATED, EDF_BEST_NODE):
        more = 100 * (seen.mean(other) - seen.mean("lateness"))
        yield Bar(f"{_at(seen)}: {other} misses more than lateness, points", more, least=0)
    for hearing in (UNTIMED, "lateness"):  # declarations alone, and with all that users say
        if seen.shape == "declared, k x size":
            yield _below(seen, hearing, WORDLESS, 30)
        if seen.shape == "declared, k x declared":
            yield _below(seen, hearing, WORDLESS, 10)
            yield _below(seen, hearing, WORDLESS, 25, "tardiness")


def _below(seen: Seen, policy: str, other: str, share: float, figure: str = "violations") -> Bar:
    whole = seen.mean(other, figure)
    gone = 100 * (1 - seen.mean(policy, figure) / whole) if whole > 0 else math.nan
    return Bar(f"{_at(seen)}: {figure} of {policy} below those of {other}, %", gone, least=share)


def _foreign(seen: Seen) -> Iterator[Bar]:
    """Never worse than what is simpler, large tasks served, no more GPU time and energy than others need."""
    for other in (other for other in BASELINES if seen.has(other)):
        yield _surely_not_above(seen, "lateness", other, "violations", 100.0, "misses more", "points")
        yield _surely_not_above(seen, "lateness", other, "gpu_hours_per_job", 1.0, "takes more GPU time", "h a task")
        yield _surely_not_above(seen, "lateness", other, "energy_joules", 1e-6, "takes more energy", "MJ")
    for other in (other for other in (LEAST_ALLOCATED, "hinge") if seen.has(other) and seen.has(COLD)):
        yield _surely_not_above(seen, COLD, other, "violations", 100.0, "misses more", "points")
    yield from _large_tasks(seen)
    if seen.load in JUDGED:
        yield from _meetable(seen)
    if seen.has(ORACLE):
        ours, best = 100 * seen.mean("lateness"), 100 * seen.mean(ORACLE)
        most = max(ORACLE_FACTOR * best, best + ORACLE_POINTS)
        yield Bar(f"{_at(seen)}: lateness misses, % (the oracle {best:.1f})", ours, most=most)


def _surely_not_above(seen: Seen, policy: str, other: str, figure: str, scale: float, what: str, unit: str) -> Bar:
    """How much of the difference is surely against `policy`: its 95 % interval is not wholly above 0."""
    gaps = seen.gaps(policy, other, figure, scale)
    surely = statistics.mean(gaps) - (half_width(gaps) or 0.0)
    return Bar(f"{_at(seen)}: {policy} surely {what} than {other}, {unit}", surely, most=0)


def _large_tasks(seen: Seen) -> Iterator[Bar]:
    if LARGE not in seen.of("lateness")[0].gpus:
        return
    others = [other for other in (EDF_BEST_NODE, MOST_ALLOCATED) if seen.has(other)]
    for count in (4, LARGE) if others else ():
        ours, *theirs = (
            statistics.mean(100 * tasks.late for tasks in seen.gpus(policy, count)) for policy in ("lateness", *others)
        )
        what = f"{_at(seen)}: tasks of {count} GPUs miss more than under the best of the others, points"
        yield Bar(what, ours - min(theirs), most=5)


def _meetable(seen: Seen) -> Iterator[Bar]:
    """How many of the misses that somebody could have met are gone."""
    floor = seen.mean("lateness", "floor")
    for other, share in GONE.items() if seen.shape not in ALIKE else ():
        theirs = seen.mean(other) - floor
        gone = 100 * (1 - (seen.mean("lateness") - floor) / theirs) if theirs > 0 else math.nan
        yield Bar(f"{_at(seen)}: of the misses of {other} that could be met are gone, %", gone, least=share)


def _at(seen: Seen) -> str:
    return f"{seen.shape}, {seen.load:.2f}"
