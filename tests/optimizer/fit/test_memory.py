"""The memory of slow machines survives the scheduler's avoiding them, and nothing counts twice."""

import math

import msgspec
import numpy as np
import pytest
from tests.optimizer.fit.test_runtime import drawn, one

from cloudai_kube import timestamp
from cloudai_kube.node_use import NodeUse
from cloudai_optimizer.fit import learn, memory
from cloudai_optimizer.fit.samples import collect
from cloudai_rts.history import RUNNING, Record
from cloudai_rts.parameters import Document, HistoryWindow, RuntimeModel

CORES = {f"{kind}{number}": 16.0 for kind in "fs" for number in range(3)}
TRUE_U = 1.6
"""ln of how much longer `a` takes on a slow machine than on a fast one."""


def runs(count: int, slow: float, seed: int, begin: float = 0.0) -> list[Record]:
    """Runs of `a`, a share of them on slow machines; they end after `begin`."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        kind = "slow" if rng.random() < slow else "fast"
        node = f"{kind[0]}{int(rng.integers(3))}"
        seconds = 100.0 * math.exp((TRUE_U if kind == "slow" else 0.0) + rng.normal(0.0, 0.35))
        found.append(one(f"{begin}-{number}", "a", kind, node, begin + 1000.0 * number, seconds, 0.1))
    return found


def learned(records: list[Record], incumbent: Document) -> Document:
    """One epoch's fit."""
    return learn.from_records(records, incumbent, CORES, NodeUse()).document


def u_of(document: Document) -> float:
    """How much slower slow machines are believed to be."""
    row = document.Runtime.U["a"]
    return row["slow"] - row["fast"]


@pytest.mark.parametrize(
    ("count", "seen", "fresh", "remembered"),
    [(12, 3, 0, 12), (12, 3, 2, 12), (3, 3, 2, 0), (100, 3, 0, 30), (100, 3, 30, 0), (0, 0, 3, 0), (12, 12, 5, 0)],
)
def test_what_is_remembered(count: int, seen: int, fresh: int, remembered: float) -> None:
    """Only what rests on runs that the window lacks, as 30 runs at most, and not beside plenty of others."""
    old = [one(f"o{i}", "a", "slow", "s0", 0.0, 10.0, 0.1) for i in range(seen)]
    new = [one(f"n{i}", "a", "slow", "s0", 100.0, 10.0, 0.1) for i in range(fresh)]
    running = [
        msgspec.structs.replace(one(f"r{i}", "a", "slow", "s0", 0.0, 500.0, 0.1), outcome=RUNNING) for i in range(2)
    ]
    zero = [one("z", "a", "fast", "f0", 0.0, 5.0, 0.1)]
    model = RuntimeModel("fast", U={"a": {"slow": 1.5}}, Counts={"a": {"slow": float(count), "fast": 9.0}})
    found = memory.remember(collect([*zero, *old, *new, *running]), model, 50.0, 0)
    assert found.runs.tolist() == [[0.0, remembered]]
    assert found.fresh.tolist().count(True) == fresh
    assert not remembered or found.u.tolist() == [[0.0, 1.5]]


def test_who_avoids_slow_machines_still_knows_them() -> None:
    """A window with 3 slow runs of 400 changes little of what 30 of 200 had shown; alone it would claim far less."""
    first = Document()
    for _ in range(3):  # no release moves a value further than its step
        first = learned(runs(200, 0.15, 1), first)
    assert u_of(first) == pytest.approx(TRUE_U, abs=0.25)
    later = [*runs(397, 0.0, 2, 1e7), *runs(3, 1.0, 3, 1e7 + 5e5)]
    after = learned(later, first)
    assert u_of(after) == pytest.approx(u_of(first), abs=0.12)
    assert after.Runtime.Counts["a"]["slow"] == 30.0
    assert u_of(learned(later, Document())) < TRUE_U - 0.4


def test_the_same_window_again_changes_nothing() -> None:
    """Epochs follow each other every few minutes and read mostly the same runs."""
    first = learned(runs(200, 0.15, 1), learned(runs(200, 0.15, 1), Document()))
    later = [*runs(397, 0.0, 2, 1e7), *runs(3, 1.0, 3, 1e7 + 5e5)]
    after = learned(later, first)
    again = after
    for _ in range(10):
        again = learned(later, again)
    assert u_of(again) == pytest.approx(u_of(after), abs=0.05)


