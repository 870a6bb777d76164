"""Metrics to nodes: both label styles, both generations of names, and everything that must not be believed."""

import math
import random

import pytest

from cloudai_kube.errors import PrometheusError
from cloudai_kube.samples import Sample
from cloudai_kube.series import NodeNames
from cloudai_kube.telemetry import GPU_BUSY, LIMITS, OF_TWO_CLUSTERS, POD_INFO, QUERIES, Snapshot, read

NOW = 1_000_000.0
NAMES = NodeNames(frozenset({"a", "b"}), {"10.0.0.2": "b"})


class Canned:
    """Answers by metric."""

    def __init__(self, **answers: list[Sample]) -> None:
        self.answers = {QUERIES[name]: samples for name, samples in answers.items()}
        self.asked: list[str] = []
        self.failing = ""

    def ask(self, query: str) -> list[Sample]:
        """What was prepared."""
        self.asked.append(query)
        if query == self.failing:
            raise PrometheusError("too much")
        return self.answers.get(query, [])


def one(value: float, **labels: str) -> list[Sample]:
    """One sample."""
    return [Sample(labels, value)]


def snapshot(**answers: list[Sample]) -> Snapshot:
    """The snapshot made of answers; both nodes were sampled a moment ago unless said otherwise."""
    fresh = [Sample({"node": name}, NOW - 5) for name in ("a", "b")]
    return read(Canned(**{"sampled_at": fresh, **answers}), NAMES, NOW)


@pytest.mark.parametrize(
    "labels",
    [
        {"node": "b"},
        {"nodename": "b", "instance": "10.9.9.9:9100"},
        {"instance": "b:9100"},
        {"instance": "10.0.0.2:9100"},
        {"Hostname": "b"},
        {"hostname": "b"},
    ],
)
def test_whose_series_it_is(labels: dict[str, str]) -> None:
    """By label, by host name, by address."""
    assert snapshot(cpu=one(3.5, **labels)).nodes["b"].cpu == 3.5


def test_an_exporter_in_a_pod_of_its_own() -> None:
    """kube-state-metrics knows on which node it runs; that is asked for only where it has to be."""
    source = Canned(cpu=one(3.5, node="a"), watts=one(70.0, instance="10.8.0.7:9400", namespace="gpu", pod="dcgm-x"))
    source.answers[POD_INFO] = [
        Sample({"pod_ip": "10.8.0.7", "node": "b"}, 1.0),
        Sample({"pod_ip": "10.8.0.9", "node": "stranger"}, 1.0),
        Sample({"pod_ip": "10.0.0.2", "node": "a"}, 1.0),
    ]
    found = read(source, NAMES, NOW)
    assert found.nodes["b"].watts == 70.0
    assert dict(found.names.addresses) == {"10.8.0.7": "b", "10.0.0.2": "b"}
    assert source.asked.count(POD_INFO) == 1
    source = Canned(cpu=one(3.5, instance="10.0.0.2:9100"), sampled_at=one(NOW, node="b"))
    assert read(source, NAMES, NOW).nodes["b"].cpu == 3.5
    assert POD_INFO not in source.asked


def test_addresses_that_say_nothing() -> None:
    """One that two nodes' pods had; a target's own node is not the pod's; without an answer the names must do."""
    rows = [
        Sample({"pod_ip": "10.8.0.7", "node": "a"}, 1.0),
        Sample({"pod_ip": "10.8.0.7", "node": "b"}, 1.0),
        Sample({"pod_ip": "10.8.0.8", "node": "a", "exported_node": "b"}, 1.0),
    ]
    assert dict(NAMES.with_pods([row.labels for row in rows]).addresses) == {"10.8.0.8": "b", "10.0.0.2": "b"}
    source = Canned(watts=[*one(70.0, instance="10.8.0.9:9400"), *one(50.0, node="a")])
    source.failing = POD_INFO
    assert read(source, NAMES, NOW).nodes["a"].watts == 50.0


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"cpu": one(1.0, instance="stranger:9100")}, "unmatched"),
        ({"cpu": one(-1.0, node="a")}, "impossible"),
        ({"gpu": one(4_294_967_295.0, node="a")}, "impossible"),
        ({"watts": one(1e9, node="a")}, "impossible"),
        ({"cpu": one(1.0, node="a"), "sampled_at": one(NOW - 400, node="a")}, "stale"),
        ({"cpu": one(1.0, node="a"), "sampled_at": one(NOW + 4000, node="a")}, "stale"),
        ({"cpu": [*one(1.0, node="a"), *one(2.0, node="a", job="other")]}, "duplicate"),
    ],
)
def test_what_is_not_believed(answers: dict[str, list[Sample]], reason: str) -> None:
    """Dropped and counted; never taken for zero."""
    found = snapshot(**answers)
    assert found.dropped[reason] == 1
    reading = found.nodes.get("a")
    if reason != "duplicate":
        assert reading is None or (reading.cpu, reading.gpu, reading.watts) == (None, None, None)


