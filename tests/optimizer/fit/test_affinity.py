"""EDD 5.3 and 5.4, worked out by hand."""

import msgspec
import pytest

from cloudai_kube.node_use import NodeUse
from cloudai_optimizer.fit.affinity import affinity, energy_norm, penalty, tally, with_proxy
from cloudai_rts.history import Record
from cloudai_rts.parameters import AffinityTerms, PenaltyTerms
from cloudai_rts.replay.energy import EnergyRates


def run(uid: str, node: str, seconds: float, late: bool = False, load: float = 0.5) -> Record:
    """A run of type c."""
    deadline = seconds - 1.0 if late else seconds + 1.0
    return Record(
        uid, uid, "ns", uid, "c", node, "k", 0.0, 0.0, seconds, "Succeeded", 1.0, 1.0, deadline=deadline, load=load
    )


RUNS = [
    run("1", "fast", 50.0),
    run("2", "fast", 50.0, load=1.5),
    run("3", "slow", 150.0, late=True),
    run("4", "slow", 150.0),
]


def test_affinity_worked_out_by_hand() -> None:
    """Mean run time 100 s. fast: speed 2, SLAok 1, overload 50/100; slow: speed 2/3, SLAok 1/2, overload 0."""
    found = affinity(tally(RUNS), AffinityTerms(A1=1.0, A2=2.0, A3=0.5))
    assert found["c"]["fast"] == pytest.approx(1.0 * 2.0 + 2.0 * 1.0 - 0.5 * 0.5, abs=1e-3)
    assert found["c"]["slow"] == pytest.approx(1.0 * 2 / 3 + 2.0 * 0.5, abs=1e-3)


def test_affinity_is_clipped() -> None:
    """At most 5."""
    assert affinity(tally(RUNS), AffinityTerms(A1=5.0, A2=9.0, A3=0.0))["c"]["fast"] == 5.0


def test_penalty_worked_out_by_hand() -> None:
    """fast: 0 + 1 x .5 + .5 x 2/3; slow: 2 x .5 + 0 + .5 x 4/3 (energies 100 and 200, the upper median is 150)."""
    found = tally([*RUNS, run("5", "other", 10.0)])
    use = NodeUse(watts={"fast": 100.0, "slow": 200.0, "other": 150.0})
    scores = penalty(found, PenaltyTerms(2.0, 1.0, 0.5), use)
    assert scores["fast"] == pytest.approx(0.5 + 0.5 * 100 / 150, abs=1e-3)
    assert scores["slow"] == pytest.approx(1.0 + 0.5 * 200 / 150, abs=1e-3)


def test_the_proxy_worked_out_by_hand() -> None:
    """2 W a core, 8 W a GiB, 100 W a GPU over 200 s: node a 100 s of 1 core (half used), 1 GiB, 1 GPU."""
    first = run("1", "a", 100.0)
    whole = msgspec.structs.replace(first, memory=float(1 << 30), gpu=1.0, used_cpu=0.5)
    other = msgspec.structs.replace(run("2", "b", 200.0), memory=0.0)
    found = with_proxy(NodeUse(watts={"m": 70.0}), [whole, other], EnergyRates(2.0, 8.0, 100.0))
    assert found.watts == pytest.approx({"a": (1.0 + 8.0 + 100.0) / 2, "b": 2.0, "m": 70.0})
    assert with_proxy(NodeUse(watts={"a": 1.0}), [whole], EnergyRates()).watts == {"a": 1.0}
    for_a_month = msgspec.structs.replace(other, node="c", start=-30 * 86_400.0)
    found = with_proxy(
        NodeUse(), [msgspec.structs.replace(other, start=200.0 - 86_400.0), for_a_month], EnergyRates(2.0)
    )
    assert found.watts == pytest.approx({"b": 2.0, "c": 2.0})


def test_nobody_measured_energy() -> None:
    """0/0 is no reason to prefer a node."""
    found = tally(RUNS)
    assert energy_norm(found, {}) == {}
    assert penalty(found, PenaltyTerms(2.0, 1.0, 0.5), NodeUse())["fast"] == pytest.approx(1.0, abs=1e-3)
