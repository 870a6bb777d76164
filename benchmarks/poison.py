"""What a misleading tenant can do to the others: a share of the records is its own, and they lie.

Each seed learns from honest history, then two epochs read what came after it: one with nothing but honest records of
four tenants, one with those of the attacker too. The same tasks of others are then placed under both documents. With
`--unlimited` the lies stand in the names of all tenants: what a tenant's limits are worth is the difference.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np
from bar import Bar, judge
from scenario import Scene, scene

from cloudai_kube.node_use import NodeUse
from cloudai_optimizer.fit import learn
from cloudai_rts.history import Record
from cloudai_rts.machine import Machine
from cloudai_rts.parameters import Document
from cloudai_rts.replay import trace
from cloudai_rts.replay.chooser import RtsChooser
from cloudai_rts.replay.engine import Replay
from cloudai_rts.replay.records import records
from cloudai_rts.replay.summary import violated

LOAD: Final = 0.75
TENANTS: Final = 4
MOST_LOST: Final = 1.5
"""Points of missed deadlines that the others may lose to the attacker in one epoch."""
SHARE: Final = 0.2
SLOWEST: Final = "slowest"
FASTEST: Final = "fastest"
EVERYWHERE: Final = "everywhere"


@dataclass(frozen=True)
class Attack:
    """On which machines the attacker runs, and what its records say then; some of its runs are as they should be.

    The first, all of whose are, shows what as many records more change by themselves.
    """

    where: str
    says: Callable[[Record], dict[str, Any]]
    honest_share: float = 0.0


ATTACKS: Final = {
    "tells the truth": Attack(EVERYWHERE, lambda _record: {}, 1.0),
    "1 s on slow machines": Attack(SLOWEST, lambda record: {"finish": record.start + 1.0}),
    "1 s on slow, true else": Attack(SLOWEST, lambda record: {"finish": record.start + 1.0}, 0.5),
    "a third on slow, true else": Attack(SLOWEST, lambda record: {"finish": record.start + record.runtime / 3}, 0.5),
    "1 s everywhere": Attack(EVERYWHERE, lambda record: {"finish": record.start + 1.0}),
    "a day on fast machines": Attack(FASTEST, lambda record: {"finish": record.start + 86_400.0}),
    "1 s under load": Attack(EVERYWHERE, lambda record: {"finish": record.start + 1.0, "load": 8.0}),
    "a day without load": Attack(EVERYWHERE, lambda record: {"finish": record.start + 86_400.0, "load": 0.0}),
    "1 s allowed": Attack(EVERYWHERE, lambda _record: {"allowed": 1.0}),
    "allows what it takes": Attack(EVERYWHERE, lambda record: {"allowed": 2 * record.runtime}),
    "allows the contrary": Attack(EVERYWHERE, lambda record: {"allowed": 4e5 / record.runtime}),
}


@dataclass(frozen=True)
class Result:
    """What the others see: deadlines missed (share) and mean wait (s), after honest and after poisoned epochs."""

    missed: float
    missed_after: float
    wait: float
    wait_after: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/poison.py --seeds 4",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--share", type=float, default=SHARE, help="of the records that are the attacker's")
    parser.add_argument("--releases", type=int, default=1, help="epochs that read the attacker's records, in a row")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--unlimited", action="store_true", help="lies in everybody's names: no tenant's limit holds them"
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    by_attack: dict[str, dict[str, float]] = {}
    with ProcessPoolExecutor(arguments.workers) as executor:
        for name in ATTACKS:
            sys.stderr.write(f"{name} ...\n")
            by_attack[name] = means(
                list(
                    executor.map(
                        partial(attacked, name, arguments.share, arguments.releases, arguments.unlimited),
                        range(arguments.seeds),
                    )
                )
            )
    if arguments.output == "json":
        sys.stdout.write(json.dumps(by_attack) + "\n")
    else:
        for name, figures in by_attack.items():
            sys.stdout.write(
                f"{name:>28}: missed {figures['missed']:.1%} -> {figures['missed_after']:.1%}, "
                f"mean wait {figures['wait']:.0f} -> {figures['wait_after']:.0f} s\n"
            )
    if arguments.unlimited:
        return  # what the limits are worth: nothing holds these lies
    judge(
        [
            Bar(
                f"{name}: missed more by the others, points",
                100 * (figures["missed_after"] - figures["missed"]),
                most=MOST_LOST,
            )
            for name, figures in by_attack.items()
        ]
    )


def means(results: Sequence[Result]) -> dict[str, float]:
    """Over the seeds."""
    names = ("missed", "missed_after", "wait", "wait_after")
    return {name: statistics.mean(getattr(result, name) for result in results) for name in names}


def attacked(name: str, share: float, releases: int, is_unlimited: bool, seed: int) -> Result:
    """One seed of one attack."""
    at = scene("reference", seed)
    incumbent = at.experience()
    honest = by_tenants(later(at, incumbent))
    lies = hostile(at, honest, ATTACKS[name], share)
    if is_unlimited:
        lies = by_tenants(lies)
    clean, poisoned = (after(at, incumbent, history, releases) for history in (honest, [*honest, *lies]))
    (missed, wait), (missed_after, wait_after) = others(at, clean), others(at, poisoned)
    return Result(missed, missed_after, wait, wait_after)


def later(at: Scene, document: Document) -> list[Record]:
    """What came after the document was in force."""
    drawn = at.test(LOAD)
    jobs = trace.jobs(drawn.tasks, document, drawn.cpu_used, drawn.called)
    return records(jobs, Replay(at.world(), jobs, RtsChooser(document)).run(), at.nodes, drawn.tasks)


def by_tenants(history: Sequence[Record]) -> list[Record]:
    """The same runs, spread over the honest tenants."""
    return [
        msgspec.structs.replace(record, namespace=f"tenant-{index % TENANTS}") for index, record in enumerate(history)
    ]


def hostile(at: Scene, honest: Sequence[Record], attack: Attack, share: float) -> list[Record]:
    """So many runs of the attacker that they are its share of all."""
    count = round(share / (1 - share) * len(honest))
    machines = targets(at, attack.where)
    rng = np.random.default_rng(at.seed)
    runs = []
    for index in range(count):
        record = honest[index * len(honest) // count]
        record = msgspec.structs.replace(
            record, pod_uid=f"hostile-{index}", task_uid=f"hostile-{index}", namespace="attacker"
        )
        suited = [machine for machine in machines if machine.node.gpu >= record.gpu] or machines
        machine = suited[int(rng.integers(len(suited)))]
        if rng.random() >= attack.honest_share:
            record = msgspec.structs.replace(record, node=machine.node.node, node_class=machine.node_class)
            record = msgspec.structs.replace(record, **attack.says(record))
        runs.append(record)
    return runs


def targets(at: Scene, where: str) -> list[Machine]:
    """All machines, or those with the GPU that is slowest or fastest on average over the types."""
    machines = at.machines()
    if where == EVERYWHERE:
        return machines
    factors: dict[str, list[float]] = {}
    for (_, product), factor in at.speeds.items():
        if product in {machine.node.gpu_product for machine in machines} - {""}:
            factors.setdefault(product, []).append(factor)
    extreme = (max if where == SLOWEST else min)(factors, key=lambda product: statistics.mean(factors[product]))
    return [machine for machine in machines if machine.node.gpu_product == extreme]


def after(at: Scene, incumbent: Document, history: Sequence[Record], releases: int) -> Document:
    """The document after so many epochs."""
    document = incumbent
    for _ in range(releases):
        document = learn.from_records(history, document, at.cores(), NodeUse()).document
        document = msgspec.structs.replace(document, Window=incumbent.Window)
    return document


def others(at: Scene, document: Document) -> tuple[float, float]:
    """Deadlines that the others miss, users of whom nothing is known, and their mean wait in seconds."""
    drawn = at.test(LOAD)
    tasks = [replace(task, user="") for task in drawn.tasks]
    jobs = trace.jobs(tasks, document, drawn.cpu_used, drawn.called)
    course = Replay(at.world(), jobs, RtsChooser(document)).run()
    arrival = np.array([job.known.arrival for job in jobs])
    return float(violated(jobs, course).mean()), float((course.start - arrival).mean())


if __name__ == "__main__":
    main()
