"""Which host ports are taken where."""

import pytest

from cloudai_scheduler.cluster.ports import HostPorts


@pytest.mark.parametrize(
    ("wanted", "used", "conflict"),
    [
        (("TCP", "0.0.0.0", 80), ("TCP", "10.0.0.1", 80), True),
        (("TCP", "10.0.0.1", 80), ("TCP", "0.0.0.0", 80), True),
        (("TCP", "10.0.0.1", 80), ("TCP", "10.0.0.2", 80), False),
        (("TCP", "10.0.0.1", 80), ("TCP", "10.0.0.1", 80), True),
        (("UDP", "0.0.0.0", 80), ("TCP", "0.0.0.0", 80), False),
        (("TCP", "0.0.0.0", 80), ("TCP", "0.0.0.0", 81), False),
    ],
)
def test_port_conflicts(wanted: tuple[str, str, int], used: tuple[str, str, int], conflict: bool) -> None:
    """Same protocol and port; 0.0.0.0 conflicts with every address."""
    known = HostPorts()
    known.occupy(3, frozenset({used}))
    assert known.conflicts(frozenset({wanted})) == ({3} if conflict else set())
    known.occupy(3, frozenset({used}), -1)
    assert known == HostPorts()


def test_a_port_is_free_once_its_last_pod_is_gone() -> None:
    """Strangers may bind two pods with one port to a node; both count."""
    known, port = HostPorts(), frozenset({("TCP", "10.0.0.1", 80)})
    known.occupy(0, port)
    known.occupy(0, port)
    known.occupy(0, port, -1)
    assert known.conflicts(port) == {0}
