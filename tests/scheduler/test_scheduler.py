"""The scheduling loop at work on a real HTTP server: binds, waits, and what one pod can do to the others."""

import asyncio
import json
import time
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import generate_latest
from tests.api_server import running, status, until
from tests.scheduler.live import NODES, PODS, Live, a_node, a_pod, cluster, live

from cloudai_sandbox.poisons import POISONS, deepened
from cloudai_scheduler import cycle


async def test_a_pod_is_bound_with_its_decision() -> None:
    """The Binding carries UID, label and decision; an event says so, and no condition is written.

    A pod that says what kind of work it is has the model's prediction, any other one goes as with kube-scheduler.
    """
    async with cluster("a") as here:
        here.server.put(PODS, a_pod("p"))
        await here.bound("p")
        body = next(body for asked, body in here.server.bodies if "binding" in asked)
        assert body["metadata"]["uid"] == "uid-p"
        assert body["metadata"]["labels"] == {"cloudai.dev/bound-by": "cloudai-scheduler"}
        assert json.loads(body["metadata"]["annotations"]["cloudai.dev/decision"])["policy"] == "default-profile"
        await until(lambda: "Scheduled" in here.events("p"))
        assert here.condition("p") == {}
        here.server.put(PODS, a_pod("q", metadata={"annotations": {"cloudai.dev/task-type": "train"}}))
        await here.bound("q")
        notes = here.server.objects[PODS]["ns/q"]["metadata"]["annotations"]
        assert json.loads(notes["cloudai.dev/decision"])["policy"] == "rts"


async def test_others_pods_are_left_alone() -> None:
    """Another scheduler's, gated ones, and those that are being deleted."""
    async with cluster("a") as here:
        here.server.put(PODS, a_pod("other", spec={"schedulerName": "default-scheduler"}))
        here.server.put(PODS, a_pod("gated", spec={"schedulingGates": [{"name": "g"}]}))
        here.server.put(PODS, a_pod("going", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))
        here.server.put(PODS, a_pod("mine"))
        await here.bound("mine")
        assert [here.node_of(name) for name in ("other", "gated", "going")] == ["", "", ""]


async def test_a_process_that_may_not_lead_any_more_writes_nothing() -> None:
    """It was paused after its decisions, and another one has taken over meanwhile."""
    async with cluster("a") as here:
        here.scheduler.binder.transport.may_write = lambda: False
        here.server.put(PODS, a_pod("p"))
        await until(lambda: "p" in str(here.scheduler.state.pods) or here.scheduler.queue.entries)
        await asyncio.sleep(0.3)
        assert not [asked for asked in here.server.requests if not asked.startswith("GET")]
        here.scheduler.binder.transport.may_write = lambda: True
        await here.bound("p")


NO_ROOM = (
    "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
    "1 Preemption is not helpful for scheduling."
)


async def test_a_pod_that_fits_nowhere_waits_and_says_why_once() -> None:
    """The condition has upstream's text; a node that could take it wakes it."""
    async with cluster("a") as here:
        container = {"name": "c", "resources": {"requests": {"cpu": "16"}}}
        here.server.put(PODS, a_pod("big", spec={"containers": [container]}))
        await until(lambda: here.condition("big"))
        told = here.condition("big")
        assert (told["status"], told["reason"]) == ("False", "Unschedulable")
        assert told["message"] == NO_ROOM
        here.server.put(NODES, a_node("b", cpu="32"))
        await here.bound("big")
        assert here.node_of("big") == "b"
        assert sum("pods/big/status" in asked for asked in here.server.requests) == 1


async def test_the_transition_time_moves_only_with_the_status() -> None:
    """A new text is no transition; a condition that says the same already is not written again."""
    since = "2026-01-01T00:00:00Z"
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": since}
    container = {"name": "c", "resources": {"requests": {"cpu": "16"}}}
    async with running() as (server, transport):
        server.put(NODES, a_node("a"))
        same = {**told, "message": NO_ROOM}
        server.put(PODS, a_pod("same", spec={"containers": [container]}, status={"conditions": [same]}))
        server.put(PODS, a_pod("new", spec={"containers": [container]}, status={"conditions": [told]}))
        async with live(server, transport) as here:
            await until(lambda: "Insufficient" in here.condition("new").get("message", ""))
            assert here.condition("new")["lastTransitionTime"] == since
            assert not any("pods/same/status" in asked for asked in server.requests)