def test_nothing_at_all() -> None:
    """An empty answer is nothing, not zero load."""
    assert read(Canned(), NAMES, NOW).nodes == {}
    both = snapshot(cpu=one(1.0, node="a"), memory=one(1.0, node="a"))
    assert math.isclose(both.usable_share(2), 0.5)
    assert snapshot(cpu=one(1.0, node="a")).usable_share(2) == 0.0


def test_series_of_two_clusters() -> None:
    """Same addresses by design: nothing is believed of that node, and it is told; the other node stays."""
    cores = [
        Sample({"instance": "10.0.0.2:9100", "cluster": "east"}, 0.3),
        Sample({"instance": "10.0.0.2:9100", "cluster": "west"}, 15.5),
        Sample({"node": "a", "cluster": "east"}, 1.0),
    ]
    found = snapshot(cpu=cores)
    assert found.dropped[OF_TWO_CLUSTERS] == 1
    assert {name: reading.cpu for name, reading in found.nodes.items()} == {"a": 1.0}


def test_of_two_figures_for_one_device_the_larger_one_counts() -> None:
    """A MIG slice has no utilisation of its own: the old name says 0 there, the profiling one what it does."""
    found = snapshot(gpu=[*one(0.0, node="a"), *one(0.7, node="a", figure="prof")])
    assert found.nodes["a"].gpu == 0.7
    assert " or " in GPU_BUSY
    assert all(name in GPU_BUSY for name in ("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_GR_ENGINE_ACTIVE"))


def test_errors_by_gpu() -> None:
    """One GPU's error does not hide another's."""
    samples = [Sample({"node": "a", "UUID": "G1"}, 154.0), Sample({"node": "a", "UUID": "G2"}, 79.0)]
    assert snapshot(xid=samples).nodes["a"].xids == {"G1": 154.0, "G2": 79.0}


RUBBISH = {
    "NaN": math.nan,
    "infinite": math.inf,
    "infinite and negative": -math.inf,
    "overflow": 2.0**63,
    "negative": -1.0,
    "missing": None,
}
FLEET = [f"n{number}" for number in range(20)]
DRAWS = 100


@pytest.mark.parametrize("kind", [*RUBBISH, "stale", "duplicates", "other nodes"])
def test_a_hundred_draws_of_rubbish(kind: str) -> None:
    """Whatever is wrong of whichever nodes: what is left lies within bounds, and nothing spoilt is taken for zero."""
    names = NodeNames(frozenset(FLEET), {})
    for seed in range(DRAWS):
        rng = random.Random(seed)
        answers = {metric: [Sample({"node": name}, rng.uniform(0.1, 1.0)) for name in FLEET] for metric in QUERIES}
        answers["sampled_at"] = [Sample({"node": name}, NOW - rng.uniform(0, 20)) for name in FLEET]
        spoilt = set(rng.sample(FLEET, rng.randint(1, len(FLEET))))
        metric = "sampled_at" if kind == "stale" else rng.choice([name for name in QUERIES if name != "xid"])
        whole = answers[metric]
        good = [one for one in whole if one.labels["node"] not in spoilt]
        bad = [one for one in whole if one.labels["node"] in spoilt]
        if kind == "duplicates":
            answers[metric] = [*whole, *(Sample({**one.labels, "job": "b"}, one.value * 0.5) for one in bad)]
        elif kind == "other nodes":
            answers[metric] = [*good, *(Sample({"node": f"stranger-{one.labels['node']}"}, one.value) for one in bad)]
        elif kind == "stale":
            answers[metric] = [*good, *(Sample(one.labels, NOW - 400.0) for one in bad)]
        else:
            value = RUBBISH[kind]
            answers[metric] = [*good, *(Sample(one.labels, value) for one in bad if value is not None)]
        found = read(Canned(**answers), names, NOW)
        for name, reading in found.nodes.items():
            left = {each: getattr(reading, each) for each in QUERIES if each != "xid"}
            assert all(value is None or 0.0 <= value <= LIMITS[each] for each, value in left.items()), (seed, name)
            if name in spoilt and kind not in {"duplicates", "stale"}:
                assert left[metric] is None, (seed, name, metric)
        lost = kind != "duplicates" and metric in {"cpu", "memory", "sampled_at"}
        known = len(FLEET) - len(spoilt) if lost else len(FLEET)
        assert found.usable_share(len(FLEET)) == pytest.approx(known / len(FLEET))
        assert bool(found.dropped) == (kind != "missing" or metric == "sampled_at"), seed
