"""What a series is about: labels of objects before labels of scrape targets, and one owner for each address."""

import pytest

from cloudai_kube.series import NodeAddresses, NodeNames, node_of, pod_of


@pytest.mark.parametrize(
    ("labels", "pod"),
    [
        ({"namespace": "ml", "pod": "p"}, ("ml", "p")),
        (
            {"namespace": "monitoring", "pod": "ksm-0", "exported_namespace": "ml", "exported_pod": "p"},
            ("ml", "p"),
        ),
        ({"namespace": "monitoring", "exported_pod": "p"}, ("monitoring", "p")),
        ({}, ("", "")),
    ],
)
def test_the_pod_of_a_series(labels: dict[str, str], pod: tuple[str, str]) -> None:
    """Without honor_labels the object's own labels are `exported_*`; they win wherever they are there."""
    assert pod_of(labels) == pod


def test_the_node_of_a_series() -> None:
    """The object's node before the exporter's."""
    assert node_of({"node": "target", "exported_node": "n1"}) == "n1"
    assert node_of({"instance": "10.0.0.5:9100"}) == ""


@pytest.mark.parametrize("order", [("ip-a-live", "ip-z-dead"), ("ip-z-dead", "ip-a-live")])
def test_a_dead_nodes_address_is_given_to_a_new_one(order: tuple[str, str]) -> None:
    """The Ready node has it, in whichever order they are listed."""
    nodes = {name: NodeAddresses(("10.0.0.5",), name == "ip-a-live") for name in order}
    assert NodeNames.of(nodes).resolve({"instance": "10.0.0.5:9100"}) == "ip-a-live"


def test_an_address_of_two_nodes() -> None:
    """Two Ready ones: it says nothing, and that is known; the same of two dead ones."""
    for is_ready in (True, False):
        names = NodeNames.of({name: NodeAddresses(("10.0.0.5",), is_ready) for name in ("a", "b")})
        assert names.resolve({"instance": "10.0.0.5:9100"}) is None
        assert names.ambiguous == {"10.0.0.5"}


def test_addresses_of_all_kinds() -> None:
    """Host name, IPv4 and IPv6, with a port or without."""
    names = NodeNames.of({"n1": NodeAddresses(("10.0.0.5", "fd00::5", "host-1"), True)})
    for instance in ("10.0.0.5:9100", "10.0.0.5", "[fd00::5]:9100", "host-1:9100", "n1:9100"):
        assert names.resolve({"instance": instance}) == "n1"
