"""Events of pods into the queue."""

import msgspec
import pytest
from tests.api_server import until
from tests.scheduler.live import PODS, a_pod, cluster

from cloudai_kube import timestamp
from cloudai_kube.objects import Pod
from cloudai_scheduler.podclass import PodClass


async def test_a_restart_renews_nobodys_patience() -> None:
    """A pod waits since its creation, also where the scheduler has just started; one with gates since the last fell."""
    async with cluster() as here:
        created = timestamp.whole_seconds(here.scheduler.clock() - 3600)
        old = {"creationTimestamp": created}
        here.server.put(PODS, a_pod("old", metadata=old))
        here.server.put(PODS, a_pod("gated", metadata=old, spec={"schedulingGates": [{"name": "g"}]}))
        await until(lambda: "uid-gated" in here.scheduler.intake.gated and here.scheduler.queue.entries)
        assert here.scheduler.queue.entries["uid-old"].enqueued == timestamp.parse(created)
        here.server.put(PODS, a_pod("gated", metadata={**old, "uid": "uid-gated"}))
        await until(lambda: "uid-gated" in here.scheduler.queue.entries)
        assert here.scheduler.clock() - here.scheduler.queue.entries["uid-gated"].enqueued < 60


async def test_a_parked_pod_that_fails_again_stays_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried with the others, which go on; once it can be handled it is placed."""
    async with cluster("a") as here:
        intake, real = here.scheduler.intake, here.scheduler.intake.classes.of

        def of(pod: Pod) -> PodClass:
            if pod.metadata.name == "bad":
                raise ZeroDivisionError("as any bug")
            return real(pod)

        monkeypatch.setattr(type(intake.classes), "of", lambda _table, pod: of(pod))
        here.server.put(PODS, a_pod("bad"))
        here.server.put(PODS, a_pod("waits"))
        await here.bound("waits")
        intake.park(msgspec.convert(here.server.objects[PODS]["ns/bad"], Pod), ZeroDivisionError("as any bug"))
        for _ in range(2):
            intake.retry_parked(here.scheduler.clock() + 1.0)
            assert intake.held["uid-bad"].reason == "SchedulerError"
        here.server.put(PODS, a_pod("other"))
        await here.bound("other")
        monkeypatch.undo()
        intake.retry_parked(here.scheduler.clock() + 1.0)
        await here.bound("bad")


@pytest.mark.parametrize("is_leading", [False, True])
async def test_nominations_are_followed_until_we_lead(is_leading: bool) -> None:
    """A standby takes what the leader writes; a leader knows better, but heeds that one was taken back."""
    async with cluster("a", "b") as here:
        here.scheduler.may_act = lambda: False
        here.scheduler.intake.is_leading = is_leading
        kept, uid = here.scheduler.state.nominations, "uid-p"
        here.server.put(PODS, a_pod("p", metadata={"uid": uid}, status={"nominatedNodeName": "a"}))
        await until(lambda: kept.node_of(uid) == "a")
        here.report("p", nominatedNodeName="b")
        here.server.put(PODS, a_pod("later"))
        await until(lambda: "uid-later" in here.scheduler.queue.entries)
        assert kept.node_of(uid) == ("a" if is_leading else "b")
        here.report("p", nominatedNodeName=kept.node_of(uid))
        here.report("p", nominatedNodeName="")
        await until(lambda: kept.node_of(uid) == "")


async def test_room_is_kept_for_a_gated_pod() -> None:
    """It was made before the gate was there, or by another scheduler."""
    async with cluster("a") as here:
        gates = {"schedulingGates": [{"name": "g"}]}
        here.server.put(PODS, a_pod("p", metadata={"uid": "uid-p"}, spec=gates, status={"nominatedNodeName": "a"}))
        await until(lambda: here.scheduler.state.nominations.node_of("uid-p") == "a")
        here.server.remove(PODS, "p")
        await until(lambda: here.scheduler.state.nominations.node_of("uid-p") == "")
