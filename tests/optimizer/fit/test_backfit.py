"""The rounds of the fit: what was known of tasks, what is remembered of machines, and the load curve."""

import math

import numpy as np
import pytest

from cloudai_optimizer.fit import memory
from cloudai_optimizer.fit.backfit import MAX_KAPPA, MAX_MU, MAX_U, MAX_V, Backfit, present
from cloudai_optimizer.fit.memory import Memory
from cloudai_optimizer.fit.samples import Samples, collect
from cloudai_rts.history import Record

SECONDS = {"fast": 50.0, "slow": 100.0}


def runs(count: int, load: float = 0.0, factor: float = 1.0) -> list[Record]:
    """Runs on a fast and a slow machine in turn, `factor` times as long as usual."""
    found = []
    for index in range(count):
        name, start = list(SECONDS)[index % 2], 1e6 + index
        end = start + SECONDS[name] * factor
        found.append(
            Record(f"p{index}", "", "ns", "", "a", name, name, start, start, end, "Succeeded", 1.0, 1.0, load=load)
        )
    return found


def fitted(samples: Samples, past: Memory | None = None, known: float = math.nan) -> Backfit:
    """Terms after all rounds, counted from the slow machine."""
    found = Backfit(
        samples,
        memory.nothing(samples) if past is None else past,
        samples.classes.index("slow"),
        np.full(len(samples), known),
        np.zeros(1),
    )
    found.run()
    return found


def test_tasks_of_which_more_is_known_say_nothing_of_their_type() -> None:
    """Where each task's own run time is known, u is what the machines make of it and tau stays what it was."""
    samples = collect(runs(200))
    found = fitted(samples, known=math.log(100.0))
    assert found.u[0, 0] - found.u[0, 1] == pytest.approx(math.log(0.5), abs=0.02)
    assert found.log_tau == pytest.approx([0.0])
    assert found.offset[0] + found.u[0, 1] == pytest.approx(0.0, abs=0.05)


def test_what_all_declarations_are_wrong_by_is_no_property_of_machines() -> None:
    """Everybody declares a tenth: the offset takes it, not u and not the load curve."""
    samples = collect(runs(200))
    found, honest = fitted(samples, known=math.log(10.0)), fitted(samples, known=math.log(100.0))
    assert found.offset[0] + found.u[0, 1] == pytest.approx(math.log(10.0), abs=0.05)
    assert found.u[0, 0] - found.u[0, 1] == pytest.approx(honest.u[0, 0] - honest.u[0, 1], abs=0.02)
    assert found.kappa == pytest.approx(honest.kappa, abs=0.02)


def test_what_is_remembered_outweighs_a_few_new_runs() -> None:
    """30 runs said that fast is a quarter of slow; four new ones that it is half move u a little, no more."""
    samples = collect(runs(8))
    fresh = np.ones(8, np.bool_)
    known = np.array([[math.log(0.25), 0.0]])
    past = Memory(known, np.array([[30.0, 0.0]]), fresh, known, np.zeros(1))
    u = fitted(samples, past).u[0]
    assert math.log(0.25) < u[0] - u[1] < math.log(0.3)


@pytest.mark.parametrize(("load", "factor"), [(8.0, 1e-6), (8.0, 1e6), (0.0, 1e6), (0.0, 1e-6)])
def test_terms_stay_within_their_bounds(load: float, factor: float) -> None:
    """Half of the runs are normal, half are beyond all reason: kappa, mu, u and v are what a document may hold."""
    found = fitted(collect([*runs(100), *runs(100, load, factor)]))
    assert 0.0 <= found.kappa <= MAX_KAPPA
    assert 0.0 <= found.mu <= MAX_MU
    assert np.abs(found.u).max() <= MAX_U
    assert np.abs(found.v).max() <= MAX_V
    assert np.isfinite(found.residual).all()


def test_presence_of_samples() -> None:
    """1 for cells with runs, 0 for others."""
    records = [*runs(4), *(Record("x", "", "ns", "", "b", "fast", "fast", 1e6, 1e6, 1e6 + 1, "Succeeded", 1.0, 1.0),)]
    assert present(collect(records)).tolist() == [[1.0, 1.0], [1.0, 0.0]]
