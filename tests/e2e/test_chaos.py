"""Operator and scheduler are killed again and again while 200 Tasks run."""

import os
import signal
import time

from tests.e2e.conftest import Cluster

TASKS = 200
KILLS = 10
PROCESSES = ("cloudai-scheduler", "cloudai-operator")


def test_twenty_kills_lose_nothing(cluster: Cluster) -> None:
    """kill -9, ten times each: every Task ends, one pod an attempt; the audit at the end covers every moment."""
    notes = {"sandbox.cloudai.dev/runtime-seconds": "3", "sandbox.cloudai.dev/exit-codes": "1,0"}
    for batch in range(KILLS):
        tasks = range(batch * TASKS // KILLS, (batch + 1) * TASKS // KILLS)
        cluster.apply(
            *(
                cluster.task(f"chaos-{i}", notes if i % 10 == 0 else {**notes, "sandbox.cloudai.dev/exit-codes": "0"})
                for i in tasks
            )
        )
        for name in PROCESSES:
            os.kill(cluster.sandbox.process(name).process.pid, signal.SIGKILL)
            time.sleep(0.3)
            cluster.wait(cluster.sandbox.revive, 5)
        if batch % 2:
            for name in PROCESSES:
                cluster.sandbox.wait_ready(name)
    cluster.complete(*(f"chaos-{i}" for i in range(TASKS)), seconds=120)
    statuses = [cluster.status(f"chaos-{i}") for i in range(0, TASKS, 10)]
    assert [status["failed"] for status in statuses] == [1] * (TASKS // 10)
    items = cluster.get("tasks.cloudai.dev")["items"]
    status = {item["metadata"]["name"]: item["status"] for item in items}
    assert all(status[f"chaos-{i}"]["attemptCount"] == (2 if i % 10 == 0 else 1) for i in range(TASKS))
