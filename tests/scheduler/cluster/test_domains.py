"""Topology domains, brought up to date with the nodes that changed."""

from dataclasses import dataclass

from cloudai_scheduler.cluster.domains import KEPT_KEYS, NONE, Domains
from cloudai_scheduler.cluster.journal import Journal


@dataclass
class Labelled:
    """A node."""

    labels: dict[str, str]


def test_nodes_with_one_value_are_in_one_domain() -> None:
    """A node without the label, and a slot without a node, are in none."""
    nodes = {0: Labelled({"zone": "a"}), 1: Labelled({"zone": "b"}), 2: Labelled({}), 4: Labelled({"zone": "a"})}
    places = Domains().of("zone", nodes, 5, Journal([0, 1, 2, 4])).tolist()
    assert places[0] == places[4] != places[1]
    assert places[2:4] == [NONE, NONE]


def test_changes_are_taken_in() -> None:
    """Of labels, of nodes that go, and where the list of changes was cut."""
    domains, nodes = Domains(), {0: Labelled({"zone": "a"}), 1: Labelled({"zone": "b"})}
    domains.of("zone", nodes, 2, Journal([0, 1]))
    nodes[1] = Labelled({"zone": "a"})
    assert len(set(domains.of("zone", nodes, 2, Journal([0, 1, 1])).tolist())) == 1
    del nodes[0]
    assert domains.of("zone", nodes, 2, Journal([0], 3)).tolist()[0] == NONE


def test_keys_are_bounded() -> None:
    """A pod may name any."""
    domains = Domains()
    for number in range(2 * KEPT_KEYS):
        domains.of(str(number), {}, 1, Journal())
    assert len(domains._kept) == KEPT_KEYS  # noqa: SLF001  that is what is tested
