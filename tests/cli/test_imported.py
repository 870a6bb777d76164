"""From kube-state-metrics to a trace."""

import pytest

from cloudai_cli import imported
from cloudai_cli.imported import Run, read_fleet, read_runs, to_trace
from cloudai_kube.errors import PrometheusError
from cloudai_kube.samples import Sample
from cloudai_rts import traces

NOW = 1_700_000_000.0


class Canned:
    """kube-state-metrics of a few pods; answers by the metric's name."""

    def __init__(self, **metrics: list[Sample]) -> None:
        self.metrics = metrics
        self.moments: set[float | None] = set()

    def ask(self, query: str, at: float | None = None) -> list[Sample]:
        """The samples of the metric that the query names."""
        self.moments.add(at)
        assert "RANGE" not in query
        return next((found for name, found in self.metrics.items() if f"({name}" in query or f" {name}" in query), [])


def of(pod: str, value: float, **labels: str) -> Sample:
    """A sample of a pod."""
    return Sample({"namespace": "ml", "pod": pod, "uid": f"uid-{pod}", **labels}, value)


def pods() -> Canned:
    """Four runs of one CronJob's Jobs, one that failed, one whose times contradict each other."""
    names = [f"train-2890{i}-bcd2{i + 4}" for i in range(4)]
    everyone = [*names, "failed", "odd"]
    return Canned(
        kube_pod_created=[of(name, NOW - 5000 + 100 * i) for i, name in enumerate(everyone)],
        kube_pod_start_time=[of(name, NOW - 4990 + 100 * i) for i, name in enumerate(everyone)],
        kube_pod_completion_time=[
            *[of(name, NOW - 4990 + 100 * i + (60 if i < 3 else 500)) for i, name in enumerate(names)],
            of("failed", NOW),
            of("odd", NOW - 9000),
        ],
        kube_pod_status_phase=[*[of(name, 1.0) for name in [*names, "odd"]], of("failed", 0.0)],
        kube_pod_owner=[of(name, 1.0, owner_kind="Job", owner_name=f"train-2890{i}") for i, name in enumerate(names)],
        kube_pod_container_resource_requests=[
            sample
            for name in names
            for sample in (
                of(name, 2.0, resource="cpu"),
                of(name, 2.0**32, resource="memory"),
                of(name, 1.0, resource="nvidia_com_gpu"),
            )
        ],
    )


def test_runs_day_by_day() -> None:
    """Those that succeeded, with one name for all runs of a workload; contradictions are counted."""
    source = pods()
    runs, dropped = read_runs(source, 3, NOW)
    assert [run.name for run in runs] == [f"ml/train-2890{i}-bcd2{i + 4}" for i in range(4)]
    assert {run.workload for run in runs} == {"ml/Job/train"}
    assert [run.seconds for run in runs] == [60.0, 60.0, 60.0, 500.0]
    assert dropped == 1
    assert source.moments == {NOW, NOW - 86_400.0, NOW - 2 * 86_400.0}


def test_a_trace_that_can_be_read_again() -> None:
    """Late is what took longer than twice what its like usually take, queue and all."""
    found = to_trace(read_runs(pods(), 1, NOW)[0], 2.0)
    assert found.late_share == 0.25
    again = traces.read_tasks(traces.write_tasks(found.tasks))
    assert [task.name for task in again] == [task.name for task in found.tasks]
    assert [task.arrival_s for task in again] == [0.0, 100.0, 200.0, 300.0]
    assert {(task.type, task.gpu, task.expected_runtime_s, task.user) for task in again} == {
        ("gpu-inference", 1, None, "ml")
    }
    assert {task.sla_multiplier for task in again} == {2.0}  # all of one workload, so its median is that of the type


def test_what_its_like_took_is_no_word_of_its_users() -> None:
    """It is known afterwards only: it sets the deadline, and no policy hears of it."""
    lengths = [("short", 10.0)] * 5 + [("long", 1000.0)] * 3
    runs = [
        Run(f"u{i}", f"n/{name}-{i}", f"n/Job/{name}", 0.0, 0.0, seconds, {"cpu": 1.0})
        for i, (name, seconds) in enumerate(lengths)
    ]
    tasks = to_trace(runs, 2.0).tasks
    assert {task.expected_runtime_s for task in tasks} == {None}
    assert {task.deadline_s for task in tasks} == {None}
    assert {task.sla_multiplier * 10.0 for task in tasks} == {20.0, 2000.0}  # times the median of the type


@pytest.mark.parametrize(
    ("name", "workload"),
    [
        ("Job/train-small", "Job/train-small"),
        ("Job/train-large", "Job/train-large"),
        ("Job/nightly-batch-28901234", "Job/nightly-batch"),
        ("Job/tune-x7k2p", "Job/tune"),
        ("ReplicaSet/web-6d4cf56db6", "ReplicaSet/web"),
        ("ml/sweep-12-zv9wq", "ml/sweep"),
    ],
)
def test_names_of_workloads(name: str, workload: str) -> None:
    """What Kubernetes adds goes, what people wrote stays: words have vowels."""
    assert imported.SERIAL.sub("", name) == workload


def test_few_of_a_kind_are_judged_by_their_type() -> None:
    """Two pods say nothing about a workload."""
    runs = [Run(f"u{i}", f"n/p{i}", f"n/Pod/p{i}", 0.0, 0.0, 10.0 * (i + 1), {"cpu": 1.0}) for i in range(5)]
    assert {task.sla_multiplier for task in to_trace(runs, 2.0).tasks} == {2.0}
    assert to_trace([], 2.0).tasks == []


