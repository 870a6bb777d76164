"""`kubectl cloudai try` on a real HTTP server."""

import asyncio
from typing import Any

import pytest
from tests.api_server import ApiServer, running, status, until

from cloudai_cli import trial
from cloudai_cli.errors import TrialError
from cloudai_kube.errors import OverloadedError

TASKS = "/apis/cloudai.dev/v1alpha1/tasks"


def only(server: ApiServer) -> dict[str, Any]:
    """The one Task that there is."""
    (task,) = server.objects[TASKS].values()
    return task


async def report(server: ApiServer, **found: Any) -> None:
    """Write a status as the operator would."""
    await until(lambda: bool(server.objects.get(TASKS)))
    server.put(TASKS, {**only(server), "status": found})


async def test_a_task_that_completes_is_shown_and_deleted() -> None:
    """Each state is told once."""
    told: list[str] = []
    async with running() as (server, transport):
        trying = asyncio.create_task(trial.run(transport, "ns", "image:1", 10.0, ["secret"], told.append))
        await report(server, state="Running", nodes=["n1"])
        await asyncio.sleep(2 * trial.POLL_SECONDS)
        await report(server, state="Complete", nodes=["n1"])
        task = await asyncio.wait_for(trying, 5.0)
        assert server.objects[TASKS] == {}
    assert task.status.state == "Complete"
    assert task.spec.imagePullSecrets == [{"name": "secret"}]
    assert [text.partition(": ")[2] for text in told][-2:] == ["Running on n1", "Complete on n1"]
    assert trial.as_json(task)["state"] == "Complete"


async def test_a_server_that_is_not_ready_for_tasks_yet() -> None:
    """It is asked again, but not for ever."""
    async with running() as (server, transport):
        server.fail("POST", lambda _: status(503, "ServiceUnavailable", "not found"), times=2)
        trying = asyncio.create_task(trial.run(transport, "ns", "image:1", 10.0))
        await report(server, state="Complete", nodes=["n1"])
        assert (await asyncio.wait_for(trying, 8.0)).status.state == "Complete"
        server.fail("POST", lambda _: status(503, "ServiceUnavailable", "not found"), times=99)
        with pytest.raises(OverloadedError):
            await trial.run(transport, "ns", "image:1", 0.5)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"state": "Failed"}, "nobody says why"),
        (
            {
                "state": "Pending",
                "conditions": [
                    {"type": "Scheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"},
                ],
            },
            "Pending after 1 s: Unschedulable: 0/1 nodes",
        ),
    ],
)
async def test_a_task_that_does_not_complete_says_why(found: dict[str, Any], problem: str) -> None:
    """The words of the newest condition; the Task is deleted all the same."""
    async with running() as (server, transport):
        trying = asyncio.create_task(trial.run(transport, "ns", "image:1", 1.0))
        await report(server, **found)
        with pytest.raises(TrialError, match=problem):
            await asyncio.wait_for(trying, 10.0)
        assert server.objects[TASKS] == {}


async def test_a_task_that_cannot_be_deleted_is_named() -> None:
    """It would go on for ever otherwise."""
    async with running() as (server, transport):
        server.fail("DELETE", lambda _: status(403, "Forbidden"), times=9)
        trying = asyncio.create_task(trial.run(transport, "ns", "image:1", 10.0))
        await report(server, state="Complete")
        with pytest.raises(TrialError, match="delete cloudai-try-"):
            await asyncio.wait_for(trying, 10.0)
