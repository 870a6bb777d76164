"""Fitness of candidates: each replayed over the same windows, on as many processors as there are."""

import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final

import msgspec
import numpy as np

from cloudai_optimizer.fit import affinity
from cloudai_optimizer.fit.learn import Learned
from cloudai_optimizer.release import limits
from cloudai_optimizer.search import genes
from cloudai_rts.arrays import FloatArray
from cloudai_rts.fleet import Fleet
from cloudai_rts.machine import Machine
from cloudai_rts.parameters import HINGE, Document
from cloudai_rts.replay import recorded
from cloudai_rts.replay.chooser import RtsChooser
from cloudai_rts.replay.energy import USUAL, EnergyRates
from cloudai_rts.replay.engine import Course, Replay, fleet_of
from cloudai_rts.replay.job import Carried, Job
from cloudai_rts.replay.recorded import Window
from cloudai_rts.replay.summary import USUAL as EDD_USUAL
from cloudai_rts.replay.summary import EddWeights, Summary, floor, summarise, violated
from cloudai_rts.replay.world import World

EDD: Final = "edd"
DEFAULT: Final = "default"
PARETO: Final = "pareto"
"""Two aims at once: the default fitness, and energy."""
CHUNKS: Final = 8
KEPT: Final = 4


@dataclass(frozen=True, slots=True)
class Stage:
    """What candidates are tried on: machines, and windows of recorded work. Truth is the `fitted` document.

    `carried` runs already when a window begins (it is on its fleet), `unmeetable` says which deadlines of it nobody
    could have met. Candidates differ from it in their weights only, so the tasks look the same to all of them.
    `learned` has what the weights of affinity and penalty are applied to, under `hinge`.
    """

    world: World
    fleets: Sequence[Fleet]
    windows: Sequence[Sequence[Job]]
    carried: Sequence[Sequence[Carried]]
    unmeetable: Sequence[FloatArray]
    learned: Learned

    @property
    def fitted(self) -> Document:
        """What was learned, under the weights in force."""
        return self.learned.document

    def candidate(self, member: FloatArray) -> Document:
        """The document that the genes of a member mean."""
        return self.scored(genes.decode(member, self.fitted))

    def summary(self, document: Document, window: int) -> Summary:
        """Figures of one window under a document."""
        return self.summarised(self.course(document, window), window)

    def summarised(self, course: Course, window: int) -> Summary:
        """Figures of a replay of a window, on the machines that were there."""
        jobs, unmeetable = self.windows[window], self.unmeetable[window]
        return summarise(self.world, jobs, course, unmeetable=unmeetable, machines=self.fleets[window])

    def course(self, document: Document, window: int) -> Course:
        """Replay one window under a document."""
        jobs, carried = self.windows[window], self.carried[window]
        return Replay(self.world, jobs, RtsChooser(document), self.fleets[window], carried).run()

    def scored(self, document: Document) -> Document:
        """AffinityMatrix and PenaltyVector under the document's own weights (EDD 5.3, 5.4), which `hinge` reads."""
        return scored(document, self.learned) if document.model == HINGE else document


def scored(document: Document, learned: Learned) -> Document:
    """The scores under a document's weights, within a release's step of those in force."""
    return limits.scores_within(affinity.scored(document, learned.tallies, learned.use), learned.before, 1.0)


def stage(
    machines: Sequence[Machine], windows: Sequence[Window], learned: Learned, energy: EnergyRates = USUAL
) -> Stage:
    """Prepare windows of recorded work for replay."""
    fitted = learned.document
    works = [work for window in windows for work in (*window.works, *window.waiting, *window.running)]
    world = recorded.measured(recorded.world_of(machines, fitted, works), learned.use.gpu_watts, energy)
    absent = [_absent(machines, window) for window in windows]
    jobs = [
        recorded.jobs(window, fitted, [machine for at, machine in enumerate(machines) if at not in gone])
        for window, gone in zip(windows, absent, strict=True)
    ]
    carried = [recorded.carried(window, fitted, machines) for window in windows]
    fleets = [fleet_of(world, ran, gone) for ran, gone in zip(carried, absent, strict=True)]
    unmeetable = [floor(world, queue, fleet) for queue, fleet in zip(jobs, fleets, strict=True)]
    return Stage(world, fleets, jobs, carried, unmeetable, learned)


def _absent(machines: Sequence[Machine], window: Window) -> set[int]:
    """Machines that were not there when a window began. Where a task of it ran there was one, whatever is said."""
    used = {work.record.node for work in (*window.works, *window.waiting, *window.running)}
    return {
        at
        for at, machine in enumerate(machines)
        if machine.node.node not in used and not machine.was_there(window.begin)
    }


