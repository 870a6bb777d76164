"""List and watch against a real HTTP server: nothing that an object holds stops the others."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.api_server import running, status, until

from cloudai_kube import listing
from cloudai_kube.connection import Connection
from cloudai_kube.errors import InvariantError
from cloudai_kube.objects import Meta, Pod
from cloudai_kube.reflector import Backoff, Reflector, silent
from cloudai_kube.transport import Transport
from cloudai_sandbox.poisons import deepened

PODS = "/api/v1/pods"


class Pods:
    """Remembers what it is told; pods named `bad` raise, those named `corrupt` end it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.listed: list[list[str]] = []

    def retain(self, listed: list[Meta]) -> None:
        """After a list."""
        self.listed.append([meta.name for meta in listed])

    def apply(self, event: str, item: Pod) -> None:
        """One change."""
        if item.metadata.name == "bad":
            raise ZeroDivisionError("as any bug")
        if item.metadata.name == "corrupt":
            raise InvariantError("moved")
        self.events.append(f"{event} {item.metadata.name}")


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    """A pod."""
    return {"metadata": {"name": name, "namespace": "ns", **metadata}, "spec": {}, "status": {}}


@asynccontextmanager
async def following(transport: Any, **options: Any) -> AsyncIterator[tuple[Reflector[Pod], Pods]]:
    """A reflector that runs."""
    store = Pods()
    reflector = Reflector(transport, PODS, Pod, store, **options)
    task = asyncio.create_task(reflector.run())
    try:
        yield reflector, store
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_list_then_watch() -> None:
    """Page by page, then event by event, in order."""
    async with running() as (server, transport):
        for number in range(1201):
            server.put(PODS, pod(f"p{number}"))
        async with following(transport) as (reflector, store):
            await reflector.synced.wait()
            assert len(store.events) == 1201
            assert sum("limit=500" in asked for asked in server.requests) == 3
            await until(lambda: server.watching(PODS))
            server.put(PODS, pod("new"))
            server.remove(PODS, "p0")
            await until(lambda: store.events[-1] == "DELETED p0")
            assert store.events[-2] == "ADDED new"
            assert (reflector.lists, reflector.parked) == (1, 0)


async def test_deep_objects_in_list_and_watch() -> None:
    """An object that no decoder can read is read all the same, and so are the others."""
    async with running() as (server, transport):
        items = [pod("a"), pod("deep", managedFields=[{"fieldsV1": "DEEP"}]), pod("b")]
        listed = {"metadata": {"resourceVersion": "5"}, "items": items}
        server.raw[PODS] = deepened(json.dumps(listed).encode())
        async with following(transport) as (reflector, store):
            await reflector.synced.wait()
            assert store.events == ["ADDED a", "ADDED deep", "ADDED b"]
            await until(lambda: server.watching(PODS))
            again = pod("deep", resourceVersion="7", managedFields="DEEP")
            line = deepened(json.dumps({"type": "DELETED", "object": again}).encode())
            server.tell_raw(PODS, line)
            server.tell(PODS, "ADDED", pod("c", resourceVersion="8"))
            await until(lambda: store.events[-1] == "ADDED c")
            assert store.events[-2] == "DELETED deep"
            assert (reflector.lists, reflector.parked) == (1, 0)


async def test_an_object_that_cannot_be_read_parks_itself_only() -> None:
    """It is told of with its name, it still exists, and its deletion is seen."""
    told: list[str] = []

    def tell(meta: Meta, error: Exception) -> None:
        told.append(f"{meta.name}: {error}")

    async with running() as (server, transport):
        odd = {**pod("odd"), "spec": {"priority": "much"}}
        for body in (pod("a"), odd, pod("b")):
            server.put(PODS, body)
        async with following(transport, on_parked=tell) as (reflector, store):
            await reflector.synced.wait()
            assert store.events == ["ADDED a", "ADDED b"]
            assert store.listed == [["a", "odd", "b"]]
            assert told[0].startswith("odd: Expected `int`")
            await until(lambda: server.watching(PODS))
            server.put(PODS, odd)
            server.remove(PODS, "odd")
            await until(lambda: store.events[-1] == "DELETED odd")
            assert reflector.parked == 3


async def test_a_store_that_raises_parks_the_object_only() -> None:
    """Whatever went wrong with it, in a list as in a watch."""
    async with running() as (server, transport):
        for name in ("a", "bad", "b"):
            server.put(PODS, pod(name))
        async with following(transport) as (reflector, store):
            await reflector.synced.wait()
            await until(lambda: server.watching(PODS))
            server.put(PODS, pod("bad"))
            server.put(PODS, pod("c"))
            await until(lambda: "ADDED c" in store.events)
            assert store.events == ["ADDED a", "ADDED b", "ADDED c"]
            assert reflector.parked == 2


