"""Candidates are judged by what would have happened under them."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.optimizer.test_epoch import NODES, history, machines

from cloudai_kube.node_use import NodeUse
from cloudai_optimizer.fit import learn
from cloudai_optimizer.search import fitness, genes
from cloudai_optimizer.search.fitness import DEFAULT, EDD, Evaluation, Stage
from cloudai_rts.machine import Machine
from cloudai_rts.parameters import HINGE, LATENESS, Document
from cloudai_rts.replay import recorded


class Counting(ThreadPoolExecutor):
    """Counts the replays of windows."""

    def __init__(self) -> None:
        super().__init__(1)
        self.calls = 0

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], **_: Any) -> Any:
        """Call one after the other."""
        calls = list(zip(*iterables, strict=True))
        self.calls += len(calls)
        return iter([fn(*call) for call in calls])

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        """Nobody does."""
        raise NotImplementedError


def stage(model: str = LATENESS) -> Stage:
    """Two windows of recorded work."""
    found = history(160)
    cores = {one.node.node: one.node.cpu for one in machines()}
    learned = learn.from_records(found, Document(model=model), cores, NodeUse())
    works = recorded.recover(found, learned.document, machines())
    return fitness.stage(machines(), recorded.split(works, 2, 40), learned)


@pytest.mark.parametrize(("model", "kind"), [(LATENESS, DEFAULT), (HINGE, EDD)])
def test_two_chromosomes_are_two_replays(model: str, kind: str) -> None:
    """Other weights, another fitness: the candidate is in it."""
    on = stage(model)
    ends = np.array([np.zeros(genes.length(model)), np.ones(genes.length(model)), genes.encode(on.fitted, on.fitted)])
    with Counting() as executor:
        found = Evaluation(executor, on, kind).of(ends)
    assert len(set(found[:, 0].tolist())) > 1
    assert found[2, 1] == pytest.approx(1.0)


def test_weights_are_replayed_once() -> None:
    """A member that comes again costs nothing, and most of a generation is spared the second window."""
    on = stage()
    members = np.random.default_rng(1).random((8, genes.length(LATENESS)))
    with Counting() as executor:
        evaluation = Evaluation(executor, on, DEFAULT)
        first = evaluation.of(members)
        assert executor.calls == 2 + 8 + 3  # what is in force in both windows, all in one, the best in the other
        again = evaluation.of(members)
        assert executor.calls == 2 + 8 + 3
    assert np.array_equal(first, again)
    tried, values = evaluation.archive()
    assert np.array_equal(tried, members)
    assert np.array_equal(values, first)


def test_those_given_up_never_win() -> None:
    """The best was replayed in every window."""
    on = stage()
    members = np.random.default_rng(2).random((8, genes.length(LATENESS)))
    with Counting() as executor:
        found = Evaluation(executor, on, DEFAULT).of(members)
    best = int(np.argmax(found[:, 0]))
    document = on.candidate(members[best])
    with ThreadPoolExecutor(1) as executor:
        [judged] = fitness.judge(executor, on, [document])
    assert found[best, 0] == pytest.approx(np.mean([one.fitness() for one in judged.summaries]))


def test_machines_that_were_not_there() -> None:
    """Nothing is placed on one that came later or had gone; one on which something ran was there all the same."""
    found = history(160)
    known = machines()
    cores = {one.node.node: one.node.cpu for one in known}
    learned = learn.from_records(found, Document(), cores, NodeUse())
    [window] = recorded.split(recorded.recover(found, learned.document, known), 1, 60)
    elsewhere = [replace(one, record=msgspec.structs.replace(one.record, node=NODES[1].node)) for one in window.works]
    idle = recorded.Window(window.begin, elsewhere)
    late = [replace(known[0], since=window.begin + 1.0), *known[1:-1], replace(known[-1], until=window.begin - 1.0)]

    def used(there: Sequence[Machine], began: recorded.Window) -> set[int]:
        on = fitness.stage(there, [began], learned)
        course = on.course(on.fitted, 0)
        assert np.isfinite(course.finish).all()
        return set(course.node.tolist())

    outside = {0, len(known) - 1}
    assert used(known, idle) >= outside
    assert used(late, idle).isdisjoint(outside)
    assert used(late, window) == used(known, window)
