"""Objects by namespace and name, and who is told of their changes."""

import msgspec

from cloudai_kube.workload_objects import Service
from cloudai_scheduler.cluster.table import Table


def a_service(name: str, namespace: str = "ns") -> Service:
    """Without a selector."""
    return msgspec.convert({"metadata": {"name": name, "namespace": namespace}}, Service)


def test_what_went_and_what_came_is_told() -> None:
    """A change tells both states, a list those that are not in it any more; names count by namespace."""
    told: list[Service] = []
    table = Table[Service](told.append)
    first, second, other = a_service("a"), a_service("a"), a_service("a", "else")
    table.apply("ADDED", first)
    table.apply("MODIFIED", second)
    table.apply("ADDED", other)
    assert told == [first, first, second, other]
    assert table.get("a", "ns") is second
    table.retain([second.metadata])
    assert told[-1] is other
    table.apply("DELETED", second)
    assert table.items == {}
