"""Task pods go to the cluster's own scheduler while ours gives no sign of life."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.api_server import running, status, until

from cloudai_kube.events import Recorder
from cloudai_operator.break_glass import BreakGlass, Pulse
from cloudai_operator.executor import Executor
from cloudai_operator.metrics import OperatorMetrics
from cloudai_operator.reconcile import Rules
from cloudai_operator.workers import Workers

WorldClass = Any  # the fixture of conftest.py
LEASES = "/apis/coordination.k8s.io/v1/leases"


@pytest.mark.parametrize(
    ("looks", "silent"),
    [
        ([("a", 0)], False),
        ([("a", 0), ("a", 59)], False),
        ([("a", 0), ("a", 60)], True),
        ([("a", 0), ("b", 59), ("b", 100)], False),
        ([("a", 0), ("a", 60), ("b", 61)], False),
        ([("no Lease", 5), ("no Lease", 65)], True),
    ],
)
def test_silence_is_a_lease_that_does_not_change(looks: list[tuple[str, float]], silent: bool) -> None:
    """Whatever the Lease says: only changes count, by our own clock."""
    pulse = Pulse(60.0)
    assert [pulse.is_silent(state, at) for state, at in looks][-1] is silent


async def test_the_workers_are_told_both_ways() -> None:
    """Silent for too long, and alive again; an API server that does not answer changes nothing."""
    async with running() as (server, transport):
        metrics = OperatorMetrics(CollectorRegistry())
        workers = Workers(
            Executor(transport, Recorder(transport, "cloudai-operator"), metrics), Rules("cloudai-scheduler"), metrics
        )
        lease = {"metadata": {"name": "cloudai-scheduler", "namespace": "ns"}, "spec": {"renewTime": "1"}}
        server.put(LEASES, lease)
        glass = BreakGlass(transport, workers, "ns", 0.2, asyncio.get_running_loop().time, 0.02)
        looking = asyncio.create_task(glass.run())
        await until(lambda: workers.rules.stand_in == "default-scheduler")
        server.fail("leases", lambda _: status(500, "Broken"), times=3)
        server.put(LEASES, {**lease, "spec": {"renewTime": "2"}})
        await until(lambda: workers.rules.stand_in == "")
        looking.cancel()


def test_a_waiting_pod_is_handed_over_and_nothing_is_counted(world: WorldClass) -> None:
    """The pod without a node is deleted, the next names the other scheduler; no failure and no disruption."""
    one = world()
    one.settle()
    one.rules = Rules("cloudai-scheduler", stand_in="default-scheduler")
    one.settle()
    (pod,) = one.pods.values()
    assert pod.spec.schedulerName == "default-scheduler"
    assert "BreakGlass" in one.notices
    assert (one.task.status.failed, one.task.status.disrupted, one.task.status.attemptCount) == (0, 0, 2)


def test_a_bound_pod_stays(world: WorldClass) -> None:
    """Only pods without a node wait for a scheduler."""
    one = world()
    one.settle()
    one.bind()
    one.settle()
    one.rules = Rules("cloudai-scheduler", stand_in="default-scheduler")
    one.settle()
    assert "BreakGlass" not in one.notices
    assert len(one.pods) == 1


def test_what_was_handed_over_stays_where_it_is(world: WorldClass) -> None:
    """Our scheduler is back: the pod of the other one is not taken away from it."""
    one = world()
    one.rules = Rules("cloudai-scheduler", stand_in="default-scheduler")
    one.settle()
    one.rules = Rules("cloudai-scheduler")
    one.settle()
    assert [pod.spec.schedulerName for pod in one.pods.values()] == ["default-scheduler"]
