"""Requests to the API server: JSON in, typed objects or bytes out, errors by what to do about them.

One aiohttp session a process. Bodies are decoded by msgspec straight into the few fields that are used: building the
official models costs 60 to 100 times as much per pod.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import msgspec

from cloudai_kube import nesting
from cloudai_kube.connection import Connection
from cloudai_kube.errors import (
    ApiError,
    FencedError,
    OutcomeUnknownError,
    OverloadedError,
    RefusedError,
    SilentError,
    api_error,
)

MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
READ: Final = "GET"
UNAUTHORIZED: Final = 401
NO_ANSWER: Final = "<error>"
"""The code of a request without an answer, as client-go has it."""
MAX_LINE_BYTES: Final = 16 << 20
"""Longer watch lines are no Kubernetes objects; reading on would only fill the memory.

etcd takes 1.5 MiB, of which the API server makes six times as much JSON if all of it is `<`: it writes `\\u003c`.
"""

_Kind = TypeVar("_Kind")

_encode = msgspec.json.Encoder().encode


class Status(msgspec.Struct):
    """The part of a meta/v1 Status that says what went wrong."""

    reason: str = ""
    message: str = ""
    code: int = 0


_decode_status = msgspec.json.Decoder(Status)


def open_session(
    connection: Connection,
    user_agent: str,
    connections: int = 0,
    **options: Any,  # noqa: ANN401  of aiohttp's session
) -> aiohttp.ClientSession:
    """A session with one API server; `connections` at once, 0 for any number."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=connection.ssl_context or False),
        headers={"User-Agent": user_agent, "Accept": "application/json"},
        skip_auto_headers=("Accept-Encoding",),
        auto_decompress=False,
        proxy=connection.proxy,
        **options,
    )


