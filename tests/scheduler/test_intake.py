"""Events of pods into the queue."""

from tests.api_server import until
from tests.scheduler.live import PODS, a_pod, cluster

from cloudai_kube import timestamp


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
