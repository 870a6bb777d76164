"""The port of a process: checks, metrics, and connections that nobody ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from cloudai_kube import serving
from cloudai_kube.serving import HealthServer


@asynccontextmanager
async def served(**problems: str | None) -> AsyncIterator[str]:
    """The address of a port with these readiness checks."""
    registry = CollectorRegistry()
    Counter("seen", "Seen", registry=registry).inc()
    checks = {name: (lambda problem=problem: problem) for name, problem in problems.items()}
    health = HealthServer(registry, {"loop": lambda: None}, checks)
    await health.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{health.port}"
    finally:
        await health.close()


async def test_checks_and_metrics() -> None:
    """200 if all is well, 503 with what is wrong; each connection is closed."""
    async with served(sync=None, watch="silent") as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/livez") as answer:
            assert (answer.status, await answer.text()) == (200, "[+]loop ok\n")
            assert answer.headers["Connection"] == "close"
        async with session.get(f"{url}/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "[+]sync ok\n[-]watch silent\n")
        async with session.get(f"{url}/metrics") as answer:
            assert "seen_total 1.0" in await answer.text()


async def test_half_sent_requests_are_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither their age nor their number has no end, and probes are answered all the time."""
    monkeypatch.setattr(serving, "CONNECTION_SECONDS", 0.3)
    monkeypatch.setattr(serving, "SWEEP_SECONDS", 0.05)
    async with served() as url:
        port = int(url.rpartition(":")[2])
        ends = []
        for _ in range(200):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
            ends.append((reader, writer))
        async with aiohttp.ClientSession() as session, session.get(f"{url}/livez") as answer:
            assert answer.status == 200
        for reader, writer in ends:
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