async def test_a_condition_never_lands_after_the_bind() -> None:
    """The write names the version that it rests on: the bind makes it another one."""
    container = {"name": "c", "resources": {"requests": {"cpu": "16"}}}
    async with cluster("a") as here:
        held = asyncio.Event()

        async def late(request: web.Request) -> web.StreamResponse:
            body = await request.json()
            await held.wait()
            return here.server.act(request, body)

        here.server.fail("PATCH .*/pods/p/status", late)
        here.server.put(PODS, a_pod("p", spec={"containers": [container]}))
        await until(lambda: any("pods/p/status" in asked for asked in here.server.requests))
        here.server.put(NODES, a_node("b", cpu="32"))
        await here.bound("p")
        held.set()
        await asyncio.sleep(0.3)
        assert here.condition("p") == {}


@pytest.mark.parametrize("answer", [500, 409, 429, 403])
async def test_a_bind_that_goes_wrong_is_tried_again(answer: int) -> None:
    """Whatever the server says: looked up where the outcome is unknown, backed off, bound in the end, once."""
    async with cluster("a") as here:
        here.server.fail("POST .*/binding", lambda _: status(answer, "Simulated"))
        here.server.put(PODS, a_pod("p"))
        await here.bound("p")
        assert here.scheduler.state.pods["uid-p"].node == "a"
        assert here.scheduler.state.fleet.requested("cpu").tolist() == [1000]


async def test_a_lost_answer_binds_once() -> None:
    """The Binding arrived, the connection broke: the pod is read, not bound again."""
    async with cluster("a") as here:

        async def lose(request: web.Request) -> web.StreamResponse:
            here.server.act(request, await request.json())
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        here.server.fail("POST .*/binding", lose)
        here.server.put(PODS, a_pod("p"))
        await until(lambda: "Scheduled" in here.events("p"))
        assert sum("binding" in asked for asked in here.server.requests) == 1


async def test_a_pod_deleted_during_its_bind_leaves_nothing() -> None:
    """Its room is free again."""
    async with cluster("a") as here:

        def gone(_: web.Request) -> web.StreamResponse:
            here.server.remove(PODS, "p")
            return status(404, "NotFound")

        here.server.fail("POST .*/binding", gone)
        here.server.put(PODS, a_pod("p"))
        await until(lambda: any("binding" in asked for asked in here.server.requests))
        await until(lambda: "uid-p" not in here.scheduler.state.pods)
        assert here.scheduler.state.fleet.requested("cpu").tolist() == [0]


async def test_an_update_during_a_bind_that_is_refused_is_not_lost() -> None:
    """The next decision rests on what the pod says by then."""
    async with cluster("a") as here:
        held = asyncio.Event()

        async def refuse(_: web.Request) -> web.StreamResponse:
            await held.wait()
            return status(403, "Forbidden", "not yet")

        here.server.fail("POST .*/binding", refuse)
        here.server.put(PODS, a_pod("p", metadata={"annotations": {"cloudai.dev/finish-within": "10h"}}))
        await until(lambda: any("binding" in asked for asked in here.server.requests))
        before = here.scheduler.queue.entries["uid-p"].task.deadline
        here.server.put(PODS, a_pod("p", metadata={"annotations": {"cloudai.dev/finish-within": "20h"}}))
        await until(lambda: here.scheduler.queue.entries["uid-p"].newer is not None)
        held.set()
        await here.bound("p")
        decided = json.loads(here.server.objects[PODS]["ns/p"]["metadata"]["annotations"]["cloudai.dev/decision"])
        assert before is not None
        assert decided["deadline"].startswith("2026-01-01T20:")


def poisoned(name: str, index: int, **spec: Any) -> dict[str, Any]:
    """A pod with one of the poisons, as far as that is no deep nesting."""
    poison = POISONS[name]
    body = a_pod(f"poison-{index}", "attacker", spec={**poison.get("spec", {}), **spec})
    body["metadata"] |= {key: value for key, value in poison.get("metadata", {}).items() if value != "DEEP"}
    return body


