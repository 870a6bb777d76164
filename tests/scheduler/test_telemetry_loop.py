"""Measured load: what was placed after the sample counts, what is stale does not; GPU errors close nodes."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from cloudai_kube.errors import PrometheusError
from cloudai_kube.samples import Sample
from cloudai_kube.telemetry import NodeReading, Snapshot
from cloudai_rts.contract import CPU
from cloudai_scheduler.cluster.rejections import Rejections
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.telemetry_loop import TelemetryLoop

Maker = Any  # the fixture of conftest.py
GPU = "nvidia.com/gpu"
MIG = "nvidia.com/mig-1g.5gb"


class Nobody:
    """A source that is never asked, and a recorder that keeps reasons."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def ask(self, _query: str) -> list[Sample]:
        """Nothing."""
        return []

    def warning(self, _subject: object, reason: str, _message: str) -> None:
        """Keep."""
        self.reasons.append(reason)


class Rig:
    """One node of four cores and a loop whose time is given."""

    def __init__(self, make: Maker) -> None:
        self.now = 1000.0
        self.state = ClusterState()
        self.state.put_node(make.node("n", cpu="4"))
        self.nobody = Nobody()
        self.rejections = Rejections()
        metrics = SchedulerMetrics(CollectorRegistry())
        self.loop = TelemetryLoop(
            self.nobody,
            self.state,
            self.rejections,
            self.nobody,  # type: ignore[arg-type]  # only `warning` is called
            metrics,
            lambda: self.now,
        )

    def request(self, millicores: int) -> None:
        """A pod is placed."""
        self.state.fleet.request(0, {CPU: millicores})

    def measured(self, cores: float | None, age: float = 5.0, **xids: float) -> None:
        """A snapshot arrives whose sample is `age` seconds old."""
        self.loop.apply(Snapshot({"n": NodeReading(sampled_at=self.now - age, cpu=cores, xids=xids)}))

    def load(self) -> float:
        """What decisions see."""
        return float(self.state.fleet.load()[0])


def test_use_beyond_requests_counts(make: Maker) -> None:
    """One core requested, three used, of four."""
    rig = Rig(make)
    rig.request(1000)
    rig.loop.remember()
    rig.now += 100
    rig.measured(3.0)
    assert rig.load() == pytest.approx(0.75)


def test_a_pod_placed_after_the_sample_counts_at_once(make: Maker) -> None:
    """The sample knows nothing of it, although it arrives later: one core used and one core just requested."""
    rig = Rig(make)
    rig.request(1000)
    rig.loop.remember()
    rig.now += 100
    rig.request(1000)  # after the sample was taken
    rig.measured(1.0, age=20.0)
    assert rig.load() == pytest.approx(0.5)
    rig.request(1000)  # and after it arrived
    assert rig.load() == pytest.approx(0.75)


def test_what_was_placed_long_before_the_sample_counts_once(make: Maker) -> None:
    """It is in the measured use already."""
    rig = Rig(make)
    rig.loop.remember()
    rig.request(2000)
    rig.loop.remember()
    for _ in range(8):
        rig.now += 15
        rig.loop.remember()
    rig.measured(2.0)
    assert rig.load() == pytest.approx(0.5)


def test_without_a_fresh_value_requests_count(make: Maker) -> None:
    """Nothing measured, or nothing any more."""
    rig = Rig(make)
    rig.request(1000)
    rig.loop.remember()
    rig.measured(3.0)
    rig.measured(None)
    assert rig.load() == pytest.approx(0.25)


def test_a_node_that_joins_does_not_shift_the_others(make: Maker) -> None:
    """The memory belongs to slots; after a change of the fleet it is begun anew."""
    rig = Rig(make)
    rig.loop.remember()
    rig.state.put_node(make.node("m"))
    rig.measured(2.0)
    assert rig.load() == pytest.approx(0.5)


def test_a_fatal_gpu_error_closes_once(make: Maker) -> None:
    """A gauge that keeps its value is news once; a harmless code is none; a second GPU's error is. So are slices."""
    rig = Rig(make)
    rig.state.put_node(make.node("n", cpu="4", allocatable={GPU: "1", MIG: "7"}))
    rig.loop.remember()
    for xids, reasons in (({"a": 13.0}, 0), ({"a": 79.0}, 1), ({"a": 79.0}, 1), ({"a": 79.0, "b": 48.0}, 2)):
        rig.measured(1.0, **xids)
        assert len(rig.nobody.reasons) == reasons
    for resource, closed in ((GPU, {"n"}), (MIG, {"n"}), ("cpu", set())):
        assert rig.rejections.closed_nodes({resource}, "", rig.now) == closed


