"""Observe mode: the binds of another scheduler, judged."""

import asyncio
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from tests.scheduler.live import a_node, a_pod

from cloudai_kube.events import Recorder
from cloudai_kube.objects import Node, Pod
from cloudai_scheduler.binding import Binder
from cloudai_scheduler.conditions import ConditionWriter
from cloudai_scheduler.filters import unsupported
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.observer import CONFIRM_SECONDS, LISTED, Observer
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
        self.now = 0.0
        self.observer = Observer(self.scheduler.intake, self.scheduler.surroundings, metrics, lambda: self.now)
        for name in nodes:
            self.scheduler.intake.apply_node("ADDED", msgspec.convert(a_node(name), Node))

    def see(self, name: str, node: str = "", **spec: Any) -> None:
        """An event of a pod of the default scheduler."""
        body = a_pod(name, spec={"schedulerName": "default-scheduler", "nodeName": node, **spec})
        body["metadata"]["uid"] = name
        self.observer.apply("MODIFIED", msgspec.convert(body, Pod))

    def look_again(self) -> dict[str, Any]:
        """A while later: the last record."""
        self.now += CONFIRM_SECONDS
        asyncio.run(self.observer.confirm())
        last: dict[str, Any] = self.observer.report()["last"][-1]
        return last

    def bind(self, name: str, node: str, **spec: Any) -> tuple[str, str]:
        """A pod that waits and is bound. Returns the result, after a second look where it needs one, and our words."""
        self.see(name, **spec)
        self.see(name, node, **spec)
        last = self.look_again()
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
    assert rig.bind("q", "unknown") == ("not_judged", "pod or node was gone before a second look")


def put(rig: Rig, name: str, **spec: Any) -> None:
    """A node as it is now."""
    rig.scheduler.intake.apply_node("MODIFIED", msgspec.convert({**a_node(name), "spec": spec}, Node))


def test_watches_that_tell_of_a_bind_before_its_reason() -> None:
    """The taint was gone, and the node was there, when the other scheduler looked: a second look sees that too."""
    rig = Rig("a")
    put(rig, "a", taints=[{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
    rig.see("p")
    rig.see("p", "a")
    rig.see("q")
    rig.see("q", "new")
    assert rig.observer.report()["judged"] == 0
    put(rig, "a")
    put(rig, "new")
    rig.look_again()
    report = rig.observer.report()
    assert (report["judged"], report["outside"], report["toBeLookedAtAgain"]) == (2, 0, 0)


def test_pods_whose_binds_arrive_in_another_order() -> None:
    """Three that spread, decided one after the other, bound at once: the last one's bind may be seen before others'."""
    rig = Rig("a", "b", "c")
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    constraint = {**spread, "labelSelector": {}}
    for name in ("a", "b"):
        labelled = {**a_node(name), "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}
        rig.scheduler.intake.apply_node("MODIFIED", msgspec.convert(labelled, Node))
    for pod in ("p1", "p2", "p3"):
        rig.see(pod, topologySpreadConstraints=[constraint])
    for pod, node in (("p1", "a"), ("p3", "a"), ("p2", "b")):
        rig.see(pod, node, topologySpreadConstraints=[constraint])
    rig.look_again()
    report = rig.observer.report()
    assert (report["judged"], report["outside"]) == (3, 0)


def test_a_node_that_was_full_stays_outside_though_others_came_later() -> None:
    """Those bound since are taken away for the second look, those before are not."""
    rig = Rig("a")
    large = [{"name": "c", "resources": {"requests": {"cpu": "8"}}}]
    assert rig.bind("first", "a", containers=large)[0] == "same"
    rig.see("p", containers=large)
    rig.see("p", "a", containers=large)
    rig.see("later")
    rig.see("later", "a")
    rig.look_again()
    results = {record["name"]: record["result"] for record in rig.observer.report()["last"]}
    assert results["p"] == "outside"


def test_what_a_list_tells_is_not_judged() -> None:
    """The state at the bind is not known then; before all has been listed it is not known either."""
    rig = Rig("a")
    rig.see("p")
    body = a_pod("p", spec={"schedulerName": "default-scheduler", "nodeName": "a"})
    body["metadata"]["uid"] = "p"
    rig.observer.apply(LISTED, msgspec.convert(body, Pod))
    assert rig.observer.report()["last"][-1]["against"] == "bound while the watch was broken"
    rig.observer.is_synced = lambda: False
    assert rig.bind("q", "a") == ("not_judged", "bound before all had been listed")


def test_pods_that_vanished_while_the_watch_was_broken_are_forgotten() -> None:
    """Else they would be remembered for ever."""
    rig = Rig("a")
    for number in range(100):
        rig.see(f"p{number}")
    rig.observer.retain([])
    assert not rig.observer._waiting  # noqa: SLF001  that is what is tested


def test_fields_that_nobody_knows_are_seen_of_every_schedulers_pods() -> None:
    """In observe mode none of the names is ours."""
    content = b'{"metadata":{"name":"p"},"spec":{"schedulerName":"other","gangOf":3}}'
    assert unsupported.Decode(None)(content).unread == ("spec.gangOf",)


def test_what_is_not_judged() -> None:
    """Pods that were bound before, that were deleted, and those that ask for what we do not support."""
    rig = Rig("a")
    old = a_pod("old", spec={"nodeName": "a"})
    rig.observer.apply(LISTED, msgspec.convert({**old, "metadata": {**old["metadata"], "uid": "old"}}, Pod))
    rig.see("gone")
    rig.observer.apply("DELETED", msgspec.convert({"metadata": {"name": "gone", "uid": "gone"}}, Pod))
    assert rig.observer.report()["bound"] == 0
    rig.see("unseen", "a")
    assert rig.observer.report()["last"][-1]["against"] == "nobody saw it wait"
    result, text = rig.bind("claims", "a", resourceClaims=[{"name": "gpu"}])
    assert (result, text) == ("not_judged", "not supported: spec.resourceClaims")
    result, text = rig.bind("odd", "a", containers=[{"name": "c", "resources": {"requests": {"cpu": "odd"}}}])
    assert result == "not_judged"
    assert "no quantity" in text
    assert rig.observer.report()["judged"] == 0
