"""Tasks to pods on a real HTTP server: retries, refusals, and what one Task can do to the others."""

import json
from typing import Any

import pytest
from tests.api_server import status, until
from tests.operator.live import PODS, TASKS, a_task, live

from cloudai_operator import reconcile as planner
from cloudai_rts import contract
from cloudai_sandbox.poisons import POISONS, deepened

ENDED = {"name": "task", "state": {"terminated": {"exitCode": 0, "startedAt": "2026-01-01T00:00:05Z"}}}


def ended(code: int, **more: Any) -> dict[str, Any]:
    """Container statuses of a run of ten seconds."""
    times = {"startedAt": "2026-01-01T00:00:05Z", "finishedAt": "2026-01-01T00:00:15Z"}
    return {"containerStatuses": [{"name": "task", "state": {"terminated": {"exitCode": code, **times, **more}}}]}


async def test_a_task_becomes_a_pod_and_completes() -> None:
    """One pod, named after the Task; its end is the Task's."""
    async with live() as here:
        here.server.put(TASKS, a_task("t"))
        await here.look()
        (pod,) = await until(lambda: here.pods("t"))
        assert pod["metadata"]["name"] == contract.pod_name("t", "uid-t", 1)
        here.report(pod["metadata"]["name"], phase="Succeeded", **ended(0))
        await until(lambda: here.status("t").get("state") == "Complete")
        assert here.status("t")["runtimeSeconds"] == 10.0


@pytest.mark.parametrize("code", [500, 429, 409])
async def test_a_status_that_cannot_be_written_is_written_later(code: int) -> None:
    """The pod is made only once the status stands."""
    async with live() as here:
        here.server.fail("PATCH .*/tasks/t/status", lambda _: status(code, "Simulated"), times=2)
        here.server.put(TASKS, a_task("t"))
        await here.look()
        await until(lambda: here.pods("t"))
        assert sum("/tasks/t/status" in asked for asked in here.server.requests) >= 3


async def test_a_404_does_not_make_a_task_gone() -> None:
    """While a CRD is replaced the server says so of Tasks that live: their pods stay. The list is what counts."""
    async with live() as here:
        here.server.put(TASKS, a_task("t"))
        await here.look()
        (pod,) = await until(lambda: here.pods("t"))
        here.server.fail("PATCH .*/tasks/t/status", lambda _: status(404, "NotFound"), times=2)
        here.report(pod["metadata"]["name"], phase="Running")
        await until(lambda: not here.server.faults)
        assert here.pods("t") == [here.server.objects[PODS][f"ns/{pod['metadata']['name']}"]]
        await until(lambda: [one.get("node") for one in here.status("t").get("attempts", ())] == ["a"])
        here.server.objects[TASKS].clear()
        await here.look()
        await until(lambda: here.pods("t") == [])


async def test_a_pod_that_is_refused_is_tried_again_and_told_of() -> None:
    """Quota: the server's words are in the condition, and no attempt is counted."""
    async with live() as here:
        here.server.fail("POST .*/pods", lambda _: status(403, "Forbidden", "exceeded quota: gpu"), times=2)
        here.server.put(TASKS, a_task("t"))
        await here.look()
        await until(lambda: here.condition("t", "Scheduled").get("reason") == "QuotaExceeded")
        await until(lambda: here.pods("t"))
        assert here.status("t").get("failed") is None


async def test_a_lost_answer_to_the_creation_makes_no_second_pod() -> None:
    """AlreadyExists is success if the name is ours."""
    async with live() as here:

        async def lose(request: Any) -> Any:
            here.server.act(request, await request.json())
            request.transport.abort()
            return status(500, "Gone")

        here.server.fail("POST .*/pods", lose)
        here.server.put(TASKS, a_task("t"))
        await here.look()
        await until(lambda: here.status("t").get("attemptCount") == 1)
        assert len(here.pods("t")) == 1


@pytest.mark.parametrize(
    "owners",
    [
        [],
        [{"apiVersion": "x/v1", "kind": "Other", "name": "t", "uid": "uid-t", "controller": True}],
        [{"apiVersion": "cloudai.dev/v1alpha1", "kind": "Task", "name": "other", "uid": "uid-t", "controller": True}],
    ],
)
async def test_a_stranger_of_our_pods_name_is_told_of(owners: list[dict[str, Any]]) -> None:
    """It is not taken for ours, though it names our UID: else the Task would wait for it for ever."""
    async with live() as here:
        meta = {"name": contract.pod_name("t", "uid-t", 1), "namespace": "ns", "ownerReferences": owners}
        here.server.put(PODS, {"metadata": meta, "spec": {}, "status": {}})
        here.server.put(TASKS, a_task("t"))
        await here.look()
        await until(lambda: here.condition("t", "Scheduled").get("reason") == "PodNameTaken")


