"""The whole scheduling process on a real HTTP server."""

import asyncio
import os
import signal

import msgspec
import pytest
from aiohttp import web
from tests.api_server import ApiServer, running, status, until
from tests.scheduler.live import NODES, PODS, a_node, a_pod

from cloudai_kube.connection import Connection
from cloudai_kube.lease import Election
from cloudai_kube.transport import Transport
from cloudai_scheduler.process import Process
from cloudai_scheduler.settings import Settings

WATCHES = 16
"""One of each kind of object that the scheduler follows."""
LEASES = "/apis/coordination.k8s.io/v1/leases"
QUICK = Settings(
    health_port=0,
    lease_duration_seconds=1.5,
    lease_renew_deadline_seconds=1.0,
    lease_retry_seconds=0.2,
    compare_seconds=0.0,
)


class Kept(Process):
    """A process that notes its end instead of ending this one."""

    def __init__(self, server: ApiServer, ends: list[int], settings: Settings = QUICK) -> None:
        super().__init__(settings, Connection(server.url, None, lambda: None))
        self._ends = ends

    def _election(self, transport: Transport) -> Election:
        election = super()._election(transport)
        election.exit_process = self._ends.append
        return election


async def test_bindings_that_hang_do_not_cost_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook that takes longer than the Lease lasts holds all connections but those of watches and the Lease."""
    monkeypatch.setattr("cloudai_scheduler.process.OTHER_CONNECTIONS", WATCHES)
    ends: list[int] = []
    async with running() as (server, _):
        server.put(NODES, a_node("a", cpu="64"))

        async def hang(_request: web.Request) -> web.Response:
            await asyncio.sleep(9.0)
            return status(500, "WebhookTimedOut")

        server.fail("POST .*/binding", hang, times=64)
        for number in range(32):
            server.put(PODS, a_pod(f"p{number}"))
        slow = msgspec.structs.replace(
            QUICK,
            bind_connections=16,
            lease_duration_seconds=6.0,
            lease_renew_deadline_seconds=4.0,
            lease_retry_seconds=0.5,
        )
        process = asyncio.create_task(Kept(server, ends, slow).run())
        await until(lambda: sum("/binding" in asked for asked in server.requests) >= 16, 10.0)
        await asyncio.sleep(6.0)
        assert not ends
        assert server.objects[LEASES]["cloudai-system/cloudai-scheduler"]["spec"]["holderIdentity"]
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(process, 30.0)


async def test_a_clean_stop_gives_the_lease_up() -> None:
    """A standby takes over at once."""
    ends: list[int] = []
    async with running() as (server, _):
        process = asyncio.create_task(Kept(server, ends).run())
        key = "cloudai-system/cloudai-scheduler"
        await until(lambda: key in server.objects.get(LEASES, {}), 10.0)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(process, 20.0)
        assert server.objects[LEASES][key]["spec"]["holderIdentity"] == ""
