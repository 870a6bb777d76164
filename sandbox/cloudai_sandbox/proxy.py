"""A proxy in front of the API server that fails on request: what networks and overloaded servers do to clients.

Faults are rules, set as a JSON list with `PUT /faults` and taken away by an empty one. The first rule that fits a
request and still has `times` left is carried out:

- `refuse`: answer `status` at once (429 with `Retry-After: after_seconds`)
- `lose-reply`: pass the request on, then break the connection instead of answering
- `drop`: break the connection without passing the request on
- `delay`: pass it on after `after_seconds`
- `silence`: a watch that stays open and says nothing more
"""

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import msgspec
from aiohttp import web

_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})
_ACTIONS: Final = ("refuse", "lose-reply", "drop", "delay", "silence")


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """One rule. `method` and `path` (with query) are regular expressions; `times` -1 means for ever.

    `after_seconds` is how long a delay, or a refusal, takes; a 429 comes at once and asks for so long a pause.
    """

    action: str
    method: str = ".*"
    path: str = ".*"
    status: int = 503
    after_seconds: float = 0.0
    times: int = -1

    def fits(self, method: str, path: str) -> bool:
        """Whether the rule is about this request and not used up."""
        return bool(self.times and re.fullmatch(self.method, method) and re.search(self.path, path))


@dataclass(slots=True)
class Proxy:
    """Passes requests on to `server`. Counts `requests`, and `hits` of the present faults."""

    server: str
    ssl_context: ssl.SSLContext | None
    faults: list[Fault] = field(default_factory=list)
    requests: int = 0
    hits: int = 0
    _session: aiohttp.ClientSession | None = None
    _streams: dict[int, tuple[str, str, asyncio.Event]] = field(default_factory=dict)

    def application(self) -> web.Application:
        """The web application; needs a running loop when it starts."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_put("/faults", self._set_faults)
        app.router.add_get("/faults", self._count)
        app.router.add_route("*", "/{path:.*}", self._serve)
        app.on_startup.append(self._open)
        app.on_cleanup.append(self._close)
        return app

    async def _open(self, _app: web.Application) -> None:
        connector = aiohttp.TCPConnector(limit=0, ssl=self.ssl_context or False)
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),  # whether to compress is between client and server
        )

    async def _close(self, _app: web.Application) -> None:
        if self._session is not None:
            await self._session.close()

    async def _set_faults(self, request: web.Request) -> web.Response:
        try:
            rules = msgspec.json.decode(await request.read(), type=list[Fault])
        except msgspec.DecodeError as error:
            return web.Response(status=400, text=f"not a list of faults: {error}\n")
        unknown = [rule.action for rule in rules if rule.action not in _ACTIONS]
        if unknown:
            return web.Response(status=400, text=f"unknown actions {unknown}; known: {', '.join(_ACTIONS)}\n")
        self.faults = rules
        self.hits = 0
        for method, path, silent in self._streams.values():  # also watches that are open already
            if any(rule.action == "silence" and rule.fits(method, path) for rule in rules):
                silent.set()
                self.hits += 1
        return web.Response(text="ok\n")

    async def _count(self, _request: web.Request) -> web.Response:
        return web.json_response({"requests": self.requests, "hits": self.hits})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        fault = self._fault(request)
        if fault is not None:
            self.hits += 1
            if fault.action == "refuse":
                headers = {"Retry-After": f"{fault.after_seconds or 1:.0f}"} if fault.status == 429 else {}
                await asyncio.sleep(0.0 if headers else fault.after_seconds)
                body = {"kind": "Status", "code": fault.status, "reason": "Simulated", "message": "simulated fault"}
                return web.json_response(body, status=fault.status, headers=headers)
            if fault.action == "drop":
                return self._break(request)
            if fault.action == "delay":
                await asyncio.sleep(fault.after_seconds)
        return await self._pass_on(request, fault)

    def _fault(self, request: web.Request) -> Fault | None:
        for rule in self.faults:
            if rule.fits(request.method, request.path_qs):
                if rule.times > 0:
                    rule.times -= 1
                return rule
        return None

    async def _pass_on(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        body = await request.read()
        if self._session is None:
            raise web.HTTPServiceUnavailable
        try:
            async with self._session.request(
                request.method, self.server + request.path_qs, headers=headers, data=body or None
            ) as answer:
                if fault is not None and fault.action == "lose-reply":
                    await answer.read()
                    return self._break(request)
                return await self._answer(request, answer, fault)
        except aiohttp.ClientError:
            return self._break(request)

    async def _answer(
        self, request: web.Request, answer: aiohttp.ClientResponse, fault: Fault | None
    ) -> web.StreamResponse:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        silent = asyncio.Event()
        if fault is not None and fault.action == "silence":
            silent.set()
        self._streams[id(request)] = (request.method, request.path_qs, silent)
        try:
            async for chunk in answer.content.iter_any():
                if silent.is_set():
                    continue
                await response.write(chunk)
            await response.write_eof()
        except (ConnectionError, aiohttp.ClientError):
            self._break(request)
        finally:
            del self._streams[id(request)]
        return response

    @staticmethod
    def _break(request: web.Request) -> web.Response:
        """Close the connection without an answer."""
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


async def serve(server: str, ssl_context: ssl.SSLContext | None, port: int) -> None:
    """Run a proxy on the loopback until cancelled."""
    runner = web.AppRunner(Proxy(server, ssl_context).application(), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        await asyncio.Event().wait()
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await runner.cleanup()