@dataclass(frozen=True, slots=True)
class Judged:
    """A document over all windows of a stage: violations task by task (1, 0, NaN), and the figures of each window."""

    late: FloatArray
    summaries: list[Summary]

    def energy_joules(self) -> float:
        """Over all windows."""
        return sum(summary.energy_joules for summary in self.summaries)


def judge(executor: Executor, on: Stage, documents: Sequence[Document]) -> list[Judged]:
    """Replay every window under each document."""
    packed = pickle.dumps((on, []), pickle.HIGHEST_PROTOCOL)
    windows = len(on.windows)
    cases = [(document, window) for document in documents for window in range(windows)]
    replayed = list(executor.map(partial(_course, packed), cases))
    judged = []
    for index in range(len(documents)):
        own = replayed[index * windows : (index + 1) * windows]
        judged.append(
            Judged(np.concatenate([late for late, _ in own] or [np.zeros(0)]), [summary for _, summary in own])
        )
    return judged


def _course(packed: bytes, case: tuple[Document, int]) -> tuple[FloatArray, Summary]:
    """Violations and figures of one window under a document."""
    on, _ = _unpacked(packed)
    document, window = case
    jobs = on.windows[window]
    course = on.course(document, window)
    return violated(jobs, course), on.summarised(course, window)


@dataclass(slots=True)
class Evaluation:
    """Fitness of populations on one stage. Weights that have been tried are not tried again.

    Only the quarter of a generation that does best in the first window is replayed in the others too (successive
    halving, Jamieson and Talwalkar 2016); the rest counts as no better than the worst of that quarter. The result is
    the same whatever the executor.
    """

    executor: Executor
    on: Stage
    kind: str
    weights: EddWeights = EDD_USUAL
    _packed: bytes = field(init=False)
    _known: dict[bytes, tuple[float, float]] = field(default_factory=dict)
    _members: dict[bytes, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        [reference] = judge(self.executor, self.on, [self.on.fitted])
        self._packed = pickle.dumps((self.on, reference.summaries), pickle.HIGHEST_PROTOCOL)

    def of(self, members: FloatArray) -> FloatArray:
        """Return [members, 2]: the fitness to be maximised, and the energy against that of what is in force."""
        keys = [_weights(genes.decode(member, self.on.fitted)) for member in members]
        fresh = {key: member for key, member in zip(keys, members, strict=True) if key not in self._known}
        self._members.update(fresh)
        first = self._replay(fresh, range(1))
        kept = sorted(fresh, key=lambda key: -first[key][0][0])[: len(fresh) // KEPT + 1]
        others = range(1, len(self.on.windows))
        further = self._replay({key: fresh[key] for key in kept}, others) if others else {}
        for key, values in further.items():
            whole = first[key] + values
            self._known[key] = (_mean([point[0] for point in whole]), _mean([point[1] for point in whole]))
        worst = min(self._known[key][0] for key in kept) if further else float("inf")
        for key in fresh:
            [(quality, energy_used)] = first[key]
            self._known.setdefault(key, (min(quality, worst), energy_used))
        return np.array([self._known[key] for key in keys], np.float64)

    def _replay(self, members: Mapping[bytes, FloatArray], windows: range) -> dict[bytes, list[tuple[float, float]]]:
        """Each member in each window. Windows are tasks of their own, so that no processor waits for another."""
        cases = [(member, window) for member in members.values() for window in windows]
        chunk = max(1, len(cases) // CHUNKS)
        weights = self.weights if self.kind == EDD else None
        replays = self.executor.map(partial(_evaluate, self._packed, weights), cases, chunksize=chunk)
        return {key: [next(replays) for _ in windows] for key in members}

    def archive(self) -> tuple[FloatArray, FloatArray]:
        """All that was tried: genes, and [tried, 2] as `of` returns them."""
        return np.array(list(self._members.values())), np.array([self._known[key] for key in self._members])


def _weights(document: Document) -> bytes:
    return msgspec.json.encode((document.Lateness, document.Risk, document.AffinityW, document.PenaltyW))


@lru_cache(maxsize=2)
def _unpacked(packed: bytes) -> tuple[Stage, list[Summary]]:
    """Unpack once in each process: a stage is far larger than a candidate."""
    unpacked: tuple[Stage, list[Summary]] = pickle.loads(packed)  # noqa: S301  packed by this very run
    return unpacked


def _evaluate(packed: bytes, weights: EddWeights | None, case: tuple[FloatArray, int]) -> tuple[float, float]:
    """Fitness (EDD's under these weights, else the default) and relative energy of one member in one window."""
    on, reference = _unpacked(packed)
    member, window = case
    summary, base = on.summary(on.candidate(member), window), reference[window]
    quality = summary.fitness() if weights is None else summary.edd_fitness(base, weights)
    return quality, summary.energy_joules / base.energy_joules if base.energy_joules else 1.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