@pytest.mark.parametrize("bound", [False, True], ids=["unbound", "bound"])
async def test_no_poison_stops_the_others(bound: bool) -> None:
    """Neither in the first list nor in an event; the loop goes on, and nobody waits longer than a blink."""
    async with running() as (server, transport):
        server.put(NODES, a_node("a", cpu="64"))
        more = {"nodeName": "a"} if bound else {}
        for index, name in enumerate(POISONS):
            server.put(PODS, poisoned(name, index, **more))
        server.put(PODS, a_pod("early"))
        async with live(server, transport) as here:
            await here.bound("early")
            longest = await longest_hold(here, more)
            server.put(PODS, a_pod("late"))
            await here.bound("late")
            assert here.scheduler.policy.mode == "rts"
            assert longest < 1.0  # of this whole list at once; single objects are measured in make attack


async def longest_hold(here: Any, more: dict[str, Any]) -> float:
    """Send every poison as an event, and measure for how long the event loop answered nobody."""
    longest, stop = 0.0, asyncio.Event()

    async def beat() -> None:
        nonlocal longest
        while not stop.is_set():
            begun = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - begun)

    beating = asyncio.create_task(beat())
    for index, name in enumerate(POISONS):
        body = {"type": "MODIFIED", "object": here.server.put(PODS, poisoned(name, index, **more))}
        body["object"]["metadata"]["managedFields"] = "DEEP"
        here.server.tell_raw(PODS, deepened(json.dumps(body).encode()))
    await asyncio.sleep(0.2)
    stop.set()
    await beating
    return longest


