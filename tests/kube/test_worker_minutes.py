"""Minutes of nodes: what they show, and what is left out."""

from collections import Counter

from cloudai_kube import worker_minutes
from cloudai_kube.samples import Series
from cloudai_kube.series import NodeNames
from cloudai_kube.telemetry import OF_TWO_CLUSTERS, QUERIES
from cloudai_kube.worker_minutes import Ended, Minute
from cloudai_rts.machine import Machine
from cloudai_rts.traces import FleetNode

NAMES = NodeNames(frozenset({"a", "b"}), {})
MACHINE = Machine(FleetNode("a", 8, 1000, 0, "", 0, 110), "8c-1g")


class Canned:
    """Answers what was prepared, by a word of the query."""

    def __init__(self, series: dict[str, list[Series]]) -> None:
        self.series = series
        self.asked: list[tuple[float, float, float]] = []

    def ask_range(self, query: str, begin: float, end: float, step_seconds: float) -> list[Series]:
        """Over time."""
        self.asked.append((begin, end, step_seconds))
        return self.series.get(query, self.series.get("throttle", []) if "REASONS" in query else [])


def series(node: str, *points: tuple[float, float]) -> Series:
    """Values of a node."""
    return Series({"instance": f"{node}:9100"}, list(points))


def test_one_figure_a_minute_and_node() -> None:
    """Of a minute speaks what is said at its end; impossible values and unknown nodes are left out and counted.

    Not all reasons slow a GPU down.
    """
    source = Canned(
        {
            QUERIES["cpu"]: [series("a", (120, 4.0), (180, 9.0), (240, -1.0)), series("stranger", (120, 1.0))],
            QUERIES["memory"]: [series("a", (120, 500.0), (180, 100.0))],
            QUERIES["watts"]: [series("a", (120, 300.0), (180, float("nan"))), series("b", (120, 1e9))],
            "throttle": [series("a", (120, 64.0), (180, 1.0)), series("b", (180, 4.0))],
        }
    )
    dropped = Counter[str]()
    found = worker_minutes.read(source, NAMES, 65.0, 185.0, dropped)
    assert dropped == {"impossible": 3, "unmatched": 1}
    assert set(source.asked) == {(120.0, 240.0, 60.0)}
    assert found == {
        ("a", 60): Minute(cpu=4.0, memory=500.0, watts=300.0, throttled_seconds=60.0),
        ("a", 120): Minute(cpu=9.0, memory=100.0),
    }


def test_what_the_database_gets() -> None:
    """Overloaded is a minute with load above 1; without memory the load is unknown and counts as none.

    A minute that nobody measured is there for the runs that ended in it.
    """
    minutes = {
        ("a", 60): Minute(cpu=4.0, memory=500.0),
        ("a", 120): Minute(cpu=9.0, memory=100.0),
        ("a", 180): Minute(cpu=9.0),
        ("gone", 60): Minute(cpu=1.0, memory=1.0),
    }
    ended = {("a", 120): Ended(2, 1, 90.0), ("a", 240): Ended(1, 0, 30.0), ("gone", 240): Ended(1, 0, 30.0)}
    found = worker_minutes.documents(minutes, [MACHINE], ended)
    assert [row["_id"] for row in found] == ["a/60", "a/120", "a/180", "a/240"]
    assert [row["load"] for row in found] == [0.5, 1.125, None, None]
    assert [row["total_s"] for row in found] == [60.0, 60.0, 60.0, 0.0]
    assert [row["overload_s"] for row in found] == [0.0, 60.0, 0.0, 0.0]
    assert [(row["tasks_run"], row["sla_violations"]) for row in found] == [(0, 0), (2, 1), (0, 0), (1, 0)]
    assert [row["total_runtime_s"] for row in found] == [0.0, 90.0, 0.0, 30.0]


def test_series_of_two_clusters_are_nobodys() -> None:
    """One Prometheus for several clusters: an address of both says nothing, and it is counted."""

    def of(cluster: str, value: float) -> Series:
        return Series({"cluster": cluster, "instance": "a:9100"}, [(120.0, value)])

    source, dropped = (
        Canned({QUERIES["cpu"]: [of("east", 0.3), of("west", 15.5), series("b", (120.0, 1.0))]}),
        Counter[str](),
    )
    found = worker_minutes.read(source, NAMES, 65.0, 185.0, dropped)
    assert [node for node, _ in found] == ["b"]
    assert dropped == {OF_TWO_CLUSTERS: 1, "impossible": 0}
