"""Black holes: nodes that refuse what they attract."""

import pytest

from cloudai_scheduler.cluster.rejections import EVERYBODY, Rejections, rejected_resource

GPU = "nvidia.com/gpu"


def test_three_rejections_close_a_node_for_the_resource() -> None:
    """The third within ten minutes closes it for ten minutes, for pods that ask for that resource only."""
    known = Rejections()
    assert [known.record("n", GPU, f"tenant-{i}", 10.0 * i) for i in range(3)] == [None, None, EVERYBODY]
    assert known.closed_nodes({GPU, "cpu"}, "anybody", 30.0) == {"n"}
    assert known.closed_nodes({"cpu"}, "anybody", 30.0) == set()
    assert known.closed_nodes({GPU}, "anybody", 620.1) == set()


def test_one_tenant_closes_a_node_for_itself_only() -> None:
    """Whatever it does there; a second tenant's refusals make it a fact for all."""
    known = Rejections()
    assert [known.record("n", GPU, "a", float(i)) for i in range(6)] == [None, None, "a", None, "a", None]
    assert known.closed_nodes({GPU}, "a", 10.0) == {"n"}
    assert known.closed_nodes({GPU}, "b", 10.0) == set()
    assert known.record("n", GPU, "b", 10.0) == EVERYBODY
    assert known.closed_nodes({GPU}, "c", 12.0) == {"n"}


def test_a_start_takes_the_evidence_away() -> None:
    """A node that has run a pod since is no black hole."""
    known = Rejections()
    for tenant in ("a", "b"):
        known.record("n", GPU, tenant, 0.0)
    known.started("n")
    assert known.record("n", GPU, "c", 1.0) is None
    assert known.closed_nodes({GPU}, "c", 2.0) == set()


def test_rejections_far_apart_close_nothing() -> None:
    """Three in more than ten minutes are bad luck."""
    known = Rejections()
    assert not any(known.record("n", GPU, "", at) for at in (0.0, 300.0, 700.0))


def test_one_rejection_sends_the_same_owner_elsewhere() -> None:
    """A retried Task avoids the node for ten minutes; others do not."""
    known = Rejections()
    known.avoid("n", "task-1", 0.0)
    assert known.avoided_nodes("task-1", 599.0) == {"n"}
    assert known.avoided_nodes("task-2", 599.0) == set()
    assert known.avoided_nodes("task-1", 601.0) == set()
    assert known.next_opening(0.0) == 600.0


def test_what_is_over_is_forgotten() -> None:
    """Nothing is kept for ever."""
    known = Rejections()
    for at in (0.0, 1.0, 2.0):
        known.record("n", GPU, f"tenant-{at}", at)
        known.record("m", GPU, "tenant", at)
        known.avoid("n", "owner", at)
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
