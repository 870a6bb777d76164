"""Events on a real HTTP server: counted, bounded, and without secrets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.api_server import running, status, until

from cloudai_kube.events import BURST, Recorder, Subject

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
        for number in range(100):
            recorder.warning(POD, "Flaps", f"{number}")
        recorder.normal(Subject("v1", "Pod", "ns", "q", "uid-q"), "Scheduled", "fine")
        await recorder.flush(5.0)
        names = [event["involvedObject"]["name"] for event in server.objects[EVENTS].values()]
        assert (names.count("p"), names.count("q"), recorder.dropped) == (BURST, 1, 100 - BURST)


async def test_what_cannot_be_sent_is_dropped() -> None:
    """An event is never worth the process, nor a second try."""
    async with running() as (server, transport), recording(transport) as recorder:
        server.fail("POST .*events", lambda _: status(500, "Down"))
        recorder.normal(POD, "One", "lost")
        recorder.normal(POD, "Two", "sent")
        await recorder.flush(5.0)
        assert [event["reason"] for event in server.objects[EVENTS].values()] == ["Two"]
        assert (recorder.sent, recorder.dropped) == (1, 1)


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
