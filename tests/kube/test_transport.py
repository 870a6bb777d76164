"""Requests on a real HTTP server: errors by what to do about them, and credentials that change."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.api_server import ApiServer, running, status

from cloudai_kube import errors
from cloudai_kube.connection import Connection, Credentials
from cloudai_kube.objects import Pod
from cloudai_kube.transport import Transport
from cloudai_sandbox import certificates

PATH = "/api/v1/namespaces/ns/pods/p"


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", errors.RefusedError),
        (403, "Forbidden", errors.RefusedError),
        (404, "NotFound", errors.NotFoundError),
        (404, "", errors.OverloadedError),
        (409, "Conflict", errors.ConflictError),
        (410, "Expired", errors.ExpiredError),
        (422, "Invalid", errors.RefusedError),
        (429, "TooManyRequests", errors.OverloadedError),
        (500, "InternalError", errors.OverloadedError),
        (504, "Timeout", errors.OverloadedError),
    ],
)
async def test_errors_say_what_to_do(code: int, reason: str, kind: type[Exception]) -> None:
    """By status; a path that is not served is a server that is still starting."""
    async with running() as (server, transport):
        server.fail("GET", lambda _: status(code, reason, "why", "7"))
        with pytest.raises(kind, match="why") as raised:
            await transport.get(PATH, Pod)
        assert getattr(raised.value, "retry_after_seconds", None) == 7.0


@pytest.mark.parametrize("kind", ["broken", "html", "nobody"])
async def test_an_answer_that_does_not_come(kind: str) -> None:
    """A write may have happened: that is an error of its own."""
    async with running() as (server, transport):

        def broken(request: web.Request) -> web.Response:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        if kind == "nobody":
            await server.close()
        server.fail("GET", broken if kind == "broken" else lambda _: web.Response(text="<html>"), times=3)
        with pytest.raises(errors.OutcomeUnknownError):
            await transport.get(PATH, Pod)


class Tokens:
    """Credentials that are read again: each reading of the configuration gives the next one."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.read = 0

    def reread(self) -> Any:
        """Read the configuration anew."""
        self.read += 1
        return Credentials(lambda: self.tokens[min(self.read, len(self.tokens) - 1)])


async def guarded(server: ApiServer, token: str) -> None:
    """Let the server accept one token only, from now on."""

    def refuse(request: web.Request) -> Any:
        if request.headers.get("Authorization") == token:
            server.faults.clear()
            return web.json_response({"metadata": {"name": "p"}})
        server.fail(".", refuse)
        return status(401, "Unauthorized")

    server.fail(".", refuse)


async def test_a_rotated_token_is_read_again_after_a_401() -> None:
    """One request is refused, then the configuration is read anew, as client-go does; ready all the time after."""
    tokens = Tokens("old", "new")
    async with running() as (server, _):
        await guarded(server, "new")
        connection = Connection(server.url, None, lambda: "old", tokens.reread)
        async with Transport(connection, "test") as transport:
            assert (await transport.get(PATH, Pod)).metadata.name == "p"
            assert (tokens.read, transport.problem()) == (1, None)


async def test_a_rotated_client_certificate_is_shown_after_a_401(tmp_path: Path) -> None:
    """Its file holds another one by now: new connections are made with it, and the old ones are closed."""
    files = certificates.issue(tmp_path)
    old, new = (files.issuer.client(tmp_path, name) for name in ("old", "new"))
    shown = (str(tmp_path / "shown.pem"), str(tmp_path / "shown.key"))

    def rotate(certificate: tuple[Path, Path]) -> None:
        for source, target in zip(certificate, shown, strict=True):
            Path(target).write_bytes(source.read_bytes())

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        subject = request.transport.get_extra_info("peercert")["subject"]
        name = next(value for part in subject for key, value in part if key == "commonName")
        return web.json_response({"metadata": {"name": name}}) if name == accepted else status(401, "Unauthorized")

    accepted = "old"
    rotate(old)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.authority))
    serving.load_cert_chain(files.server, files.server_key)
    serving.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving).start()

    def context() -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(files.authority))
        made.load_cert_chain(*shown)
        return made

    connection = Connection(
        f"https://127.0.0.1:{runner.addresses[0][1]}",
        context(),
        reread=lambda: Credentials(lambda: None, shown, context),
        certificate=shown,
    )
    async with Transport(connection, "test") as transport:
        assert (await transport.get(PATH, Pod)).metadata.name == "old"
        accepted = "new"
        with pytest.raises(errors.RefusedError):
            await transport.get(PATH, Pod)
        connection._renewed_at = -1e9  # noqa: SLF001  a while later
        rotate((new[0], old[1]))  # half of it: the certificate without its key
        with pytest.raises(errors.RefusedError):
            await transport.get(PATH, Pod)
        accepted = "old"
        assert (await transport.get(PATH, Pod)).metadata.name == "old"
        accepted = "new"
        connection._renewed_at = -1e9  # noqa: SLF001  a while later once more
        rotate(new)
        names = await asyncio.gather(*(transport.get(PATH, Pod) for _ in range(20)))
        assert {pod.metadata.name for pod in names} == {"new"}  # each of those that were refused together
        assert (await transport.get(PATH, Pod)).metadata.name == "new"
    await runner.cleanup()


async def test_a_process_that_is_fenced_reads_and_does_not_write() -> None:
    """What it would have written was never sent."""
    async with running() as (server, transport):
        transport.may_write = lambda: False
        with pytest.raises(errors.FencedError):
            await transport.request("POST", "/api/v1/namespaces/ns/pods", {})
        with pytest.raises(errors.NotFoundError):
            await transport.get(PATH, Pod)
        assert [asked.split()[0] for asked in server.requests] == ["GET"]


async def test_credentials_that_are_refused_are_a_problem() -> None:
    """Readiness fails at once, liveness after a while; the configuration is not read for every request."""
    tokens = Tokens("old", "old")
    async with running() as (server, _):
        await guarded(server, "never")
        async with Transport(Connection(server.url, None, lambda: "old", tokens.reread), "test") as transport:
            for _ in range(5):
                with pytest.raises(errors.RefusedError):
                    await transport.get(PATH, Pod)
            assert "401" in str(transport.problem())
            assert transport.problem(60.0) is None
            assert tokens.read == 1
            server.faults.clear()
            with pytest.raises(errors.NotFoundError):
                await transport.get(PATH, Pod)
            assert transport.problem() is None


async def test_a_token_is_never_read_on_the_event_loop() -> None:
    """An exec plug-in takes seconds; requests under way go on with what is known."""
    import threading

    threads: list[str] = []

    def token() -> str:
        threads.append(threading.current_thread().name)
        return "t"

    async with running() as (server, _):
        connection = await asyncio.to_thread(Connection, server.url, None, token)
        connection._read_at = -1e9  # noqa: SLF001  a minute later
        assert await connection.authorization() == "t"
    assert all(not name.startswith("MainThread") for name in threads)
