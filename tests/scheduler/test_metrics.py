"""What the scheduler tells Prometheus, as it works on a real HTTP server."""

from tests.api_server import status, until
from tests.scheduler.live import NODES, PODS, a_node, a_pod, cluster

from cloudai_scheduler.scheduler import TIMED_ATTEMPTS


async def test_filters_that_keep_pods_out_are_counted() -> None:
    """For engineers on call: which filter, how many pods; and attempts by the scheduler name that pods bear."""
    async with cluster("a") as here:
        container = {"name": "c", "resources": {"requests": {"cpu": "16"}}}
        for name in ("big", "bigger"):
            here.server.put(PODS, a_pod(name, spec={"containers": [container]}))
        here.server.put(PODS, a_pod("fits"))
        await here.bound("fits")
        await until(lambda: here.condition("big") and here.condition("bigger"))
        assert here.scheduler.queue.kept_out() == {"NodeResourcesFit": 2}
        sample = here.scheduler.metrics.registry.get_sample_value
        labels = {"result": "unschedulable", "profile": "cloudai-scheduler"}
        assert sample("cloudai_scheduler_schedule_attempts_total", labels) == 2
        assert sample("cloudai_scheduler_scheduling_attempt_duration_seconds_count", labels) == 2
        assert sample("cloudai_scheduler_preemption_attempts_total") == 2


async def test_static_filters_that_keep_pods_out_are_counted() -> None:
    """By upstream's names, as those that look at other pods."""
    async with cluster("a", "b") as here:
        here.server.put(NODES, {**a_node("b"), "spec": {"unschedulable": True}})
        here.server.put(PODS, a_pod("picky", spec={"nodeSelector": {"disk": "ssd"}}))
        await until(lambda: "unschedulable" in here.condition("picky").get("message", ""))
        assert here.scheduler.queue.kept_out() == {"NodeAffinity": 1, "NodeUnschedulable": 1}
        timed = here.scheduler.metrics.registry.get_sample_value(
            "cloudai_scheduler_plugin_execution_duration_seconds_count", {"plugin": "static"}
        )
        assert timed


async def test_a_bind_that_was_refused_counts_once_and_its_text_is_no_more_so() -> None:
    """An autoscaler looks for Unschedulable: the words of a refused bind must not stand there once room is gone."""
    async with cluster("a") as here:
        here.server.fail("POST .*/binding", lambda _: status(429, "Slow"), times=2)
        here.server.fail("POST .*/binding", lambda _: status(403, "Forbidden"))
        container = {"name": "c", "resources": {"requests": {"cpu": "6"}}}
        here.server.put(PODS, a_pod("big", spec={"containers": [container]}))
        await until(lambda: here.condition("big").get("reason") == "SchedulerError", 10.0)
        here.server.put(PODS, a_pod("other", spec={"containers": [container], "nodeName": "a"}))
        await until(lambda: here.condition("big").get("reason") == "Unschedulable", 20.0)
        assert here.events("big").count("FailedScheduling") == 2
        here.server.remove(PODS, "other")
        await here.bound("big", seconds=20.0)
        await until(lambda: "Scheduled" in here.events("big"))
        sample = here.scheduler.metrics.registry.get_sample_value
        attempts = "cloudai_scheduler_schedule_attempts_total"
        assert sample(attempts, {"result": "scheduled", "profile": "cloudai-scheduler"}) == 1
        assert sample(attempts, {"result": "error", "profile": "cloudai-scheduler"}) == 3
        assert sample("cloudai_scheduler_decisions_total", {"policy": "default-profile", "reason": ""}) == 1


async def test_metrics_tell_of_moves_filters_and_promises() -> None:
    """What brought pods to a queue, how long filters take, and what was told of deadlines at the bind."""
    async with cluster("a", "b", "c") as here:
        promise = {"cloudai.dev/task-type": "train", "cloudai.dev/deadline": "2126-01-01T00:00:00Z"}
        here.server.put(PODS, a_pod("p", metadata={"annotations": promise}))
        names = [f"q{number}" for number in range(TIMED_ATTEMPTS)]
        for name in names:
            here.server.put(PODS, a_pod(name))
        await here.bound("p", *names)
        sample = here.scheduler.metrics.registry.get_sample_value
        await until(lambda: sample("cloudai_scheduler_late_probability_count") == 1)
        assert sample("cloudai_scheduler_queue_incoming_pods_total", {"queue": "active", "event": "PodAdd"}) == 11
        timed = sample("cloudai_scheduler_plugin_execution_duration_seconds_count", {"plugin": "NodeResourcesFit"})
        assert timed == 1
        assert sample("cloudai_scheduler_predicted_lateness_seconds_bucket", {"le": "0.0"}) == 1