def test_machines() -> None:
    """Names of resources are translated back; a machine without cores is none."""
    source = Canned(
        kube_node_status_allocatable=[
            Sample({"node": "a", "resource": "cpu"}, 8.0),
            Sample({"node": "a", "resource": "memory"}, 1024.0),
            Sample({"node": "a", "resource": "nvidia_com_gpu"}, 4.0),
            Sample({"node": "a", "resource": "ephemeral_storage"}, 99.0),
            Sample({"node": "b", "resource": "memory"}, 1.0),
        ],
        kube_node_labels=[Sample({"node": "a", "label_nvidia_com_gpu_product": "NVIDIA-A100"}, 1.0)],
    )
    nodes, mixed = read_fleet(source, NOW)
    assert not mixed
    assert [(node.node, node.cpu, node.gpu, node.gpu_product, node.storage_bytes) for node in nodes] == [
        ("a", 8.0, 4, "NVIDIA-A100", 99)
    ]
    assert traces.read_fleet(traces.write_fleet(nodes)) == nodes


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("nvidia_com_gpu", "nvidia.com/gpu"),
        ("nvidia_com_mig_1g_5gb", "nvidia.com/mig-1g.5gb"),
        ("ephemeral_storage", "ephemeral-storage"),
        ("habana_ai_gaudi", "habana.ai/gaudi"),
        ("aws_amazon_com_neuron", "aws.amazon.com/neuron"),
        ("google_com_tpu", "google.com/tpu"),
        ("cpu", "cpu"),
    ],
)
def test_names_of_resources(written: str, meant: str) -> None:
    """As kube-state-metrics writes them."""
    nodes = Canned(kube_node_status_allocatable=[Sample({"node": "a", "resource": written}, 1.0)])
    assert imported._resource(written) == meant  # noqa: SLF001  the translation alone
    assert read_fleet(nodes, NOW)[1] == []


def test_machines_with_slices() -> None:
    """Slices are the product of their machine; where there are several kinds of devices that is told."""
    amounts = {"a": {"nvidia_com_mig_1g_5gb": 7.0}, "b": {"nvidia_com_mig_1g_5gb": 2.0, "nvidia_com_mig_3g_20gb": 1.0}}
    samples = [
        Sample({"node": node, "resource": resource}, amount)
        for node, own in amounts.items()
        for resource, amount in {"cpu": 8.0, **own}.items()
    ]
    nodes, mixed = read_fleet(Canned(kube_node_status_allocatable=samples), NOW)
    assert [(node.gpu, node.gpu_product) for node in nodes] == [
        (7, "nvidia.com/mig-1g.5gb"),
        (2, "nvidia.com/mig-1g.5gb"),
    ]
    assert mixed == ["b"]


def test_a_pod_that_runs_over_midnight() -> None:
    """Yesterday it had not succeeded yet, today it has: what was seen last counts."""

    class TwoDays(Canned):
        def ask(self, query: str, at: float | None = None) -> list[Sample]:
            today = at is None or at > NOW - 3600
            if "kube_pod_status_phase" in query:
                return [of("long", 1.0 if today else 0.0)]
            if "kube_pod_completion_time" in query:
                return [of("long", NOW - 1000)] if today else []
            return super().ask(query, at)

    source = TwoDays(kube_pod_created=[of("long", NOW - 70_000)], kube_pod_start_time=[of("long", NOW - 69_000)])
    runs, dropped = read_runs(source, 2, NOW)
    assert ([run.seconds for run in runs], dropped) == ([68_000.0], 0)


def test_values_that_are_none_are_left_out() -> None:
    """NaN is no time."""
    source = Canned(kube_pod_completion_time=[of("x", float("nan"))], kube_pod_start_time=[of("x", NOW - 5)])
    assert read_runs(source, 1, NOW) == ([], 0)


def test_labels_of_the_scrape_target() -> None:
    """Where they hide the pods' own, `exported_*` tells them apart; without those the import is refused."""
    series = {
        name: [
            Sample(
                {
                    "namespace": "monitoring",
                    "pod": "ksm-0",
                    "exported_namespace": sample.labels["namespace"],
                    "exported_pod": sample.labels["pod"],
                    "uid": sample.labels["uid"],
                    **{k: v for k, v in sample.labels.items() if k.startswith("owner") or k == "resource"},
                },
                sample.value,
            )
            for sample in samples
        ]
        for name, samples in pods().metrics.items()
    }
    assert read_runs(Canned(**series), 1, NOW) == read_runs(pods(), 1, NOW)
    for samples in series.values():
        for sample in samples:
            del sample.labels["exported_namespace"], sample.labels["exported_pod"]
    with pytest.raises(PrometheusError, match="set honor_labels: true"):
        read_runs(Canned(**series), 1, NOW)


def test_a_prometheus_of_several_clusters() -> None:
    """It is refused with what to write."""
    source = Canned(kube_node_status_allocatable=[Sample({"cluster": name}, 1.0) for name in ("east", "west")])
    with pytest.raises(PrometheusError, match=r"2 clusters \(east, west\); choose one with --matchers"):
        imported.check(source, NOW)
    imported.check(Canned(kube_node_status_allocatable=[Sample({"cluster": "east"}, 1.0)]), NOW)
