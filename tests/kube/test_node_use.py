"""What minutes add up to."""

import pytest

from cloudai_kube.node_use import NodeUse, use_of


def test_minutes_add_up() -> None:
    """Means and shares by node; a node that was measured in half of the minutes was there half of the time."""
    minutes = [
        {"node": "a", "total_s": 60.0, "overload_s": 60.0, "watts": 100.0},
        {"node": "a", "total_s": 60.0, "overload_s": 0.0, "watts": None},
        {"node": "b", "total_s": 60.0, "overload_s": None, "watts": 300.0, "gpu": 1.0},
        {"node": "b", "total_s": 0.0, "overload_s": 0.0, "watts": None},
    ]
    found = use_of(minutes)
    assert found.watts == {"a": 100.0, "b": 300.0}
    assert found.overload == {"a": 0.5, "b": 0.0}
    assert found.available == {"a": 1.0, "b": pytest.approx(0.5)}


def test_power_of_a_busy_gpu() -> None:
    """What a node's GPUs took while some of them worked, for each that did; a few minutes say nothing."""
    working = {"node": "a", "total_s": 60.0, "watts": 500.0, "gpu": 2.0}
    idle = {"node": "a", "total_s": 60.0, "watts": 100.0, "gpu": 0.0}
    short = {"node": "b", "total_s": 60.0, "watts": 500.0, "gpu": 2.0}
    assert use_of([*[working] * 6, *[idle] * 6, short]).gpu_watts == {"a": 250.0}


def test_nothing_measured() -> None:
    """Nothing is known."""
    assert use_of([]) == NodeUse()