async def test_a_decision_that_raises_parks_its_pod_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a condition and an event; the others are placed."""
    real = cycle.decide

    def decide(around: Any, entry: Any, now: float) -> Any:
        if entry.pod.metadata.name == "bad":
            raise ZeroDivisionError("as any bug")
        return real(around, entry, now)

    monkeypatch.setattr("cloudai_scheduler.scheduler.decide", decide)
    async with cluster("a") as here:
        here.server.put(PODS, a_pod("bad"))
        here.server.put(PODS, a_pod("good"))
        await here.bound("good")
        await until(lambda: here.condition("bad"))
        assert here.condition("bad")["reason"] == "SchedulerError"
        assert "SchedulerError" in here.events("bad")
        monkeypatch.setattr("cloudai_scheduler.scheduler.decide", real)
        here.scheduler.intake.retry_parked(time.time() + 1.0)
        await here.bound("bad")


HARD: dict[str, dict[str, Any]] = {
    "spec.topologySpreadConstraints": {
        "topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "OfTheNextRelease"}]
    },
    "spec.affinity.podAntiAffinity": {
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "h"}] * 65}}
    },
    "spec.volumes.azureDisk": {"volumes": [{"name": "v", "azureDisk": {"diskName": "d", "diskURI": "u"}}]},
    "spec.volumes (more": {"volumes": [{"name": str(n), "ephemeral": {}} for n in range(129)]},
    "spec.resourceClaims": {"resourceClaims": [{"name": "gpu"}]},
    "spec.schedulingGroup": {"schedulingGroup": {"podGroupName": "g"}},
    "spec.fieldOfTheNextRelease": {"fieldOfTheNextRelease": {"zone": "a"}},
    "spec.affinity.rackAffinity": {"affinity": {"rackAffinity": {}}},
}


@pytest.mark.parametrize("path", HARD)
async def test_a_constraint_that_is_not_read_keeps_the_pod_waiting(path: str) -> None:
    """Never placed as if it were not there, and never `Unschedulable`: autoscalers act on that word."""
    async with cluster("a") as here:
        here.server.put(PODS, a_pod("p", spec=HARD[path]))
        here.server.put(PODS, a_pod("other"))
        await here.bound("other")
        await until(lambda: here.condition("p"))
        told = here.condition("p")
        assert (told["status"], told["reason"]) == ("False", "ConstraintNotSupported")
        assert path in told["message"]
        assert here.events("p") == ["ConstraintNotSupported"]
        assert here.node_of("p") == ""
        text = generate_latest(here.scheduler.metrics.registry).decode()
        assert 'cloudai_scheduler_pods_held_total{reason="ConstraintNotSupported"} 1.0' in text


async def test_too_many_wishes_are_told_of_once() -> None:
    """The pod is placed."""
    wish = {"weight": 1, "podAffinityTerm": {"topologyKey": "h"}}
    affinity = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish] * 65}}
    async with cluster("a") as here:
        here.server.put(PODS, a_pod("p", spec={"affinity": affinity}))
        await here.bound("p")
        await until(lambda: "Scheduled" in here.events("p"))
        assert here.events("p").count("PreferenceIgnored") == 1


async def test_requests_that_cannot_be_read_are_in_the_condition() -> None:
    """Not one event and then silence."""
    container = {"name": "c", "resources": {"requests": {"cpu": "one"}}}
    async with cluster("a") as here:
        here.server.put(PODS, a_pod("p", spec={"containers": [container]}))
        await until(lambda: here.condition("p"))
        assert here.condition("p")["reason"] == "Unschedulable"
        assert "cannot be read" in here.condition("p")["message"]


async def test_refusals_of_pods_that_we_did_not_bind_close_no_node() -> None:
    """A tenant may set spec.nodeName and ask for what no node has, as often as they like."""
    refused = {"phase": "Failed", "reason": "OutOfcpu"}
    async with cluster("a") as here:
        for number in range(24):
            name = f"evil-{number}"
            here.server.put(PODS, a_pod(name, "attacker", spec={"nodeName": "a"}, status=refused))
        here.server.put(PODS, a_pod("bystander"))
        await here.bound("bystander")


async def test_refusals_of_our_pods_close_the_node_for_their_namespace() -> None:
    """After the third; another namespace still goes there, and closes it for all if it is refused too."""
    async with cluster("a") as here:

        async def refuse(name: str, namespace: str) -> None:
            here.server.put(PODS, a_pod(name, namespace))
            await here.bound(name, namespace=namespace)
            here.report(name, namespace, phase="Failed", reason="UnexpectedAdmissionError")

        for number in range(3):
            await refuse(f"p{number}", "one")
        here.server.put(PODS, a_pod("waits", "one"))
        await until(lambda: here.condition("waits", "one"))
        assert "rejected pods recently" in here.condition("waits", "one")["message"]
        await refuse("q", "two")
        await refuse("r", "two")
        await until(lambda: here.scheduler.rejections.closed_nodes({"cpu"}, "three", time.time()) == {"a"})


START_ERROR: dict[str, Any] = {
    "phase": "Failed",
    "containerStatuses": [
        {
            "name": "c",
            "state": {
                "terminated": {
                    "exitCode": 128,
                    "reason": "StartError",
                    "startedAt": "1970-01-01T00:00:00Z",
                    "finishedAt": "2026-01-01T00:00:10Z",
                }
            },
        }
    ],
}
STARTED: dict[str, Any] = {
    "phase": "Running",
    "containerStatuses": [{"name": "c", "state": {"running": {"startedAt": "2026-01-01T00:00:10Z"}}}],
}


async def _fail_starts(here: Live, image: str) -> None:
    """Pods of three tenants, whose container the runtime cannot start on node a."""
    container = {"name": "c", "image": image, "resources": {"requests": {"cpu": "1"}}}
    for tenant in ("one", "two", "three"):
        name = f"{tenant}-{image.replace(':', '-')}"
        here.server.put(PODS, a_pod(name, tenant, spec={"containers": [container], "nodeSelector": {"at": "a"}}))
        await here.bound(name, namespace=tenant)
        here.report(name, tenant, **START_ERROR)
        await until(lambda: not here.scheduler.state.pods.keys() & {f"uid-{tenant}-{image.replace(':', '-')}"})  # noqa: B023  awaited


async def test_failed_starts_close_a_node_only_if_the_same_started_elsewhere() -> None:
    """A typo of everybody's closes nothing; a broken GPU hook does, where the same image runs on another node."""
    async with cluster() as here:
        for name in ("a", "b"):
            here.server.put(NODES, a_node(name, labels={"at": name}))
        await until(lambda: len(here.scheduler.state.nodes) == 2)
        await _fail_starts(here, "typo:1")
        assert here.scheduler.rejections.closed_nodes({"cpu"}, "four", time.time()) == set()
        here.server.put(PODS, a_pod("elsewhere", spec={"nodeSelector": {"at": "b"}}))
        await here.bound("elsewhere")
        here.report("elsewhere", **STARTED)
        await until(lambda: here.scheduler.state.pods["uid-elsewhere"].has_started)
        await _fail_starts(here, "work:1")
        await until(lambda: here.scheduler.rejections.closed_nodes({"cpu"}, "four", time.time()) == {"a"})


