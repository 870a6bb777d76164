"""The HTTP port of a process: /livez, /readyz and /metrics."""

from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

Check = Callable[[], str | None]
"""Says what is wrong, None if nothing is."""

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class HealthServer:
    """Serves the checks and the metrics until `close`. Port 0 picks a free one; `port` then tells which."""

    def __init__(
        self,
        registry: CollectorRegistry,
        live: Mapping[str, Check],
        ready: Mapping[str, Check],
    ) -> None:
        self.port = 0
        self._registry = registry
        self._live = live
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen on `host`:`port`."""
        app = web.Application()
        app.router.add_get("/livez", self._serve_live)
        app.router.add_get("/healthz", self._serve_live)
        app.router.add_get("/readyz", self._serve_ready)
        app.router.add_get("/metrics", self._serve_metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve_live(self, _: web.Request) -> web.Response:
        return _answer(self._live)

    async def _serve_ready(self, _: web.Request) -> web.Response:
        return _answer(self._ready)

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": _METRICS_TYPE})


def _answer(checks: Mapping[str, Check]) -> web.Response:
    results = {name: check() for name, check in checks.items()}
    lines = [f"[{'+' if problem is None else '-'}]{name} {problem or 'ok'}" for name, problem in results.items()]
    healthy = all(problem is None for problem in results.values())
    return web.Response(text="\n".join(lines) + "\n", status=200 if healthy else 503)