async def test_a_pod_of_a_foreign_namespace_takes_no_task_over() -> None:
    """Whatever its labels and owner say: the Task's own pod goes on, and its end counts."""
    async with live() as here:
        here.server.put(TASKS, a_task("t"))
        await here.look()
        (own,) = await until(lambda: here.pods("t"))
        owner = {"apiVersion": "evil.example/v1", "kind": "Task", "name": "t", "uid": "uid-t", "controller": True}
        for api_version in ("evil.example/v1", "cloudai.dev/v1alpha1"):
            claims = {"labels": {"cloudai.dev/task": "t", "cloudai.dev/attempt": "7"}}
            forged = {**owner, "apiVersion": api_version}
            name = contract.pod_name("t", "uid-t", 2)
            meta = {"name": name, "namespace": "attacker", "uid": f"u-{len(api_version)}", "ownerReferences": [forged]}
            here.server.put(PODS, {"metadata": {**meta, **claims}, "spec": {}, "status": {"phase": "Succeeded"}})
        here.report(own["metadata"]["name"], phase="Running")
        await until(lambda: here.status("t").get("state") in {"Running", "Scheduled"})
        assert here.status("t")["attemptCount"] == 1
        assert own["metadata"]["name"] in {pod["metadata"]["name"] for pod in here.pods("t")}
        here.report(own["metadata"]["name"], phase="Succeeded", **ended(0))
        await until(lambda: here.status("t").get("state") == "Complete")


async def test_success_is_not_run_again_because_the_pod_was_tidied_away() -> None:
    """The last state comes with the deletion."""
    async with live() as here:
        here.server.put(TASKS, a_task("t", backoffLimit=0))
        await here.look()
        (pod,) = await until(lambda: here.pods("t"))
        name = pod["metadata"]["name"]
        here.workers.may_act = lambda: False  # busy elsewhere, or a standby
        here.report(name, phase="Succeeded", **ended(0))
        here.server.remove(PODS, name)
        here.workers.may_act = lambda: True
        await until(lambda: here.status("t").get("state") == "Complete")
        assert here.status("t")["attemptCount"] == 1


async def test_a_task_whose_words_cannot_be_read_says_so_and_stops_nobody() -> None:
    """It waits for its correction; the others are served."""
    async with live() as here:
        here.server.put(TASKS, a_task("bad", sla={"finishBy": "2099-01-01T00:00:00+24:00"}))
        here.server.put(TASKS, a_task("good"))
        await here.look()
        await until(lambda: here.pods("good"))
        await until(lambda: here.condition("bad", "Accepted").get("reason") == "InvalidSpec")
        assert "InvalidSpec" in here.events("bad")
        here.server.put(TASKS, {**a_task("bad"), "status": here.status("bad")})
        await here.look()
        await until(lambda: here.pods("bad"))


@pytest.mark.parametrize(
    ("spec", "namespace", "reason"),
    [
        ({}, "cloudai-system", "NamespaceReserved"),
        ({"priorityClassName": "system-node-critical"}, "ns", "PriorityClassReserved"),
        ({"args": ["x" * 15_000] * 10}, "ns", "SpecTooLarge"),
        ({"sla": {"finishBy": "2020-01-01T00:00:00Z"}}, "ns", "DeadlineInPast"),
    ],
)
async def test_tasks_that_are_refused(spec: dict[str, Any], namespace: str, reason: str) -> None:
    """They fail at once and say why; no pod is made."""
    async with live() as here:
        here.server.put(TASKS, a_task("t", namespace, **spec))
        await here.look()
        await until(lambda: here.status("t", namespace).get("state") == "Failed")
        for kind, value in (("Accepted", "False"), ("Failed", "True")):
            told = here.condition("t", kind, namespace)
            assert (told["status"], told["reason"]) == (value, reason)
        assert here.pods("t") == []


