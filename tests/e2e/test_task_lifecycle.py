"""Tasks from apply to end on a real control plane."""

import json
import os
import signal
import time
from typing import Any

Cluster = Any  # the fixture of conftest.py


def test_a_task_runs_and_says_why_there(cluster: Cluster) -> None:
    """Complete, in time, bound by us with RTS, the decision on the pod and in the status."""
    assert "created" in cluster.apply(cluster.task("simple", gpus=1, type="gpu-inference"))
    status = cluster.state("simple", "Complete")
    conditions = {one["type"]: one["status"] for one in status["conditions"]}
    assert conditions["DeadlineMet"] == "True"
    pod = cluster.get("pod", status["podName"])
    decision = json.loads(pod["metadata"]["annotations"]["cloudai.dev/decision"])
    assert pod["metadata"]["labels"]["cloudai.dev/bound-by"] == "cloudai-scheduler"
    assert (decision["policy"], decision["fallbackReason"]) == ("rts", None)
    assert len(pod["metadata"]["annotations"]["cloudai.dev/decision"]) <= 2048
    assert status["attempts"][0]["decision"]["nodeClass"] == "NVIDIA-V100"
    described = cluster.plane.kubectl("describe", "ctask", "simple")
    for reason in ("Accepted", "Scheduled", "Completed"):
        assert reason in described


def test_failures_are_retried_up_to_the_limit(cluster: Cluster) -> None:
    """One failure, then success; and three failures with backoffLimit 2."""
    codes = "sandbox.cloudai.dev/exit-codes"
    cluster.apply(cluster.task("twice", {codes: "1,0"}), cluster.task("never", {codes: "1"}, backoffLimit=2))
    assert cluster.state("twice", "Complete")["failed"] == 1
    status = cluster.state("never", "Failed")
    assert status["failed"] == 3
    assert any(one["reason"] == "BackoffLimitExceeded" for one in status["conditions"])


def test_suspend_and_resume(cluster: Cluster) -> None:
    """Suspending stops the pod, resuming makes a new one; the deadline stands."""
    cluster.apply(cluster.task("pausing", {"sandbox.cloudai.dev/runtime-seconds": "2"}))
    before = cluster.state("pausing", "Running")
    cluster.plane.kubectl("patch", "ctask", "pausing", "--type=merge", "--patch", '{"spec":{"suspend":true}}')
    cluster.state("pausing", "Suspended")
    cluster.plane.kubectl("patch", "ctask", "pausing", "--type=merge", "--patch", '{"spec":{"suspend":false}}')
    after = cluster.state("pausing", "Complete")
    assert after["deadline"] == before["deadline"]
    assert [one["outcome"] for one in after["attempts"]] == ["Deleted", "Succeeded"]


def test_deleting_a_task_deletes_its_pod(cluster: Cluster) -> None:
    """Also without a garbage collector."""
    cluster.apply(cluster.task("short-lived", {"sandbox.cloudai.dev/runtime-seconds": "600"}))
    pod = cluster.state("short-lived", "Running")["podName"]
    cluster.plane.kubectl("delete", "ctask", "short-lived")
    cluster.wait(lambda: "NotFound" in cluster.plane.kubectl("get", "pod", pod, check=False))


def test_a_task_that_no_node_can_hold(cluster: Cluster) -> None:
    """It waits, and Task and pod say why in upstream's words."""
    cluster.apply(cluster.task("huge", resources={"limits": {"cpu": "500"}}))

    def told() -> bool:
        conditions = cluster.status("huge").get("conditions", [])
        return any("4 Insufficient cpu" in one.get("message", "") for one in conditions)

    cluster.wait(told)
    cluster.plane.kubectl("delete", "ctask", "huge")


def test_active_deadline_and_ttl(cluster: Cluster) -> None:
    """activeDeadlineSeconds ends it, ttlSecondsAfterFinished removes it."""
    runtime = {"sandbox.cloudai.dev/runtime-seconds": "600"}
    cluster.apply(
        cluster.task("endless", runtime, activeDeadlineSeconds=1), cluster.task("tidy", ttlSecondsAfterFinished=1)
    )
    status = cluster.state("endless", "Failed")
    assert any(one["reason"] == "DeadlineExceeded" for one in status["conditions"])
    cluster.wait(lambda: "NotFound" in cluster.plane.kubectl("get", "ctask", "tidy", check=False))


def test_killed_processes_lose_nothing(cluster: Cluster) -> None:
    """kill -9 of operator and scheduler while 20 Tasks run: all end, one pod an attempt."""
    cluster.apply(*(cluster.task(f"kill-{i}", {"sandbox.cloudai.dev/runtime-seconds": "1"}) for i in range(20)))
    for name in ("cloudai-scheduler", "cloudai-operator"):
        os.kill(cluster.sandbox.process(name).process.pid, signal.SIGKILL)
        time.sleep(0.5)
        cluster.wait(cluster.sandbox.revive, 5)
    cluster.wait(lambda: all(cluster.status(f"kill-{i}").get("state") == "Complete" for i in range(20)), 90)
    pods = cluster.get("pods", "--selector=cloudai.dev/task")["items"]
    attempts = [pod["metadata"]["labels"]["cloudai.dev/task"] for pod in pods]
    assert all(attempts.count(f"kill-{i}") == 1 for i in range(20))


def test_what_was_promised_cannot_be_changed(cluster: Cluster) -> None:
    """The image is immutable, finishWithin is not; the deadline first promised stays on record."""
    cluster.apply(cluster.task("fixed", {"sandbox.cloudai.dev/runtime-seconds": "600"}, sla={"finishWithin": "1h"}))
    first = cluster.state("fixed", "Running")
    patch = ("patch", "ctask", "fixed", "--type=merge", "--patch")
    assert "cannot replace" in cluster.plane.kubectl(*patch, '{"spec":{"image":"other"}}', check=False)
    cluster.plane.kubectl(*patch, '{"spec":{"sla":{"finishWithin":"2h"}}}')
    cluster.wait(lambda: cluster.status("fixed")["deadline"] != first["deadline"])
    assert cluster.status("fixed")["originalDeadline"] == first["deadline"]
    cluster.plane.kubectl("delete", "ctask", "fixed")


def test_the_audit_reads_on_where_it_ended_before(cluster: Cluster) -> None:
    """A second audit sees the binds that came after the first."""
    before = cluster.sandbox.audit().binds
    cluster.apply(cluster.task("after-the-audit"))
    cluster.state("after-the-audit", "Complete")
    assert cluster.sandbox.audit().binds == before + 1
