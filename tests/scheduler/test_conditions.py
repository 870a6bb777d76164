"""Conditions of waiting pods on a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.api_server import ApiServer, running, status, until
from tests.scheduler.live import PODS, a_pod

from cloudai_kube.objects import Pod
from cloudai_kube.write_limit import WriteLimit
from cloudai_scheduler.conditions import UNSCHEDULABLE, ConditionWriter


@asynccontextmanager
async def writing(server: ApiServer, transport: Any) -> AsyncIterator[ConditionWriter]:
    """A writer that knows the pods of the server as they are."""

    def waiting(uid: str) -> Pod | None:
        known = {body["metadata"]["uid"]: body for body in server.objects[PODS].values()}
        return msgspec.convert(known[uid], Pod) if uid in known else None

    writer = ConditionWriter(transport, waiting)
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        await asyncio.wait([task])


def told(server: ApiServer, name: str) -> str:
    """What a pod says; empty if nothing."""
    conditions = server.objects[PODS][f"ns/{name}"]["status"].get("conditions", [])
    return next((one["message"] for one in conditions if one["type"] == "PodScheduled"), "")


@pytest.mark.parametrize("code", [401, 409, 429, 503])
async def test_a_text_that_may_still_arrive_is_sent_again(code: int) -> None:
    """Credentials may be renewed, a conflict read again: a pod must not wait without a word for ever."""
    async with running() as (server, transport), writing(server, transport) as writer:
        server.put(PODS, a_pod("p"))
        server.fail("PATCH .*/status", lambda _: status(code, "Later"), times=3)
        writer.write("uid-p", UNSCHEDULABLE, "no room")
        await until(lambda: told(server, "p") == "no room")


@pytest.mark.parametrize("code", [403, 404, 422])
async def test_a_text_that_is_refused_is_given_up(code: int) -> None:
    """The same request would be refused again, and again."""
    async with running() as (server, transport), writing(server, transport) as writer:
        server.put(PODS, a_pod("p"))
        server.fail("PATCH .*/status", lambda _: status(code, "No"))
        writer.write("uid-p", UNSCHEDULABLE, "no room")
        await asyncio.sleep(1.2)
        assert told(server, "p") == ""


async def test_first_texts_go_out_at_once_and_later_ones_are_bounded() -> None:
    """What changes with every node is written now and then, the newest text only."""
    async with running() as (server, transport), writing(server, transport) as writer:
        writer.limit = WriteLimit(per_second=5.0, burst=1.0)
        names = [f"p{number}" for number in range(30)]
        for name in names:
            server.put(PODS, a_pod(name))
            writer.write(f"uid-{name}", UNSCHEDULABLE, "0")
        await until(lambda: all(told(server, name) == "0" for name in names))
        before = len(server.requests)
        for text in ("1", "2", "3"):
            for name in names:
                writer.write(f"uid-{name}", UNSCHEDULABLE, text)
        await asyncio.sleep(1.0)
        assert 2 <= len(server.requests) - before <= 8
        assert {told(server, name) for name in names} == {"0", "3"}
        for change in range(4, 40):  # it changes faster than it can be written: nobody is told again before all others
            for name in names:
                writer.write(f"uid-{name}", UNSCHEDULABLE, str(change))
            await asyncio.sleep(0.05)
        patched = [asked.split("/")[6] for asked in server.requests[before:] if asked.startswith("PATCH")]
        turn = patched[: len(names)]
        assert len(turn) >= 10
        assert len(set(turn)) == len(turn)
        server.put(PODS, a_pod("new"))
        writer.write("uid-new", UNSCHEDULABLE, "mine")
        await until(lambda: told(server, "new") == "mine", 3.0)