async def test_a_broken_invariant_ends_it() -> None:
    """Only a restart is safe then."""
    async with running() as (server, transport):
        server.put(PODS, pod("corrupt"))
        with pytest.raises(InvariantError):
            await Reflector(transport, PODS, Pod, Pods()).run()


async def test_rubbish_in_a_stream() -> None:
    """A line that is no event is left out; an expired version lists again."""
    async with running() as (server, transport), following(transport) as (reflector, store):
        await until(lambda: server.watching(PODS))
        server.tell_raw(PODS, b"<html>")
        server.tell_raw(PODS, b'{"type":"ADDED","object":[]}')
        server.put(PODS, pod("a"))
        await until(lambda: store.events == ["ADDED a"])
        server.tell(PODS, "ERROR", {"code": 410, "reason": "Expired"})
        await until(lambda: reflector.lists == 2)
        await until(lambda: len(store.listed) == 2)
        assert store.listed[-1] == ["a"]


async def test_a_silent_watch_is_begun_again_and_never_lists() -> None:
    """A half-open connection would else hang for ever."""
    async with running() as (server, transport), following(transport, silence_seconds=0.2) as (reflector, _):
        await until(lambda: sum("watch=1" in asked for asked in server.requests) >= 2)
        assert reflector.lists == 1


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_an_overloaded_server_is_asked_again(code: int) -> None:
    """The version is still good: no second list."""
    async with running() as (server, transport):
        server.fail("watch=1", lambda _: status(code, "Overloaded"))
        async with following(transport) as (reflector, store):
            await reflector.synced.wait()
            await until(lambda: server.watching(PODS))
            server.put(PODS, pod("a"))
            await until(lambda: store.events == ["ADDED a"])
            assert reflector.lists == 1


async def test_a_list_that_grows_old_between_its_pages() -> None:
    """It is begun anew, in pages too; a proxy's page is an error that says so."""
    async with running() as (server, transport):
        for number in range(600):
            server.put(PODS, pod(f"p{number}"))
        server.fail("continue=", lambda _: status(410, "Expired"))
        found = await listing.read(transport, PODS, lambda raw: raw)
        assert len(found.items) == 600
        server.fail("GET", lambda _: web.Response(text="<html>"))
        with pytest.raises(Exception, match="list /api/v1/pods"):
            await listing.read(transport, PODS, lambda raw: raw)


def test_pauses_grow_and_start_afresh_after_two_healthy_minutes() -> None:
    """.8 s doubling to 30 s, jitter up to twice that; what the server asks for is heeded."""

    class Half:
        @staticmethod
        def random() -> float:
            return 0.5

    backoff = Backoff(Half())  # type: ignore[arg-type]  # a generator without chance
    waits = [backoff.next(float(at)) for at in range(8)]
    assert waits[:3] == pytest.approx([1.2, 2.4, 4.8])
    assert waits[-1] == 45.0
    assert backoff.next(500.0) == pytest.approx(1.2)
    assert backoff.next(501.0, at_least=20.0) == 20.0


async def test_an_object_whose_json_is_six_times_as_long_as_what_etcd_keeps() -> None:
    """The API server writes `<` as six characters: 1.45 MB become 8.7, and whatever comes after it is seen."""
    async with running() as (server, transport):
        server.put(PODS, pod("first"))
        async with following(transport) as (_, store):
            await until(lambda: server.watching(PODS))
            body = server.put(PODS, pod("long", annotations={"a": "LESS"}))
            line = json.dumps({"type": "MODIFIED", "object": body}).encode()
            server.tell_raw(PODS, line.replace(b"LESS", b"\\u003c" * 1_450_000))
            server.put(PODS, pod("after"))
            await until(lambda: "ADDED after" in store.events)
            assert "MODIFIED long" in store.events


def test_which_watches_are_silent() -> None:
    """Those that have had no sign of life for twice as long as bookmarks take."""
    nowhere = Transport(Connection("http://127.0.0.1:9", None), "test")
    known = {name: Reflector(nowhere, "/x", Pod, Pods(), last_contact=at) for name, at in (("a", 10.0), ("b", 90.0))}
    assert silent(known, 30.0, 100.0) == "no sign of life from: a"
    assert silent(known, 50.0, 100.0) is None