async def test_one_refused_pod_counts_once() -> None:
    """However often it changes while an injected container of it still runs."""
    exits = {"exitCode": 127, "startedAt": "2026-01-01T00:00:10Z", "finishedAt": "2026-01-01T00:00:11Z"}
    proxy = {"name": "proxy", "state": {"running": {"startedAt": "2026-01-01T00:00:10Z"}}}
    async with cluster("a", "b") as here:
        here.server.put(PODS, a_pod("first"))
        await here.bound("first")
        here.report("first", **STARTED)
        await until(lambda: here.scheduler.state.pods["uid-first"].has_started)
        other = {"a": "b", "b": "a"}[here.node_of("first")]
        here.server.put(NODES, {**a_node(here.node_of("first")), "spec": {"unschedulable": True}})
        await until(lambda: here.scheduler.state.nodes[here.node_of("first")].unschedulable)
        here.server.put(PODS, a_pod("second"))
        await here.bound("second")
        assert here.node_of("second") == other
        for note in "abcd":
            statuses = [{"name": "c", "state": {"terminated": exits}}, proxy]
            here.report("second", phase="Running", message=note, containerStatuses=statuses)
        here.server.put(PODS, a_pod("third"))
        await here.bound("third")
        assert here.scheduler.rejections.closed_nodes({"cpu"}, "ns", time.time()) == set()


async def test_a_slice_has_an_end_whatever_pods_ask_for() -> None:
    """Hundreds of classes that turn out hopeless: the loop goes on to others' requests every few milliseconds."""
    past = {"annotations": {"cloudai.dev/finish-by": "2026-01-01T00:00:01Z"}}
    async with running() as (server, transport):
        for number in range(300):
            server.put(NODES, a_node(f"n{number}"))
        async with live(server, transport, bind_connections=1) as here:
            here.scheduler.may_act = lambda: False
            for number in range(300):
                container = {"name": "c", "resources": {"requests": {"cpu": f"{number + 1}m"}}}
                server.put(PODS, a_pod(f"p{number}", "attacker", spec={"containers": [container]}, metadata=past))
            await until(lambda: len(here.scheduler.queue.entries) == 300)
            here.scheduler.may_act = lambda: True
            longest = 0.0
            for _ in range(20):
                begun = time.process_time()
                here.scheduler.step()
                longest = max(longest, time.process_time() - begun)
            assert longest < 0.06


async def test_pods_wait_no_longer_than_their_node_is_closed() -> None:
    """Whichever loop sees first that it is open, the pods are looked at again."""
    async with cluster("a") as here:
        here.scheduler.rejections.close("a", "*", time.time() - 598.0)
        here.server.put(PODS, a_pod("p"))
        await until(lambda: here.condition("p"))
        before = here.scheduler.state.version
        here.scheduler.clock = lambda: time.time() + 5.0
        here.scheduler.stop.clear()
        sampling = asyncio.create_task(here.scheduler.sample_loads())
        await here.bound("p")
        assert here.scheduler.state.version > before
        sampling.cancel()


async def test_a_standby_says_nothing_about_pods() -> None:
    """Two versions during a rollout: the one that does not lead must not mark what the other one places."""
    async with cluster("a") as here:
        here.scheduler.conditions.may_send = lambda: False
        here.server.put(PODS, a_pod("p", spec=HARD["spec.resourceClaims"]))
        await until(lambda: "uid-p" in here.scheduler.intake.held)
        await asyncio.sleep(0.1)
        assert not here.condition("p")
        here.scheduler.conditions.may_send = lambda: True
        await until(lambda: here.condition("p"))


async def test_decisions_are_believed_only_where_we_made_them() -> None:
    """A forged annotation on a pod of a tenant's own weighs nothing; our own decision does."""
    forged = {"cloudai.dev/decision": '{"predictedRuntimeSeconds":36000}', "cloudai.dev/finish-within": "10h"}
    async with cluster("a") as here:
        here.server.put(PODS, a_pod("forged", "attacker", spec={"nodeName": "a"}, metadata={"annotations": forged}))
        await until(lambda: "uid-forged" in here.scheduler.state.pods)
        assert here.scheduler.state.pods["uid-forged"].running is None
        here.server.put(PODS, a_pod("own", metadata={"annotations": {"cloudai.dev/finish-by": "2099-01-01T00:00:00Z"}}))
        await here.bound("own")
        assert here.scheduler.state.pods["uid-own"].running is not None
