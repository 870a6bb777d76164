"""Black holes: nodes that refuse what they attract."""

import pytest

from cloudai_scheduler.cluster.rejections import Rejections, rejected_resource

GPU = "nvidia.com/gpu"


def test_three_rejections_close_a_node_for_the_resource() -> None:
    """The third within ten minutes closes it for ten minutes, for pods that ask for that resource only."""
    known = Rejections()
    assert [known.record("n", GPU, f"o{i}", 10.0 * i) for i in range(3)] == [False, False, True]
    assert known.closed_nodes({GPU, "cpu"}, "", 30.0) == {"n"}
    assert known.closed_nodes({"cpu"}, "", 30.0) == set()
    assert known.closed_nodes({GPU}, "", 620.1) == set()


def test_rejections_far_apart_close_nothing() -> None:
    """Three in more than ten minutes are bad luck."""
    known = Rejections()
    assert not any(known.record("n", GPU, "", at) for at in (0.0, 300.0, 700.0))


def test_one_rejection_sends_the_same_owner_elsewhere() -> None:
    """A retried Task avoids the node for ten minutes; others do not."""
    known = Rejections()
    known.record("n", GPU, "task-1", 0.0)
    assert known.closed_nodes({GPU}, "task-1", 599.0) == {"n"}
    assert known.closed_nodes({GPU}, "task-2", 599.0) == set()
    assert known.closed_nodes({GPU}, "task-1", 601.0) == set()
    assert known.next_opening(0.0) == 600.0


def test_what_is_over_is_forgotten() -> None:
    """Nothing is kept for ever."""
    known = Rejections()
    for at in (0.0, 1.0, 2.0):
        known.record("n", GPU, f"o{at}", at)
    known.expire(5000.0)
    assert known == Rejections()


@pytest.mark.parametrize(
    ("reason", "gpu", "expected"),
    [
        ("OutOfnvidia.com/gpu", GPU, GPU),
        ("OutOfcpu", GPU, "cpu"),
        ("UnexpectedAdmissionError", GPU, GPU),
        ("UnexpectedAdmissionError", "", "*"),
    ],
)
def test_what_a_rejection_is_about(reason: str, gpu: str, expected: str) -> None:
    """OutOf<resource> names it; else it is the GPU asked for, else anything."""
    assert rejected_resource(reason, gpu) == expected
