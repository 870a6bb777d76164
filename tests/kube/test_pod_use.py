"""What pods really used: by namespace and name, and nothing that cannot be."""

from collections import Counter

from cloudai_kube import pod_use
from cloudai_kube.pod_use import QUERIES, PodUse
from cloudai_kube.samples import Sample
from cloudai_kube.telemetry import OF_TWO_CLUSTERS


class Canned:
    """Answers by figure."""

    def __init__(self, **answers: list[Sample]) -> None:
        self.answers = {QUERIES[name].replace("RANGE", "900s"): samples for name, samples in answers.items()}

    def ask(self, query: str) -> list[Sample]:
        """What was prepared."""
        assert "[900s:15s]" in query
        return self.answers.get(query, [])


def of(pod: str, value: float) -> Sample:
    """A figure of a pod."""
    return Sample({"namespace": "ml", "pod": pod}, value)


def test_use_of_pods() -> None:
    """CPU seconds with when that was; memory and GPUs where somebody measured them."""
    source = Canned(
        seconds=[of("p", 2.5), of("q", 9.0), of("wild", float("inf")), of("unseen", 1.0), Sample({"pod": "p"}, 1.0)],
        at=[of("p", 100.0), of("q", 200.0), of("wild", 100.0), Sample({"pod": "p"}, 100.0)],
        memory=[of("p", 4096.0), of("q", -1.0)],
        gpu=[of("p", 1.5), of("q", 4_294_967_295.0), of("idle", 0.0)],
    )
    dropped = Counter[str]()
    found = pod_use.read(source, 900.0, dropped)
    assert dropped == {"impossible": 3}
    assert found == {
        ("ml", "p"): PodUse(2.5, 100.0, 4096.0, 1.5),
        ("ml", "q"): PodUse(9.0, 200.0),
    }


def test_pods_of_two_clusters_are_nobodys() -> None:
    """Of one namespace and name: which of them is ours is not said."""

    def of_cluster(cluster: str, value: float) -> Sample:
        return Sample({"cluster": cluster, "namespace": "ml", "pod": "p"}, value)

    both = [of_cluster("east", 1.0), of_cluster("west", 900.0)]
    dropped = Counter[str]()
    found = pod_use.read(Canned(seconds=[*both, of("q", 2.0)], at=[*both, of("q", 100.0)]), 900.0, dropped)
    assert set(found) == {("ml", "q")}
    assert dropped[OF_TWO_CLUSTERS] == 1
    assert all("cluster" in query for query in QUERIES.values())
