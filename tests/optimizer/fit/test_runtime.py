"""The fit finds the truth that samples were drawn from, and claims nothing where there are none."""

import math

import numpy as np
import pytest

from cloudai_optimizer.fit import runtime
from cloudai_optimizer.fit.samples import collect
from cloudai_rts.history import Record

CLASSES = {"fast": ["f0", "f1", "f2"], "slow": ["s0", "s1", "s2"]}
TAU = {"a": 100.0, "b": 1000.0}
U = {("a", "fast"): -0.7, ("a", "slow"): 0.0, ("b", "fast"): 0.3, ("b", "slow"): 0.0}
V = {"f0": 0.4, "s1": 0.3}
KAPPA, MU = 0.6, 1.5


def drawn(count: int, sd: float = 0.2, seed: int = 1) -> list[Record]:
    """Runs under a known truth."""
    rng = np.random.default_rng(seed)
    records = []
    for index in range(count):
        kind = ["a", "b"][int(rng.integers(2))]
        node_class = ["fast", "slow"][int(rng.integers(2))]
        node = CLASSES[node_class][int(rng.integers(3))]
        load = float(rng.uniform(0.1, 1.8))
        factor = 1.0 + KAPPA * load**2 + MU * max(0.0, load - 1.0)
        seconds = TAU[kind] * math.exp(U[kind, node_class] + V.get(node, 0.0) + rng.normal(0.0, sd)) * factor
        records.append(one(f"p{index}", kind, node_class, node, float(index), seconds, load))
    return records


def one(uid: str, kind: str, node_class: str, node: str, start: float, seconds: float, load: float) -> Record:
    """A run."""
    return Record(
        uid, uid, "ns", uid, kind, node, node_class, start, start, start + seconds, "Succeeded", 1.0, 1.0, load=load
    )


def test_the_truth_is_found() -> None:
    """Speeds by type and class, the odd machines, the load curve, the spread."""
    samples = collect(drawn(3000))
    found = runtime.fit(samples, reference_class="slow")
    terms = runtime.model_terms(samples, found)
    for (kind, node_class), truth in U.items():
        shift = found.log_tau[samples.types.index(kind)] - math.log(TAU[kind])
        mean_v = np.mean([V.get(node, 0.0) for node in CLASSES[node_class]]) - np.mean(
            [V.get(n, 0.0) for n in CLASSES["slow"]]
        )
        assert terms["U"][kind][node_class] == pytest.approx(truth + mean_v, abs=0.08), (kind, node_class, shift)
    assert terms["V"]["f0"] - terms["V"]["f1"] == pytest.approx(0.4, abs=0.05)
    assert terms["V"]["s1"] - terms["V"]["s0"] == pytest.approx(0.3, abs=0.05)
    assert found.kappa == pytest.approx(KAPPA, abs=0.15)
    assert found.mu == pytest.approx(MU, abs=0.4)
    assert terms["Sigma"]["a"] == pytest.approx(0.2, abs=0.04)


def test_few_samples_claim_little() -> None:
    """One run that took ten times as long is no proof: shrinkage keeps u well below ln 10."""
    records = [*drawn(200), one("odd", "a", "new", "n0", 1e4, 1000.0, 0.5)]
    samples = collect(records)
    terms = runtime.model_terms(samples, runtime.fit(samples, reference_class="slow"))
    assert terms["U"]["a"]["new"] < 0.6 * math.log(10)
    assert "new" not in terms["U"]["b"]


def test_runs_that_were_cut_off_count_as_longer() -> None:
    """Half of the runs are disrupted half-way: taken as whole runs they would halve the estimate."""
    rng = np.random.default_rng(3)
    records = []
    for index in range(600):
        seconds = 100.0 * math.exp(rng.normal(0.0, 0.3))
        cut = index % 2 == 0
        record = one(f"p{index}", "a", "slow", "s0", float(index), seconds * (0.5 if cut else 1.0), 0.0)
        fields = {name: getattr(record, name) for name in record.__struct_fields__}
        records.append(Record(**{**fields, "outcome": "Disrupted" if cut else "Succeeded"}))
    samples = collect(records)
    median = math.exp(runtime.fit(samples).log_tau[0])
    assert median == pytest.approx(100.0, rel=0.12)