def test_new_runs_outweigh_the_memory() -> None:
    """Machines that were repaired are believed after some tens of runs."""
    first = Document()
    for _ in range(3):
        first = learned(runs(200, 0.15, 1), first)
    repaired = [
        msgspec.structs.replace(record, finish=record.start + record.runtime * math.exp(-TRUE_U))
        for record in runs(60, 1.0, 4, 2e7)
    ]
    course = [first]
    for count in (5, 20, 60):
        course.append(learned([*runs(300, 0.0, 2, 1e7), *repaired[:count]], course[-1]))
    seen = [u_of(document) for document in course]
    assert seen[0] > seen[1] > seen[2] > seen[3]
    assert seen[3] < 0.65


def test_without_memory_all_is_as_before() -> None:
    """A first fit has nothing to remember."""
    samples = collect(drawn(50))
    found = memory.remember(samples, RuntimeModel(), -math.inf, 0)
    assert not found.runs.any()
    assert found.fresh.all()


def known(u: float, runs: float, reference: str = "fast") -> Document:
    """A document that has read everything until 1e6."""
    model = RuntimeModel(reference, U={"a": {"fast": 0.0, "slow": u}}, Counts={"a": {"fast": 200.0, "slow": runs}})
    window = HistoryWindow(timestamp.millis(0.0), timestamp.millis(1e6), 230)
    return Document(Tau={"a": 100.0}, Runtime=model, Window=window)


@pytest.mark.parametrize("odd", [0.0, 3.0])
def test_what_was_read_already_cannot_overturn_it(odd: float) -> None:
    """Three old runs contradict what thirty said: however often they are read, they are the same three."""
    strange = [one(f"o{i}", "a", "slow", f"s{i}", 1000.0 + i, 100.0 * math.exp(odd), 0.1) for i in range(3)]
    document = known(1.6, 30.0)
    for _ in range(10):
        document = learned([*runs(200, 0.0, 2), *strange], document)
    assert u_of(document) == pytest.approx(1.6, abs=0.05)


def test_a_run_that_still_runs_is_no_run_that_was_forgotten() -> None:
    """Twelve have ended and one runs: a limit cut u short at first, and later epochs go on from what they see."""
    ended = [one(f"e{i}", "a", "slow", f"s{i % 3}", 1000.0 + i, 100.0 * math.exp(3.0), 0.1) for i in range(12)]
    running = msgspec.structs.replace(one("r", "a", "slow", "s0", 5000.0, 10.0, 0.1), outcome=RUNNING)
    document = Document()
    for _ in range(5):
        document = learned([*runs(200, 0.0, 2), *ended, running], document)
    assert document.Runtime.Counts["a"]["slow"] == 12.0
    assert u_of(document) > 2.4


def test_a_value_cut_short_is_not_remembered_as_what_the_runs_said() -> None:
    """One of twelve runs leaves the window before u has arrived where they put it."""
    ended = [one(f"e{i}", "a", "slow", f"s{i % 3}", 1000.0 + i, 100.0 * math.exp(3.0), 0.1) for i in range(12)]
    first = learned([*runs(200, 0.0, 2), *ended], Document())
    assert first.Runtime.U["a"]["slow"] == 1.0
    assert first.Runtime.Counts["a"]["slow"] == 0.0
    document = first
    for _ in range(4):
        document = learned([*runs(200, 0.0, 2), *ended[1:]], document)
    assert u_of(document) > 2.4
    assert document.Runtime.Counts["a"]["slow"] == 11.0


def test_a_table_of_speeds_keeps_its_own_zero() -> None:
    """It names no reference class; what it says of two classes is remembered as the difference of them."""
    model = RuntimeModel(U={"a": {"fast": -1.5, "slow": -0.5}}, Counts={"a": {"fast": 10.0, "slow": 10.0}})
    few = [one(f"o{i}", "a", "slow", f"s{i}", 1000.0 + i, 100.0 * math.exp(1.0), 0.1) for i in range(3)]
    document = Document(Tau={"a": 450.0}, Runtime=model)
    for _ in range(4):
        document = learned([*runs(200, 0.0, 2), *few], document)
    assert u_of(document) == pytest.approx(1.0, abs=0.1)


def test_a_clock_that_is_ahead_hides_nobody() -> None:
    """What was read is what had ended by then; a run that ends five minutes from now does not move that."""
    ahead = one("z", "a", "fast", "f0", 900.0, 399.0, 0.1)
    document = learn.from_records([*runs(1, 0.0, 2), ahead], Document(), CORES, NodeUse(), now=1000.0).document
    assert learn.read_until(document) == pytest.approx(1000.0, abs=0.01)