class Transport:
    """A session with one API server. Use as an async context manager, inside the event loop it belongs to.

    While `may_write()` is False nothing but reads is sent: a process that was paused may have lost its Lease meanwhile.
    """

    def __init__(
        self, connection: Connection, user_agent: str, connections: int = 32, timeout_seconds: float = 30.0
    ) -> None:
        self._connection = connection
        self._agent = user_agent
        self._limit = connections
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=5.0)
        self._session: aiohttp.ClientSession | None = None
        self._retired: list[aiohttp.ClientSession] = []
        self._certificates = connection.certificates
        self._server = connection.server.rstrip("/")
        self._dated = ""
        self._unauthorized_since: float | None = None
        self.may_write: Callable[[], bool] = lambda: True
        self.answers: Counter[tuple[str, str]] = Counter()
        """Requests so far by method and code."""

    async def __aenter__(self) -> Self:
        self._session = open_session(self._connection, self._agent, self._limit)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (*self._retired, self._session):
            if session is not None:
                await session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401  anything msgspec can encode
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """Send one request and return the body.

        Raises `ApiError`, `OutcomeUnknownError` if no answer came, `FencedError` if it was not sent.
        """
        data = body if body is None or isinstance(body, bytes) else _encode(body)
        more = {} if data is None else {"Content-Type": content_type}
        authorization, certificates = await self._connection.authorization(), self._connection.certificates
        try:
            return await self._send(method, path, data, params, more, authorization)
        except RefusedError as error:
            if error.status != UNAUTHORIZED or not await self._connection.renew(authorization, certificates):
                raise
        return await self._send(method, path, data, params, more, await self._connection.authorization())

    async def _send(
        self,
        method: str,
        path: str,
        data: bytes | None,
        params: Mapping[str, str] | None,
        headers: dict[str, str],
        authorization: str | None,
    ) -> bytes:
        if method != READ and not self.may_write():
            raise FencedError(f"{method} {path} was not sent: this process may not lead any more")
        sent = {**headers, "Authorization": authorization} if authorization else headers
        try:
            async with self._open().request(
                method,
                self._server + path,
                data=data,
                params=params,
                headers=sent,
                timeout=self._timeout,
                server_hostname=self._connection.server_name,
            ) as response:
                content = await response.read()
                self._dated = response.headers.get("Date", "")
                self._note(method, response.status)
                if response.status >= 400:
                    raise _error(response.status, content, response.headers.get("Retry-After"))
                return content
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.answers[method, NO_ANSWER] += 1
            raise OutcomeUnknownError(f"{method} {path}: {error or type(error).__name__}") from error
        except asyncio.CancelledError:
            self.answers[method, NO_ANSWER] += 1
            raise

    def problem(self, seconds: float = 0.0) -> str | None:
        """What has kept every request from succeeding for so long; None if nothing has."""
        since = self._unauthorized_since
        if since is None or time.monotonic() - since < seconds:
            return None
        return "the API server does not accept our credentials (401); renew the token or the kubeconfig"

    def _note(self, method: str, status: int) -> None:
        self.answers[method, str(status)] += 1
        if status != UNAUTHORIZED:
            self._unauthorized_since = None
        elif self._unauthorized_since is None:
            self._unauthorized_since = time.monotonic()

    def server_time(self) -> float | None:
        """When the API server answered last by its own clock, seconds since the epoch; None if it did not say."""
        try:
            return parsedate_to_datetime(self._dated).timestamp()
        except ValueError:
            return None

    async def get(self, path: str, kind: type[_Kind], params: Mapping[str, str] | None = None) -> _Kind:
        """GET an object as `kind`."""
        try:
            return await nesting.decode_aside(await self.request("GET", path, params=params), kind)
        except msgspec.DecodeError as error:  # a proxy's page instead of an object
            raise OutcomeUnknownError(f"GET {path}: {error}") from error

    async def lines(
        self, path: str, params: Mapping[str, str], silence_seconds: float
    ) -> AsyncGenerator[list[bytes], None]:
        """Stream a watch: an empty list once it is open, then whole lines as they come. Ends when the server ends it.

        A stream that is silent for `silence_seconds` is dead (bookmarks come about every minute) and raises
        `SilentError`: without that bound a half-open connection would hang for ever.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=silence_seconds)
        rest = b""
        authorization, certificates = await self._connection.authorization(), self._connection.certificates
        headers = {"Authorization": authorization} if authorization else {}
        is_answered = False
        try:
            async with self._open().get(
                self._server + path,
                params=params,
                headers=headers,
                timeout=timeout,
                server_hostname=self._connection.server_name,
            ) as response:
                self._note("WATCH", response.status)
                is_answered = True
                if response.status == UNAUTHORIZED:
                    await self._connection.renew(authorization, certificates)  # the next watch tries what it brought
                if response.status >= 400:
                    raise _error(response.status, await response.read(), response.headers.get("Retry-After"))
                yield []  # it is open: a sign of life
                async for chunk in response.content.iter_any():
                    whole, newline, tail = (rest + chunk).rpartition(b"\n")
                    rest = tail
                    if len(rest) > MAX_LINE_BYTES:
                        raise OutcomeUnknownError(f"watch {path}: a line is longer than {MAX_LINE_BYTES} bytes")
                    if newline:
                        yield whole.split(b"\n")
        except aiohttp.SocketTimeoutError as error:
            raise SilentError(f"watch {path}: silent for {silence_seconds:.0f} s") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.answers["WATCH", NO_ANSWER] += not is_answered
            raise OutcomeUnknownError(f"watch {path}: {error or type(error).__name__}") from error

    def _open(self) -> aiohttp.ClientSession:
        """The session; another one where the certificate is another one, which only new connections show."""
        if self._session is None:
            raise RuntimeError("Transport is used outside its 'async with'")
        if self._certificates != self._connection.certificates:
            self._certificates = self._connection.certificates
            self._retired.append(self._session)  # what is under way on it ends there; there is one an hour at most
            self._session = open_session(self._connection, self._agent, self._limit)
        return self._session


def _error(status: int, content: bytes, retry_after: str | None) -> ApiError:
    try:
        parsed = _decode_status.decode(content)
    except msgspec.DecodeError:
        parsed = Status(message=content[:200].decode(errors="replace"))
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    if status == 404 and not parsed.reason:
        # Not "this object does not exist" but "this path is not served": a server that is still starting.
        return OverloadedError(status, "PathNotServed", parsed.message, seconds)
    return api_error(status, parsed.reason, parsed.message, seconds)


async def pause(seconds: float, stop: asyncio.Event | None = None) -> None:
    """Wait; with `stop` return as soon as it is set."""
    if stop is None:
        await asyncio.sleep(seconds)
        return
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
