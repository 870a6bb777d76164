"""A task that needs a whole machine gets one, although small tasks come all the time."""

from tests.e2e.conftest import Cluster

LARGE = "large"
FILLERS = [f"filler-{number}" for number in range(8)]
SMALL = [f"small-{number}" for number in range(12)]


def told(cluster: Cluster) -> list[str]:
    """What the large task was told of nodes that are kept for it."""
    events = cluster.get("events", "--field-selector=reason=RoomKept")["items"]
    return [event["message"] for event in events if event["involvedObject"]["name"].startswith(LARGE)]


def test_room_is_kept_for_a_task_of_a_whole_machine(cluster: Cluster) -> None:
    """The cluster is full; the large task is told which node it will get, and gets it before the small ones fill it."""

    def task(name: str, gpus: int, said: str, seconds: float) -> dict[str, object]:
        resources = {"limits": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": str(gpus)}}
        notes = {"sandbox.cloudai.dev/runtime-seconds": str(seconds)}
        return cluster.task(name, notes, resources=resources, sla={"expectedRuntime": said, "finishWithin": "1h"})

    cluster.apply(*(task(name, 2, "8s", 8.0 + number) for number, name in enumerate(FILLERS)))
    cluster.wait(lambda: all(cluster.status(name).get("state") == "Running" for name in FILLERS))
    before = cluster.metric("cloudai-scheduler", "cloudai_scheduler_reservations_total")
    cluster.apply(task(LARGE, 4, "10s", 0.5))
    cluster.wait(lambda: told(cluster))
    assert " is kept for it: its 4 GPUs should be free there within " in told(cluster)[0]
    assert cluster.metric("cloudai-scheduler", "cloudai_scheduler_reservations_total") > before
    cluster.apply(*(task(name, 1, "10m", 3.0) for name in SMALL))
    cluster.complete(LARGE, *FILLERS, *SMALL, seconds=90)
    assert cluster.status(LARGE)["nodes"][-1] in {text.split(" ", 1)[0] for text in told(cluster)}
    started = {name: cluster.status(name)["startTime"] for name in (LARGE, *SMALL)}
    assert started[LARGE] <= sorted(started.values())[8], started
