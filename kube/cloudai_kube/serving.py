"""The HTTP port of a process: /livez, /readyz, /metrics, and reports of its own as JSON.

Every connection carries one request and is over within seconds: half-sent requests would else pile up for ever.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

Check = Callable[[], str | None]
"""Says what is wrong, None if nothing is."""

Page = Callable[[], dict[str, Any]]
"""Makes a report, served as JSON."""
CONNECTION_SECONDS: Final = 5.0
"""From the first byte to the last."""
MOST_CONNECTIONS: Final = 64
"""The oldest give way: probes and scrapes are few and short."""
SWEEP_SECONDS: Final = 0.5
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class HealthServer:
    """Serves the checks and the metrics until `close`. Port 0 picks a free one; `port` then tells which."""

    def __init__(
        self,
        registry: CollectorRegistry,
        live: Mapping[str, Check],
        ready: Mapping[str, Check],
        pages: Mapping[str, Page] | None = None,
    ) -> None:
        self.port = 0
        self._registry = registry
        self._live = live
        self._ready = ready
        self._pages = pages or {}
        self._runner: web.AppRunner | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen on `host`:`port`."""
        app = web.Application()
        app.router.add_get("/livez", self._serve_live)
        app.router.add_get("/healthz", self._serve_live)
        app.router.add_get("/readyz", self._serve_ready)
        app.router.add_get("/metrics", self._serve_metrics)
        for path, page in self._pages.items():
            app.router.add_get(path, _reporting(page))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        self._sweeping = asyncio.create_task(self._sweep(self._runner))

    async def close(self) -> None:
        """Stop listening."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    @staticmethod
    async def _sweep(runner: web.AppRunner) -> None:
        """Break connections that are too old, and the oldest where there are too many."""
        begun: dict[asyncio.BaseTransport, float] = {}
        while runner.server is not None:
            now = asyncio.get_running_loop().time()
            transports = [
                connection.transport for connection in runner.server.connections if connection.transport is not None
            ]
            begun = {transport: begun.get(transport, now) for transport in transports}
            oldest_first = sorted(begun, key=lambda transport: begun[transport])
            excess = len(oldest_first) - MOST_CONNECTIONS
            for place, transport in enumerate(oldest_first):
                if place < excess or now - begun[transport] > CONNECTION_SECONDS:
                    transport.close()
            await asyncio.sleep(SWEEP_SECONDS)

    async def _serve_live(self, _: web.Request) -> web.Response:
        return _answer(self._live)

    async def _serve_ready(self, _: web.Request) -> web.Response:
        return _answer(self._ready)

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        return _last(web.Response(body=generate_latest(self._registry), headers={"Content-Type": _METRICS_TYPE}))


def _reporting(page: Page) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(_: web.Request) -> web.Response:
        return _last(web.Response(body=msgspec.json.encode(page()), content_type="application/json"))

    return serve


def _answer(checks: Mapping[str, Check]) -> web.Response:
    results = {name: check() for name, check in checks.items()}
    lines = [f"[{'+' if problem is None else '-'}]{name} {problem or 'ok'}" for name, problem in results.items()]
    healthy = all(problem is None for problem in results.values())
    return _last(web.Response(text="\n".join(lines) + "\n", status=200 if healthy else 503))


def _last(response: web.Response) -> web.Response:
    """Close the connection after it."""
    response.force_close()
    return response
