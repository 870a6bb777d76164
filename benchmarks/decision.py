"""What one decision costs by the number of nodes: all nodes scored, from the pod's class to the node.

In one process, without an API server: CPU of reading the pod, judging and scoring all nodes, and counting it where it
goes. Ten pods a node run already, of twenty apps (up to 5,000 nodes; two beyond). Pods of one spec; each with a spec of
its own; each with its own deadline; that must not share a node with their app; that are spread over hosts.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from bar import Bar, judge
from hold import NAME
from prometheus_client import CollectorRegistry
from throughput import make_nodes, make_pods

from cloudai_kube.connection import Connection
from cloudai_kube.events import Recorder
from cloudai_kube.objects import Node, Pod
from cloudai_kube.transport import Transport
from cloudai_rts.placement import Placed
from cloudai_sandbox import fleet
from cloudai_scheduler.binding import Binder
from cloudai_scheduler.conditions import ConditionWriter
from cloudai_scheduler.cycle import decide
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.scheduler import Scheduler

KINDS: Final = {
    "equal": "equal",
    "distinct": "distinct",
    "deadlines": "deadlines",
    "apart": "apart",
    "spread": "spread",
}
SIZES: Final = (500, 1_000, 2_000, 5_000, 10_000, 15_000)
BARS: Final = {(5_000, "equal"): 0.25, (5_000, "distinct"): 0.33, (5_000, "deadlines"): 0.33,
               (5_000, "apart"): 0.5, (5_000, "spread"): 0.5, (15_000, "equal"): 0.8}  # fmt: skip
"""Milliseconds."""
WARM, COUNTED, BATCH = 60, 300, 20
"""Pods; reading the clock of a thread costs as much as half a decision, so that whole batches are timed."""
DENSE_NODES: Final = 5_000


def main() -> None:
    """Measure and print; draw if wanted."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/decision.py --plot docs/decision.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", default=",".join(map(str, SIZES)), help="numbers of nodes")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the costs")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    table: dict[str, dict[int, float]] = {kind: {} for kind in KINDS}
    for nodes in map(int, arguments.nodes.split(",")):
        for kind, cost in costs(nodes):
            table[kind][nodes] = cost
            sys.stderr.write(f"{nodes} nodes, {kind}: {cost:.3f} ms\n")
    if arguments.plot:
        draw(table, arguments.plot)
    sys.stdout.write(json.dumps(table) + "\n" if arguments.output == "json" else text(table))
    measured = {(nodes, kind): cost for kind, row in table.items() for nodes, cost in row.items()}
    judge(
        [
            Bar(f"ms a decision, {nodes} nodes, {kind}", measured[nodes, kind], most=most)
            for (nodes, kind), most in BARS.items()
            if (nodes, kind) in measured
        ]
    )


def costs(nodes: int) -> Iterator[tuple[str, float]]:
    """Median CPU of a decision in milliseconds, kind by kind, on the same nodes."""
    scheduler = _scheduler(nodes)
    for kind in KINDS:
        pods = [_pod(number, raw, kind) for number, raw in enumerate(make_pods(WARM + COUNTED, kind, NAME))]
        _decide(scheduler, pods[:WARM])
        spent = [_decide(scheduler, pods[begin : begin + BATCH]) for begin in range(WARM, len(pods), BATCH)]
        yield kind, 1e3 * statistics.median(spent) / BATCH
        for pod in pods:
            scheduler.state.remove_pod(pod.metadata.uid)


def _decide(scheduler: Scheduler, pods: Sequence[Pod]) -> float:
    """CPU seconds of deciding on these pods; each is counted where it goes."""
    begun = time.thread_time()
    for pod in pods:
        pod_class = scheduler.intake.classes.of(pod)
        pod_class.refresh(scheduler.state)
        entry = scheduler.intake.entry(pod, pod_class)
        outcome = decide(scheduler.surroundings(), entry, time.time())
        if not isinstance(outcome, Placed):
            raise RuntimeError(f"{pod.metadata.name} is not placed: {outcome}")
        node = scheduler.state.by_slot[outcome.slot].name
        scheduler.state.assume(scheduler.intake.as_placed(pod, pod_class, node))
    return time.thread_time() - begun


def _scheduler(nodes: int) -> Scheduler:
    """One that talks to nobody, with nodes and what runs there."""
    transport = Transport(Connection("http://127.0.0.1:9", None), "decision")
    recorder, metrics = Recorder(transport, NAME), SchedulerMetrics(CollectorRegistry())
    scheduler = Scheduler(NAME, Binder(transport, NAME), recorder, ConditionWriter(transport), metrics)
    names = []
    for machine in make_nodes(nodes, "mixed"):
        names.append(machine.node)
        scheduler.intake.apply_node("ADDED", msgspec.convert(fleet.node_object(machine), Node))
    each = 10 if nodes <= DENSE_NODES else 2
    for number, raw in enumerate(make_pods(each * nodes, "distinct", NAME)):
        raw["spec"]["nodeName"] = names[number % nodes]
        scheduler.state.put_pod(_pod(number, raw, "running"))
    return scheduler


def _pod(number: int, raw: dict[str, Any], kind: str) -> Pod:
    """The pod as the API server would show it; apps that run are others than those that come."""
    label = raw["metadata"]["labels"]["app"]
    meta = {**raw["metadata"], "uid": f"{kind}-{number}", "namespace": "default", "labels": {"app": f"{label}-{kind}"}}
    text = json.dumps({**raw, "metadata": meta}).replace(f'"app": "{label}"', f'"app": "{label}-{kind}"')
    return msgspec.json.decode(text, type=Pod)


def text(table: dict[str, dict[int, float]]) -> str:
    """A table: kinds by numbers of nodes."""
    sizes = sorted({nodes for row in table.values() for nodes in row})
    lines = [f"{'ms a decision':>14}" + "".join(f"{nodes:>9}" for nodes in sizes)]
    lines += [f"{kind:>14}" + "".join(f"{row[nodes]:9.3f}" for nodes in sizes) for kind, row in table.items()]
    return "\n".join(lines) + "\n"


def draw(table: dict[str, dict[int, float]], file: Path) -> None:
    """Costs over nodes, both from zero."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for kind, row in table.items():
        axes.plot(_kilo(list(row)), list(row.values()), marker="o", label=kind)
    axes.set(xlabel="nodes, thousands", ylabel="CPU of a decision, ms", xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(file, dpi=110)


def _kilo(numbers: Sequence[int]) -> list[float]:
    return [number / 1000 for number in numbers]


if __name__ == "__main__":
    main()
