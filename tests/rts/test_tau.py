"""The moving average of run times (EDD 4.2)."""

import math

import pytest

from cloudai_rts.tau import MOST_TENANTS, MOST_TYPES, TauStore, TenantTau


def test_average_by_hand() -> None:
    """.2 x 200 + .8 x 100 = 120; in log space 100^.8 x 200^.2 = 114.87."""
    assert TauStore({"x": 100.0}).update("x", 200.0) == pytest.approx(120.0)
    assert TauStore({"x": 100.0}).update("x", 200.0, model="lateness") == pytest.approx(114.8698, abs=1e-3)


def test_observations_are_corrected_to_the_reference_class() -> None:
    """A run of 50 s on a node that is twice as fast is one of 100 s on the reference."""
    assert TauStore({"x": 100.0}).update("x", 50.0, node_factor=0.5) == pytest.approx(100.0)


@pytest.mark.parametrize("actual", [0.0, -1.0, math.nan, math.inf])
def test_nonsense_changes_nothing(actual: float) -> None:
    """Non-positive and non-finite run times are ignored."""
    store = TauStore({"x": 100.0})
    assert store.update("x", actual) == 100.0


def test_cold_values_and_what_counts_as_learned() -> None:
    """Built-in values are not learned; published and observed ones are."""
    store = TauStore()
    assert store.get("cpu-light") == 120.0
    assert store.get("never-seen") == 600.0
    assert not store.has_learned("cpu-light")
    store.seed({"cpu-light": 60.0})
    assert store.has_learned("cpu-light")
    store.update("mixed", 10.0)
    assert store.has_learned("mixed")


def test_one_tenants_runs_move_nobody_elses() -> None:
    """Between epochs each tenant learns for itself; an epoch replaces what all have learned."""
    known = TenantTau()
    for _ in range(40):
        known.update("attacker", "gpu-training", 1.2, 1.0, "lateness")
    assert known.of("attacker").get("gpu-training") < 10
    assert known.of("other").get("gpu-training") == 900
    assert not known.of("other").has_learned("gpu-training")
    known.seed({"gpu-training": 700.0})
    assert known.of("attacker").get("gpu-training") == known.of("other").get("gpu-training") == 700


def test_a_forged_prediction_moves_tau_by_eight_at_most() -> None:
    """The factor comes from the pod, which its owner can change."""
    known = TenantTau()
    for _ in range(100):
        known.update("a", "mixed", 100.0, 1e-12, "lateness")
    assert known.of("a").get("mixed") == pytest.approx(800.0)


def test_tenants_and_types_have_an_end() -> None:
    """Names are free to invent."""
    known = TenantTau()
    for number in range(3 * MOST_TENANTS):
        known.update(f"tenant-{number}", "mixed", 1.0, 1.0, "lateness")
    for number in range(3 * MOST_TYPES):
        known.update("one", f"type-{number}", 1.0, 1.0, "lateness")
    assert known.of("tenant-0") is known.of("nobody")
    assert sum(known.of("one").has_learned(f"type-{number}") for number in range(3 * MOST_TYPES)) == MOST_TYPES
