"""Observe mode: the binds of another scheduler, judged."""

from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from tests.scheduler.live import a_node, a_pod

from cloudai_kube.events import Recorder
from cloudai_kube.objects import Node, Pod
from cloudai_scheduler.binding import Binder
from cloudai_scheduler.conditions import ConditionWriter
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.observer import Observer
from cloudai_scheduler.scheduler import Scheduler


class Rig:
    """A scheduler that serves nobody, and what it sees."""

    def __init__(self, *nodes: str) -> None:
        nowhere: Any = None  # nothing is ever sent
        metrics = SchedulerMetrics(CollectorRegistry())
        recorder = Recorder(nowhere, "x", may_send=lambda: False)
        self.scheduler = Scheduler(
            "x", Binder(nowhere, "x"), recorder, ConditionWriter(nowhere), metrics, names=frozenset()
        )
        self.observer = Observer(self.scheduler.intake, self.scheduler.surroundings, metrics, lambda: 0.0)
        for name in nodes:
            self.scheduler.intake.apply_node("ADDED", msgspec.convert(a_node(name), Node))

    def see(self, name: str, node: str = "", **spec: Any) -> None:
        """An event of a pod of the default scheduler."""
        body = a_pod(name, spec={"schedulerName": "default-scheduler", "nodeName": node, **spec})
        body["metadata"]["uid"] = name
        self.observer.apply("MODIFIED", msgspec.convert(body, Pod))

    def bind(self, name: str, node: str, **spec: Any) -> tuple[str, str]:
        """A pod that waits and is bound. Returns the result and our words."""
        self.see(name, **spec)
        self.see(name, node, **spec)
        last = self.observer.report()["last"][-1]
        return last["result"], last["against"]


def test_each_bind_is_compared_with_ours() -> None:
    """The same node, another feasible one; the pod counts from then on."""
    rig = Rig("a", "b")
    results = {rig.bind("p", "a")[0], rig.bind("q", "b")[0], rig.bind("r", "b")[0]}
    assert results <= {"same", "other"}
    assert rig.scheduler.state.pods.keys() == {"p", "q", "r"}
    report = rig.observer.report()
    assert (report["bound"], report["judged"], report["inOurFeasibleSet"]) == (3, 3, 3)


@pytest.mark.parametrize(
    ("spec", "against"),
    [
        ({"nodeSelector": {"zone": "x"}}, "node(s) didn't match Pod's node affinity/selector"),
        ({"containers": [{"name": "c", "resources": {"requests": {"cpu": "99"}}}]}, "Insufficient cpu"),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
            'persistentvolumeclaim "c" not found',
        ),
    ],
)
def test_a_node_that_we_would_not_have_taken(spec: dict[str, Any], against: str) -> None:
    """The record says which of our filters is against it."""
    rig = Rig("a")
    assert rig.bind("p", "a", **spec) == ("outside", against)
    assert rig.observer.report()["inOurFeasibleSet"] == 0
    assert rig.bind("q", "unknown") == ("outside", "the node is not known")


def test_what_is_not_judged() -> None:
    """Pods that were bound before, that were deleted, and those that ask for what we do not support."""
    rig = Rig("a")
    rig.see("old", "a")
    rig.see("gone")
    rig.observer.apply("DELETED", msgspec.convert({"metadata": {"name": "gone", "uid": "gone"}}, Pod))
    rig.see("gone", "a")
    assert rig.observer.report()["bound"] == 0
    result, text = rig.bind("claims", "a", resourceClaims=[{"name": "gpu"}])
    assert (result, text) == ("not_judged", "not supported: spec.resourceClaims")
    result, text = rig.bind("odd", "a", containers=[{"name": "c", "resources": {"requests": {"cpu": "odd"}}}])
    assert result == "not_judged"
    assert "no quantity" in text
    assert rig.observer.report()["judged"] == 0