@pytest.mark.parametrize(("devices", "load"), [(4.0, 0.75), (5.0, 0.75), (3.0, 0.25), (None, 0.25)])
def test_a_gpu_that_says_nothing_is_not_idle(make: Maker, devices: float | None, load: float) -> None:
    """Four GPUs, each shared by two: if one of them is silent nobody knows how busy they are, and requests count."""
    rig = Rig(make)
    labels = {"nvidia.com/gpu.sharing-strategy": "time-slicing", "nvidia.com/gpu.replicas": "2"}
    rig.state.put_node(make.node("n", cpu="4", labels=labels, allocatable={GPU: "8"}))
    rig.state.fleet.request(0, {rig.state.nodes["n"].shared_gpu_resource: 2})
    rig.loop.remember()
    reading = NodeReading(sampled_at=rig.now - 5.0, cpu=0.0, gpu=3.0, devices=devices)
    found = Snapshot({"n": reading})
    rig.loop.apply(found)
    assert rig.load() == pytest.approx(load)
    assert found.dropped["missing GPU"] == (load < 0.5)


def test_a_stale_series_says_nothing_about_when_the_others_were_sampled(make: Maker) -> None:
    """One node is silent for long: a pod that was placed before the other's sample is not counted twice."""
    rig = Rig(make)
    rig.state.put_node(make.node("silent", cpu="4"))
    rig.loop.remember()
    rig.now += 100.0
    rig.request(1000)
    rig.loop.remember()
    rig.now += 60.0
    old = NodeReading(sampled_at=rig.now - 500.0)
    rig.loop.apply(Snapshot({"n": NodeReading(sampled_at=rig.now - 5.0, cpu=1.0), "silent": old}))
    assert rig.state.fleet.load()[0] == pytest.approx(0.25)


@pytest.mark.parametrize(("sharing", "load"), [("time-slicing", 0.75), ("none", 0.25)])
def test_busy_gpus_count_where_pods_share_them(make: Maker, sharing: str, load: float) -> None:
    """Two GPUs in four slices each, 1.5 of them busy: three quarters; a whole GPU says nothing of its neighbour."""
    rig = Rig(make)
    labels = {"nvidia.com/gpu.sharing-strategy": sharing, "nvidia.com/gpu.replicas": "4"}
    rig.state.put_node(make.node("n", cpu="4", labels=labels, allocatable={GPU: "8"}))
    rig.state.fleet.request(0, {GPU: 1})
    rig.loop.remember()
    rig.now += 100
    rig.loop.apply(Snapshot({"n": NodeReading(sampled_at=rig.now - 5.0, cpu=1.0, gpu=1.5, devices=2.0)}))
    assert rig.load() == pytest.approx(load)
    rig.state.fleet.request(0, {GPU: 1})  # after the sample
    assert rig.load() == pytest.approx(load + 0.125 * (sharing != "none"))
    rig.loop.apply(Snapshot())
    assert rig.load() == pytest.approx(0.25 if sharing != "none" else 0.0)


class Broken(Nobody):
    """A source that fails as a test says; after three questions it says that it was asked."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.questions, self.asked = error, 0, asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def ask(self, _query: str) -> list[Sample]:
        """Fail."""
        self.questions += 1
        if self.questions == 3:
            self.loop.call_soon_threadsafe(self.asked.set)
        raise self.error


@pytest.mark.parametrize("error", [PrometheusError("away"), OverflowError("a label that nobody foresaw")])
def test_whatever_goes_wrong_the_loop_goes_on(make: Maker, error: Exception) -> None:
    """It asks again, counts the failure, and what was measured long ago is no longer believed."""

    async def three_rounds() -> Rig:
        rig = Rig(make)
        rig.request(1000)
        rig.loop.remember()
        rig.measured(3.0)
        rig.loop.source, rig.loop.interval_seconds = Broken(error), 0.0
        running = asyncio.create_task(rig.loop.run())
        await asyncio.wait_for(rig.loop.source.asked.wait(), 10)
        assert not running.done()
        running.cancel()
        return rig

    assert asyncio.run(three_rounds()).load() == pytest.approx(0.25)


def test_a_missing_exporter_is_named_once(make: Maker, caplog: pytest.LogCaptureFixture) -> None:
    """Without DCGM on a cluster with GPUs; not where there are none, and again after it has been there."""
    rig = Rig(make)

    def told() -> list[str]:
        names = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return [name.partition("series of ")[2].partition(" that")[0] for name in names]

    rig.measured(1.0)
    assert told() == []
    rig.state.put_node(make.node("g", allocatable={"nvidia.com/gpu": "4"}))
    rig.measured(1.0)
    rig.measured(1.0)
    assert told() == ["the DCGM exporter"]
    rig.measured(1.0, gpu0=0.0)
    assert told() == []
    rig.measured(None)
    assert told() == ["node-exporter", "the DCGM exporter"]
