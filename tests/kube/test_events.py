"""Events on a real HTTP server: counted, bounded, and without secrets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.api_server import running, status, until

from cloudai_kube.events import BURST, Recorder, Subject
from cloudai_kube.write_limit import WriteLimit

EVENTS = "/api/v1/events"
POD = Subject("v1", "Pod", "ns", "p", "uid-p")


@asynccontextmanager
async def recording(transport: Any) -> AsyncIterator[Recorder]:
    """A recorder that sends."""
    recorder = Recorder(transport, "test")
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_repetitions_are_counted_on_one_event() -> None:
    """Another text is another event."""
    async with running() as (server, transport), recording(transport) as recorder:
        for _ in range(3):
            recorder.warning(POD, "FailedScheduling", "no room")
            await recorder.flush(2.0)
        recorder.warning(POD, "FailedScheduling", "no memory")
        await recorder.flush(2.0)
        counts = {event["message"]: event["count"] for event in server.objects[EVENTS].values()}
        assert counts == {"no room": 3, "no memory": 1}


async def test_an_object_has_so_many_events_and_others_have_theirs() -> None:
    """A flapping object must not drown the others."""
    async with running() as (server, transport), recording(transport) as recorder:
        recorder.limit = WriteLimit(burst=1000.0)
        for number in range(100):
            recorder.warning(POD, "Flaps", f"{number}")
        recorder.normal(Subject("v1", "Pod", "ns", "q", "uid-q"), "Scheduled", "fine")
        await recorder.flush(5.0)
        names = [event["involvedObject"]["name"] for event in server.objects[EVENTS].values()]
        assert (names.count("p"), names.count("q"), recorder.dropped) == (BURST, 1, 100 - BURST)


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_what_an_overloaded_server_does_not_take_is_sent_again(code: int) -> None:
    """A pod that waits would else be silent for ever: the same text is no news."""
    async with running() as (server, transport), recording(transport) as recorder:
        server.fail("POST .*events", lambda _: status(code, "Down"), times=2)
        recorder.warning(POD, "FailedScheduling", "no room")
        await recorder.flush(5.0)
        assert [event["count"] for event in server.objects[EVENTS].values()] == [1]
        assert (recorder.sent, recorder.dropped) == (1, 0)


async def test_an_event_that_had_arrived_is_not_told_twice() -> None:
    """No answer came, but the API server has it."""

    async def lose(request: web.Request) -> web.Response:
        server.act(request, await request.json())
        return status(500, "Lost")

    async with running() as (server, transport), recording(transport) as recorder:
        server.fail("POST .*events", lose)
        recorder.warning(POD, "FailedScheduling", "no room")
        await recorder.flush(5.0)
        assert [event["count"] for event in server.objects[EVENTS].values()] == [1]
        assert (recorder.sent, recorder.dropped) == (1, 0)


async def test_one_namespaces_broken_webhook_holds_up_nobody_else() -> None:
    """Its events are tried again later; others' go out meanwhile."""
    async with running() as (server, transport), recording(transport) as recorder:
        server.fail("POST .*namespaces/broken/events", lambda _: status(500, "WebhookFailed"), times=1000)
        for number in range(100):
            recorder.warning(Subject("v1", "Pod", "broken", f"p{number}", f"uid-{number}"), "Bad", "text")
        for number in range(20):
            recorder.warning(Subject("v1", "Pod", "ns", f"q{number}", f"uid-q{number}"), "Fine", "text")
        await until(lambda: len(server.objects.get(EVENTS, {})) == 20, 6.0)


async def test_what_is_refused_is_dropped() -> None:
    """Such as by a quota: an event is never worth the process, and a second try is useless."""
    async with running() as (server, transport), recording(transport) as recorder:
        server.fail("POST .*events", lambda _: status(403, "Forbidden"))
        recorder.normal(POD, "One", "lost")
        recorder.normal(POD, "Two", "sent")
        await recorder.flush(5.0)
        assert [event["reason"] for event in server.objects[EVENTS].values()] == ["Two"]
        assert (recorder.sent, recorder.dropped) == (1, 1)


async def test_news_of_many_objects_is_bounded_and_first_events_are_not() -> None:
    """Thousands of pods whose texts count nodes would flood the API server at each change of a node."""
    async with running() as (server, transport), recording(transport) as recorder:
        recorder.limit = WriteLimit(per_second=0.001, burst=5.0)
        for number in range(40):
            recorder.warning(Subject("v1", "Pod", "ns", f"p{number}", f"uid-{number}"), "FailedScheduling", "1 node")
        for number in range(40):
            recorder.warning(Subject("v1", "Pod", "ns", f"p{number}", f"uid-{number}"), "FailedScheduling", "2 nodes")
        await recorder.flush(5.0)
        texts = [event["message"] for event in server.objects[EVENTS].values()]
        assert (texts.count("1 node"), texts.count("2 nodes"), recorder.dropped) == (40, 5, 35)


async def test_an_event_that_has_expired_begins_anew() -> None:
    """The API server keeps events for an hour."""
    async with running() as (server, transport), recording(transport) as recorder:
        recorder.normal(POD, "One", "text")
        await recorder.flush(2.0)
        server.objects[EVENTS].clear()
        recorder.normal(POD, "One", "text")
        await recorder.flush(2.0)
        assert [event["count"] for event in server.objects[EVENTS].values()] == [1]


async def test_a_standby_says_nothing() -> None:
    """It sees the same as the leader."""
    async with running() as (server, transport), recording(transport) as recorder:
        leads = False
        recorder.may_send = lambda: leads
        recorder.normal(POD, "One", "text")
        await asyncio.sleep(0.3)
        assert EVENTS not in server.objects
        leads = True
        await until(lambda: server.objects.get(EVENTS))


async def test_no_secret_reaches_an_event() -> None:
    """Whatever text brought it along."""
    async with running() as (server, transport), recording(transport) as recorder:
        recorder.warning(POD, "Failed", "http://user:CANARY@prometheus:9090/?token=CANARY does not answer")
        await recorder.flush(2.0)
        assert "CANARY" not in str(server.objects[EVENTS])