async def test_a_task_that_cannot_be_read_keeps_its_pods() -> None:
    """Hands off, and its condition says why; what it said before stays."""
    async with live() as here:
        here.server.put(TASKS, a_task("t"))
        await here.look()
        (pod,) = await until(lambda: here.pods("t"))
        body = here.server.objects[TASKS]["ns/t"]
        here.server.put(TASKS, {**body, "spec": {**body["spec"], "command": "of the next version"}})
        await here.look()
        await until(lambda: here.condition("t", "Accepted").get("reason") == "Unreadable")
        assert here.pods("t") == [pod]
        assert here.condition("t", "DeadlineMet")
        here.server.put(TASKS, {**body, "status": here.status("t")})
        await here.look()
        here.report(pod["metadata"]["name"], phase="Succeeded", **ended(0))
        await until(lambda: here.status("t").get("state") == "Complete")


@pytest.mark.parametrize(
    "poison",
    [
        {"metadata": {"managedFields": "DEEP"}},
        {"status": {"attempts": [{"podUID": "x", "decision": "DEEP"}]}},
        {"status": {"arrivalTime": "never", "deadline": "x", "attempts": [{"podUID": "x"}]}},
        {"status": {"attempts": "none"}},
        {"status": {"attemptCount": 2**60, "activeSeconds": 1e300}},
    ],
)
async def test_no_task_stops_the_others(poison: dict[str, Any]) -> None:
    """Whatever it holds, in the list that a process begins with."""
    async with live() as here:
        bad = here.server.put(TASKS, a_task("bad"))
        bad["metadata"] |= poison.get("metadata", {})
        bad["status"] = poison.get("status", {})
        good = here.server.put(TASKS, a_task("good"))
        listed = {"metadata": {"resourceVersion": "5"}, "items": [bad, good]}
        here.server.raw[TASKS] = deepened(json.dumps(listed).encode())
        await here.look()
        await until(lambda: here.pods("good"))


@pytest.mark.parametrize("name", POISONS)
async def test_no_pod_of_a_task_stops_it_or_the_others(name: str) -> None:
    """A tenant may write all of this into the pod of an attempt: its end is booked all the same."""
    poison = POISONS[name]
    async with live() as here:
        for task in ("bad", "good"):
            here.server.put(TASKS, a_task(task))
        await here.look()
        own = {task: (await until(lambda: here.pods(task)))[0] for task in ("bad", "good")}  # noqa: B023  awaited
        pod = own["bad"]
        meta, extra = pod["metadata"], poison.get("metadata", {})
        for key in ("labels", "annotations"):
            meta[key] = {**meta.get(key, {}), **extra.get(key, {})}
        meta["ownerReferences"] = [*meta["ownerReferences"], *extra.get("ownerReferences", [])]
        pod["spec"] = {**pod["spec"], **poison.get("spec", {}), "nodeName": "a"}
        body = here.server.put(PODS, {**pod, "status": {"phase": "Succeeded", **ended(0)}})
        line = {"type": "MODIFIED", "object": {**body, "metadata": {**meta, "managedFields": "DEEP"}}}
        here.server.tell_raw(PODS, deepened(json.dumps(line).encode()))
        here.report(own["good"]["metadata"]["name"], phase="Succeeded", **ended(0))
        for task in ("good", "bad"):
            await until(lambda: here.status(task).get("state") == "Complete")  # noqa: B023  awaited


async def test_a_reconciliation_that_raises_is_told_on_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retried with growing pauses, told once, and mended without a trace."""
    real = planner.reconcile
    broken = True

    def reconcile(task: Any, *arguments: Any) -> Any:
        if task.metadata.name == "bad" and broken:
            raise ZeroDivisionError("as any bug")
        return real(task, *arguments)

    monkeypatch.setattr("cloudai_operator.workers.reconcile", reconcile)
    monkeypatch.setattr("cloudai_operator.workers.FIRST_RETRY_SECONDS", 0.05)
    async with live() as here:
        here.server.put(TASKS, a_task("bad"))
        here.server.put(TASKS, a_task("good"))
        await here.look()
        await until(lambda: here.pods("good"))
        await until(lambda: here.condition("bad", "Accepted").get("reason") == "ReconcileFailed")
        await until(lambda: "ReconcileFailed" in here.events("bad"))
        broken = False
        await until(lambda: here.pods("bad"))
        await until(lambda: here.condition("bad", "Accepted").get("reason") == "Accepted")


async def test_pods_of_a_deleted_task_follow_it() -> None:
    """Not every cluster runs a garbage collector; a stranger's pods stay."""
    async with live() as here:
        here.server.put(TASKS, a_task("t"))
        await here.look()
        await until(lambda: here.pods("t"))
        here.server.remove(TASKS, "t")
        await here.look()
        await until(lambda: not here.pods("t"))