def test_hostile_records_move_little() -> None:
    """A fifth of all runs claim to be a hundred times as slow: the factor moves by less than half of one step."""
    honest = drawn(1000)
    hostile = [one(f"h{i}", "a", "fast", "f1", 100.0 + i, 1e4, 0.2) for i in range(60)]
    before, after = collect(honest), collect([*honest, *hostile])
    u = runtime.model_terms(before, runtime.fit(before, reference_class="slow"))["U"]["a"]["fast"]
    moved = runtime.model_terms(after, runtime.fit(after, reference_class="slow"))["U"]["a"]["fast"]
    assert abs(moved - u) < 0.5


def test_order_does_not_matter() -> None:
    """The same records in another order give the same fit."""
    records = drawn(300)
    one_way = runtime.fit(collect(records))
    other_way = runtime.fit(collect(records[::-1]))
    assert np.array_equal(one_way.u, other_way.u)
    assert one_way.kappa == other_way.kappa


def test_the_reference_class_is_the_zero() -> None:
    """One machine a class: what that machine is slower by belongs to tau where it is the reference."""
    records = [one(f"p{i}", "a", "slow", "s0", float(i), 100.0, 0.0) for i in range(60)]
    records += [one(f"q{i}", "a", "fast", "f0", float(i), 30.0, 0.0) for i in range(60)]
    samples = collect(records)
    found = runtime.fit(samples, reference_class="slow")
    terms = runtime.model_terms(samples, found)
    assert terms["U"]["a"]["slow"] == 0.0
    assert math.exp(found.log_tau[0]) == pytest.approx(100.0, rel=0.05)


def test_a_reference_class_on_which_nothing_ran_stays_the_reference() -> None:
    """Known: fast is e^-.7 of slow. In a window with fast machines only tau still counts from the slow ones."""
    records = [record for record in drawn(2000) if record.node_class == "fast"]
    samples = collect(records)
    known = {"a": {"fast": -0.7, "slow": 0.0}, "b": {"fast": 0.3, "slow": 0.0}}
    found = runtime.anchored(runtime.fit(samples, reference_class="slow"), samples, "slow", known)
    for index, kind in enumerate(samples.types):
        assert found.u[index, 0] == pytest.approx(known[kind]["fast"], abs=0.02)
        assert math.exp(found.log_tau[index]) == pytest.approx(TAU[kind] * math.exp(0.4 / 3), rel=0.1)


def test_types_that_never_run_on_the_reference_stay_level() -> None:
    """Type b runs on fast and new machines only, type a on all: b's u stays near what it was, its tau with it."""
    records = [run for run in drawn(1500) if run.type == "a" or run.node_class == "fast"]
    records += [one(f"n{index}", "b", "new", "n0", 1e4 + index, 500.0, 0.0) for index in range(40)]
    samples = collect(records)
    known = {"b": {"fast": -2.0}}
    found = runtime.fit(samples, reference_class="slow")
    level = runtime.anchored(found, samples, "slow", known)
    b, fast, new = samples.types.index("b"), samples.classes.index("fast"), samples.classes.index("new")
    assert level.u[b, fast] == pytest.approx(-2.0)
    assert level.u[b, new] - level.u[b, fast] == pytest.approx(found.u[b, new] - found.u[b, fast])
    assert level.log_tau[b] + level.u[b, fast] == pytest.approx(found.log_tau[b] + found.u[b, fast])
    assert level.u[samples.types.index("a")].tolist() == found.u[samples.types.index("a")].tolist()


def test_runs_that_are_all_alike_leave_nothing_to_explain() -> None:
    """Rounding errors over rounding errors would be a number that no reader of the document takes."""
    samples = collect([one(f"p{number}", "a", "fast", "f0", 1000.0 * number, 7.3, 0.1) for number in range(12)])
    assert runtime.r_squared(samples, samples.log_runtime + 0.3) == 0.0
    assert runtime.r_squared(samples, samples.log_runtime) == 0.0
