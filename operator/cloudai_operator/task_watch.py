"""Tasks by kopf: the watch runs in a thread and loop of its own and only enqueues.

State-tracking handlers, timers and daemons of kopf add finalizers and annotations to every object and lose updates when
there are several; `on.event` does none of that. What it may miss is found by a full list now and then.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import kopf
import msgspec

from cloudai_kube.connection import Connection
from cloudai_kube.errors import KubeError
from cloudai_kube.objects import ObjectList
from cloudai_kube.task import Task
from cloudai_kube.transport import Transport
from cloudai_operator.cache import Cache
from cloudai_rts import contract

_log = logging.getLogger(__name__)
TaskEvent = Callable[[str, dict[str, Any]], None]


class TaskWatch:
    """Runs kopf until `stop`. `see` is called in `loop` with every event."""

    def __init__(
        self,
        connection: Connection,
        loop: asyncio.AbstractEventLoop,
        see: TaskEvent,
        ended: Callable[[], None],
        silence_seconds: float,
    ) -> None:
        self._silence_seconds = silence_seconds
        self._connection = connection
        self._loop = loop
        self._see = see
        self._ended = ended
        self._stop = threading.Event()
        self.ready = threading.Event()
        self.last_event = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Stop it and wait."""
        self._stop.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        logging.getLogger("kopf").setLevel(logging.ERROR)
        try:
            asyncio.run(
                kopf.operator(
                    registry=self._registry(),
                    settings=_settings(self._silence_seconds),
                    clusterwide=True,
                    standalone=True,
                    stop_flag=self._stop,
                    ready_flag=self.ready,
                )
            )
        except Exception:  # noqa: BLE001  whatever it was: without the watch this process is of no use
            _log.exception("the Task watch failed")
        if not self._stop.is_set():
            self._loop.call_soon_threadsafe(self._ended)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def log_in(**_: Any) -> kopf.ConnectionInfo:  # noqa: ANN401  kopf's keyword protocol
            return self._connection_info()

        @kopf.on.event(contract.GROUP, contract.VERSION, contract.PLURAL, registry=registry)
        async def see(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: ANN401, A002  kopf gives these by name
            self.last_event = time.monotonic()
            self._loop.call_soon_threadsafe(self._see, type or "ADDED", dict(body))

        return registry

    def _connection_info(self) -> kopf.ConnectionInfo:
        known = self._connection
        scheme, _, token = (known.authorization() or "").partition(" ")
        return kopf.ConnectionInfo(
            server=known.server,
            ca_path=known.authority_file,
            certificate_path=known.certificate_file,
            private_key_path=known.key_file,
            scheme=scheme or None,
            token=token or None,
        )


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


async def list_tasks(transport: Transport, cache: Cache) -> None:
    """Compare all Tasks with what we know. Raises `KubeError`."""
    path = f"/apis/{contract.API_VERSION}/{contract.PLURAL}"
    listed: set[str] = set()
    before = set(cache.tasks)
    found = await transport.get(path, ObjectList)
    for raw in found.items:
        listed.add(raw.get("metadata", {}).get("uid", ""))  # also one that cannot be read exists
        task = read(raw)
        if task is not None:
            cache.put_task(task)
    for uid in before - listed:
        cache.remove_task(uid)


def read(raw: dict[str, Any]) -> Task | None:
    """Decode a Task; one that cannot be read is left out, and the log says why."""
    try:
        return msgspec.convert(raw, Task)
    except msgspec.ValidationError as error:
        name = raw.get("metadata", {}).get("name", "?")
        _log.error("Task %s cannot be read: %s", name, error)
        return None


async def relist_for_ever(transport: Transport, cache: Cache, interval_seconds: float) -> None:
    """Find what the watch has missed, if it ever does."""
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await list_tasks(transport, cache)
            for uid in cache.owners() - cache.tasks.keys():
                cache.changed(uid)
        except KubeError as error:
            _log.info("listing Tasks: %s", error)
