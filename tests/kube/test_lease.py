"""Leader election on a real HTTP server."""

import asyncio
from typing import Any

from tests.api_server import ApiServer, running, status, until

from cloudai_kube.lease import Election, LeaseTiming

LEASES = "/apis/coordination.k8s.io/v1/leases"
QUICK = LeaseTiming(0.6, 0.4, 0.05)


def candidate(transport: Any, name: str, ends: list[int] | None = None) -> Election:
    """One that would end a list instead of this process."""
    return Election(transport, "ns", "lease", name, QUICK, exit_process=(ends if ends is not None else []).append)


def holder(server: ApiServer) -> str:
    """The holder of the Lease."""
    found: str = server.objects[LEASES]["ns/lease"]["spec"]["holderIdentity"]
    return found


async def test_one_leads_and_the_next_takes_over_at_once() -> None:
    """A clean stop gives the Lease up."""
    async with running() as (server, transport):
        first, second = candidate(transport, "a"), candidate(transport, "b")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(0.3)
        assert (first.leads(), second.leads(), holder(server)) == (True, False, "a")
        holding.cancel()
        await first.release()
        await asyncio.wait_for(waiting, 1.0)
        assert (first.leads(), second.leads(), holder(server)) == (False, True, "b")
        await second.release()


async def test_a_leader_that_vanished_is_replaced_after_its_lease() -> None:
    """Judged by our own clock and by changes, whatever the record says."""
    async with running() as (server, transport):
        first, second = candidate(transport, "a"), candidate(transport, "b")
        await first.acquire()
        first._released.set()  # noqa: SLF001  killed: it renews no more, and its watchdog is gone
        begun = asyncio.get_running_loop().time()
        await asyncio.wait_for(second.acquire(), 5.0)
        assert asyncio.get_running_loop().time() - begun >= QUICK.duration_seconds
        assert holder(server) == "b"
        await second.release()


async def test_a_lease_that_cannot_be_renewed_ends_the_process() -> None:
    """By a thread outside the event loop, and nothing is done in the meantime."""
    ends: list[int] = []
    async with running() as (server, transport):
        leader = candidate(transport, "a", ends)
        await leader.acquire()
        server.fail("leases", lambda _: status(503, "Down"), times=100)
        holding = asyncio.create_task(leader.hold())
        await until(lambda: ends == [1])
        assert not leader.leads()
        holding.cancel()


async def test_a_lease_that_was_taken_ends_the_holding() -> None:
    """The caller ends the process."""
    async with running() as (server, transport):
        leader = candidate(transport, "a")
        await leader.acquire()
        body = server.objects[LEASES]["ns/lease"]
        server.put(LEASES, {**body, "spec": {**body["spec"], "holderIdentity": "b", "leaseDurationSeconds": 60}})
        await asyncio.wait_for(leader.hold(), 2.0)
        await leader.release()
        assert holder(server) == "b"


async def test_what_we_wrote_is_renewed_by_one_request() -> None:
    """A server that takes its time for each request has all of it for the renewal."""
    async with running() as (server, transport):
        leader = candidate(transport, "a")
        await leader.acquire()
        before = len(server.requests)
        holding = asyncio.create_task(leader.hold())
        await asyncio.sleep(0.3)
        holding.cancel()
        asked = server.requests[before:]
        assert len(asked) >= 2
        assert all(request.startswith("PUT ") for request in asked)
        await leader.release()


async def test_somebody_else_wrote_into_the_lease() -> None:
    """An administrator's annotation: it is read again, and still ours."""
    async with running() as (server, transport):
        leader = candidate(transport, "a")
        await leader.acquire()
        server.put(LEASES, server.objects[LEASES]["ns/lease"])
        holding = asyncio.create_task(leader.hold())
        await asyncio.sleep(0.3)
        assert (leader.leads(), holding.done()) == (True, False)
        holding.cancel()
        await leader.release()


async def test_errors_while_waiting_are_waited_out() -> None:
    """An API server that starts late, a conflict with another candidate."""
    async with running() as (server, transport):
        server.fail("GET .*leases", lambda _: status(500, "Starting"), times=2)
        server.fail("POST .*leases", lambda _: status(409, "AlreadyExists"))
        leader = candidate(transport, "a")
        await asyncio.wait_for(leader.acquire(), 3.0)
        assert leader.leads()
        await leader.release()
