"""Tasks by kopf: the watch runs in a thread and loop of its own and only enqueues.

State-tracking handlers, timers and daemons of kopf add finalizers and annotations to every object and lose updates when
there are several; `on.event` does none of that. What it may miss is found by a full list now and then.

kopf reads through a session of ours: the same credentials, proxy and certificates as everything else, and lines whose
nesting is cut, because kopf's own decoder would end the watch of all Tasks at one that is nested too deeply.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp
import kopf
import msgspec

from cloudai_kube import listing, nesting
from cloudai_kube.connection import Connection
from cloudai_kube.errors import KubeError
from cloudai_kube.objects import Meta
from cloudai_kube.scope import EVERYWHERE, Scope
from cloudai_kube.task import Task
from cloudai_kube.transport import UNAUTHORIZED, Transport, open_session
from cloudai_kube.wording import sentence
from cloudai_operator.cache import Cache, Unreadable
from cloudai_rts import contract

_log = logging.getLogger(__name__)
TaskRead = Task | Unreadable
TaskEvent = Callable[[str, TaskRead | Exception], None]
"""Is told what happened to a Task, or of one of which not even the name can be read."""
_IDENTITY: Final[Any] = contract.OPERATOR_NAME
"""Given, or kopf asks for the name of the user, and the user of a container need not have one."""


class TaskWatch:
    """Runs kopf until `stop`. `see` is called in `loop` with every event, `ended` if kopf gives up."""

    def __init__(
        self,
        connection: Connection,
        loop: asyncio.AbstractEventLoop,
        see: TaskEvent,
        ended: Callable[[], None],
        silence_seconds: float,
        scope: Scope = EVERYWHERE,
    ) -> None:
        self._silence_seconds = silence_seconds
        self._scope = scope
        self._connection = connection
        self._loop = loop
        self._see = see
        self._ended = ended
        self._stop = threading.Event()
        self._last_contact = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._last_contact = time.monotonic()
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Stop it and wait."""
        self._stop.set()
        self._thread.join(timeout_seconds)

    def problem(self) -> str | None:
        """Why Tasks are not followed; None if they are. Bookmarks come every minute, so silence means a dead watch."""
        if self._thread.ident is None:
            return None  # a standby does not follow them yet
        if not self._thread.is_alive():
            return "the thread that follows Tasks has ended"
        silent = time.monotonic() - self._last_contact
        return f"the watch of Tasks has said nothing for {silent:.0f} s" if silent > 2 * self._silence_seconds else None

    def _run(self) -> None:
        logging.getLogger("kopf").setLevel(logging.ERROR)
        try:
            asyncio.run(
                kopf.operator(
                    registry=self._registry(),
                    settings=_settings(self._silence_seconds),
                    clusterwide=not self._scope.namespaces,
                    namespaces=self._scope.namespaces,
                    identity=_IDENTITY,
                    standalone=True,
                    stop_flag=self._stop,
                )
            )
        except Exception:  # noqa: BLE001  whatever it was: without the watch this process is of no use
            _log.exception("the Task watch failed")
        if not self._stop.is_set():
            self._loop.call_soon_threadsafe(self._ended)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def log_in(**_: Any) -> kopf.AiohttpSession:  # noqa: ANN401  kopf's keyword protocol
            return kopf.AiohttpSession(server=self._connection.server, aiohttp_session=self._session())

        @kopf.on.event(contract.GROUP, contract.VERSION, contract.PLURAL, registry=registry)
        async def see(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: ANN401, A002  kopf gives these by name
            try:
                task: TaskRead | Exception = task_of(dict(body))
            except (msgspec.ValidationError, RecursionError) as error:
                task = error
            self._loop.call_soon_threadsafe(self._see, type or "ADDED", task)

        return registry

    def _session(self) -> aiohttp.ClientSession:
        return open_session(
            self._connection,
            contract.OPERATOR_NAME,
            response_class=_response_class(self._hear),
            middlewares=(self._authorize,),
        )

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        authorization = await self._connection.authorization()
        if authorization:
            request.headers["Authorization"] = authorization
        request.server_hostname = self._connection.server_name
        response = await handler(request)
        if response.status == UNAUTHORIZED:
            await self._connection.renew(authorization)
        return response

    def _hear(self) -> None:
        self._last_contact = time.monotonic()


class _CutLines:
    """The body of a response as kopf reads it, whole lines of it, none nested too deeply."""

    def __init__(self, content: aiohttp.StreamReader, hear: Callable[[], None]) -> None:
        self._content = content
        self._hear = hear

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever else a stream reader has
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Pieces that end with a line; `size` is how much is read at once."""
        rest = b""
        async for data in self._content.iter_chunked(size):
            self._hear()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield nesting.cut(line) + b"\n"
        if rest:
            yield nesting.cut(rest)


def _response_class(hear: Callable[[], None]) -> type[aiohttp.ClientResponse]:
    class Response(aiohttp.ClientResponse):
        """A response whose JSON is cut before anybody reads it; `hear` is told that the server is there."""

        async def start(self, connection: Any) -> aiohttp.ClientResponse:  # noqa: ANN401  aiohttp's own connection
            await super().start(connection)
            if self.ok and "watch" in self.url.query:  # lists that succeed say nothing of a watch that does not
                hear()
                self.content = _CutLines(self.content, hear)  # type: ignore[assignment]  # kopf asks for no more
            return self

        async def json(self, **_: Any) -> Any:  # noqa: ANN401  JSON, and aiohttp's options
            return json.loads(nesting.cut(await self.read()))

    return Response


def _settings(silence_seconds: float) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = 30
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 5
    settings.watching.inactivity_timeout = silence_seconds
    settings.process.ultimate_exiting_timeout = 10.0
    settings.persistence.finalizer = f"{contract.GROUP}/finalizer"
    return settings


class _Header(msgspec.Struct):
    metadata: Meta
    status: dict[str, Any] = {}


def read_task(raw: bytes) -> TaskRead:
    """A Task as the API server sends it; of one that cannot be read what can. Raises `msgspec.DecodeError`."""
    try:
        return nesting.decode(raw, Task)
    except msgspec.ValidationError as error:
        return _unreadable(nesting.decode(raw, _Header), error)


def task_of(body: dict[str, Any]) -> TaskRead:
    """As `read_task`, of what kopf has decoded. Raises `msgspec.ValidationError`."""
    try:
        return msgspec.convert(body, Task)
    except (msgspec.ValidationError, RecursionError) as error:
        return _unreadable(msgspec.convert(body, _Header), error)


def _unreadable(header: _Header, error: Exception) -> Unreadable:
    conditions = header.status.get("conditions")
    return Unreadable(header.metadata, sentence(error), conditions if isinstance(conditions, list) else [])


async def list_tasks(
    transport: Transport, cache: Cache, scope: Scope = EVERYWHERE, park: Callable[[Exception], None] = lambda _: None
) -> None:
    """Compare all Tasks with what we know; `park` hears of those of which not even the name can be read.

    Raises `KubeError`.
    """
    listed: set[str] = set()
    before = set(cache.tasks) | set(cache.unreadable)
    breath = listing.Breath()
    for path in scope.tasks().values():
        for raw in (await listing.read(transport, path, bytes)).items:
            try:
                listed.add(see(cache, await nesting.aside(read_task, raw)))
            except msgspec.DecodeError as error:
                _log.error("a Task without readable metadata is left out: %s", error)
                park(error)
            await breath.take()
    for uid in before - listed:
        cache.remove_task(uid)


def see(cache: Cache, task: TaskRead) -> str:
    """Take one Task; one that cannot be read exists all the same. Returns its UID."""
    if isinstance(task, Unreadable):
        cache.put_unreadable(task)
    else:
        cache.put_task(task)
    return task.uid if isinstance(task, Unreadable) else task.metadata.uid


async def relist_for_ever(
    transport: Transport,
    cache: Cache,
    interval_seconds: float,
    scope: Scope = EVERYWHERE,
    park: Callable[[Exception], None] = lambda _: None,
) -> None:
    """Find what the watch has missed, if it ever does."""
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await list_tasks(transport, cache, scope, park)
            for uid in cache.owners() - cache.known():
                cache.changed(uid)
        except KubeError as error:
            _log.info("listing Tasks: %s", error)
