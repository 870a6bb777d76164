"""EDD 5.3: how well a type does on a node. EDD 5.4: how troublesome a node is. With the rulings of the model page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np

from cloudai_kube.node_use import NodeUse
from cloudai_rts.hinge import MAX_AFFINITY
from cloudai_rts.history import RUNNING, SUCCEEDED, Record
from cloudai_rts.parameters import AffinityTerms, Document, PenaltyTerms
from cloudai_rts.replay.energy import EnergyRates

EPSILON: Final = 1e-9
MAX_PENALTY: Final = 10.0
MAX_SPEED: Final = 10.0
PROXY_SECONDS: Final = 86_400.0


@dataclass(slots=True)
class Tally:
    """What happened in one cell or on one node. Times in seconds."""

    tasks: int = 0
    judged: int = 0
    violations: int = 0
    seconds: float = 0.0
    overload_seconds: float = 0.0
    ended: int = 0
    runtime_sum: float = 0.0

    def add(self, record: Record) -> None:
        """Count one run."""
        self.tasks += 1
        self.seconds += record.runtime
        self.overload_seconds += record.runtime if record.load > 1.0 else 0.0
        if record.outcome == SUCCEEDED:
            self.ended += 1
            self.runtime_sum += record.runtime
        if record.violated is not None:
            self.judged += 1
            self.violations += record.violated

    def sla_ok(self) -> float:
        """1 - violations / tasks."""
        return 1.0 - self.violations / (self.judged + EPSILON)

    def overload_rate(self) -> float:
        """Time with L > 1 over all time."""
        return self.overload_seconds / (self.seconds + EPSILON)


@dataclass(slots=True)
class Tallies:
    """Cells (type, node), types and nodes."""

    cells: dict[tuple[str, str], Tally] = field(default_factory=dict)
    types: dict[str, Tally] = field(default_factory=dict)
    nodes: dict[str, Tally] = field(default_factory=dict)


def tally(records: Sequence[Record]) -> Tallies:
    """Count everything once."""
    tallies = Tallies()
    for record in records:
        if record.outcome == RUNNING:
            continue
        tallies.cells.setdefault((record.type, record.node), Tally()).add(record)
        tallies.types.setdefault(record.type, Tally()).add(record)
        tallies.nodes.setdefault(record.node, Tally()).add(record)
    return tallies


def affinity(tallies: Tallies, weights: AffinityTerms) -> dict[str, dict[str, float]]:
    """Affinity(c, j) = clip(a1 speed + a2 SLAok - a3 OverloadRate, -5, 5) of every cell with samples.

    speed = mean run time of the type / mean run time of the type on the node.
    """
    matrix: dict[str, dict[str, float]] = {}
    for (task_type, node), cell in sorted(tallies.cells.items()):
        whole = tallies.types[task_type]
        if not cell.ended or not whole.ended:
            continue
        speed = min(MAX_SPEED, (whole.runtime_sum / whole.ended) / max(cell.runtime_sum / cell.ended, EPSILON))
        raw = weights.A1 * speed + weights.A2 * cell.sla_ok() - weights.A3 * cell.overload_rate()
        matrix.setdefault(task_type, {})[node] = round(max(-MAX_AFFINITY, min(MAX_AFFINITY, raw)), 3)
    return matrix


def penalty(tallies: Tallies, weights: PenaltyTerms, use: NodeUse) -> dict[str, float]:
    """Penalty(j) = g1 SLAFailRate + g2 OverloadRate + g3 EnergyNorm (- g4 Availability), by node.

    EnergyNorm is E_j over the median node's (1 where nothing is known); where nobody measured overload it is that of
    the recorded runs.
    """
    energy = energy_norm(tallies, use.watts)
    vector = {}
    for node, counts in sorted(tallies.nodes.items()):
        fail = counts.violations / (counts.judged + EPSILON)
        overload = use.overload.get(node, counts.overload_rate())
        raw = weights.G1 * fail + weights.G2 * overload + weights.G3 * energy.get(node, 1.0)
        raw -= weights.G4 * use.available.get(node, 1.0)
        lowest = -MAX_PENALTY if weights.G4 > 0 else 0.0
        vector[node] = round(max(lowest, min(MAX_PENALTY, raw)), 3)
    return vector


def scored(document: Document, tallies: Tallies, use: NodeUse) -> Document:
    """The document with AffinityMatrix and PenaltyVector under its own weights."""
    return msgspec.structs.replace(
        document,
        AffinityMatrix=affinity(tallies, document.AffinityW),
        PenaltyVector=penalty(tallies, document.PenaltyW, use),
    )


def with_proxy(use: NodeUse, records: Sequence[Record], rates: EnergyRates) -> NodeUse:
    """What was measured, and where no watts were EDD's proxy: E_j = a CPU + b memory + c GPU over the last day."""
    ran = [record for record in records if record.runtime > 0]
    if not ran:
        return use
    amounts = np.array(
        [[_used(record.used_cpu, record.cpu), record.memory, _used(record.used_gpu, record.gpu)] for record in ran]
    )
    end = max(record.finish for record in ran)
    begin = max(end - PROXY_SECONDS, min(record.start for record in ran))
    seconds = np.array([max(0.0, record.finish - max(record.start, begin)) for record in ran])
    joules = rates.watts(*amounts.T) * seconds
    watts: dict[str, float] = {}
    for record, own in zip(ran, joules.tolist(), strict=True):
        watts[record.node] = watts.get(record.node, 0.0) + own / (end - begin)
    return replace(use, watts={**watts, **use.watts})


def _used(measured: float | None, requested: float) -> float:
    return requested if measured is None else measured


def energy_norm(tallies: Tallies, watts: Mapping[str, float]) -> dict[str, float]:
    """E_j over the median node's E, of the nodes that were measured; nothing where the median is 0 (0/0).

    Over one window energy goes as mean power. A node without watts is unknown, never free of charge.
    """
    known = sorted(watts[node] for node in tallies.nodes if node in watts)
    if not known or known[len(known) // 2] <= 0:
        return {}
    reference = known[len(known) // 2]
    return {node: watts[node] / reference for node in tallies.nodes if node in watts}
