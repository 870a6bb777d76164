"""A real HTTP server that keeps objects and streams watches as the API server does, with faults on request.

For tests of what talks to the API server, where starting a control plane would take seconds and its timing could not be
chosen. It knows collections by path, optimistic locking, pages, bookmarks and subresources as far as they are used.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from cloudai_kube.connection import Connection
from cloudai_kube.transport import Transport

Answer = Callable[[web.Request], Any]
SUBRESOURCES = ("status", "binding")
COLLECTIONS = frozenset(
    {
        "pods", "nodes", "namespaces", "configmaps", "tasks", "leases", "events",
        "persistentvolumes", "persistentvolumeclaims", "storageclasses", "poddisruptionbudgets",
        "csinodes", "csidrivers", "csistoragecapacities", "volumeattachments",
        "services", "replicationcontrollers", "replicasets", "statefulsets",
    }
)  # fmt: skip


class ApiServer:
    """Objects by collection path and name; `requests` is all that was asked, as `METHOD path`."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, dict[str, dict[str, Any]]] = {}
        self.requests: list[str] = []
        self.bodies: list[tuple[str, Any]] = []
        self.headers: list[str] = []
        self.faults: list[tuple[re.Pattern[str], Answer]] = []
        self.raw: dict[str, bytes] = {}
        self.url = ""
        self._watches: list[tuple[str, asyncio.Queue[bytes | None]]] = []
        self._runner: web.AppRunner | None = None

    def put(self, path: str, body: dict[str, Any], event: str = "") -> dict[str, Any]:
        """Create or replace an object in a collection, and tell the watches."""
        namespace, name = body["metadata"].get("namespace", ""), body["metadata"]["name"]
        known = self.objects.setdefault(path, {})
        is_new = f"{namespace}/{name}" not in known
        self.version += 1
        body["metadata"] = {"uid": f"uid-{name}", **body["metadata"], "resourceVersion": str(self.version)}
        known[f"{namespace}/{name}"] = body
        self.tell(path, event or ("ADDED" if is_new else "MODIFIED"), body)
        return body

    def remove(self, path: str, name: str, namespace: str = "ns") -> None:
        """Delete an object, and tell the watches its last state."""
        body = self.objects[path].pop(f"{namespace}/{name}")
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.tell(path, "DELETED", body)

    def tell(self, path: str, event: str, body: Any) -> None:
        """Send one event to the watches of a collection."""
        self.tell_raw(path, json.dumps({"type": event, "object": body}).encode())

    def tell_raw(self, path: str, line: bytes) -> None:
        """Send one line to the watches of a collection, whatever it is."""
        for watched, queue in self._watches:
            if watched == path:
                queue.put_nowait(line + b"\n")

    def end_watches(self) -> None:
        """Break all streams in an orderly way."""
        for _, queue in self._watches:
            queue.put_nowait(None)

    def watching(self, path: str) -> int:
        """How many watches of a collection are open."""
        return sum(watched == path for watched, _ in self._watches)

    def fail(self, pattern: str, answer: Answer, times: int = 1) -> None:
        """Answer requests (`METHOD path?query`) that match in another way, so often."""
        self.faults += [(re.compile(pattern), answer)] * times

    async def start(self) -> None:
        """Listen on the loopback."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Stop listening."""
        self.end_watches()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        asked = f"{request.method} {request.path_qs}"
        self.requests.append(asked)
        self.headers.append(request.headers.get("Authorization", ""))
        for index, (pattern, answer) in enumerate(self.faults):
            if pattern.search(asked):
                del self.faults[index]
                return await _answered(answer, request)
        if request.query.get("watch"):
            return await self._watch(request)
        body = await request.json() if request.can_read_body else None
        if body is not None:
            self.bodies.append((asked, body))
        return self.act(request, body)

    def act(self, request: web.Request, body: Any) -> web.Response:
        """Do what a request asks for."""
        path = request.path
        if request.method == "GET" and (path in self.raw or self._is_collection(path)):
            return self._list(request)
        if request.method == "POST" and not path.endswith(SUBRESOURCES):
            return self._create(path, body)
        subresource = path.rpartition("/")[2] if path.endswith(SUBRESOURCES) else ""
        collection, key = self._split(path.removesuffix(f"/{subresource}") if subresource else path)
        known = self.objects.get(collection, {}).get(key)
        if known is None:
            return status(404, "NotFound", f"{path} not found")
        if request.method == "GET":
            return web.json_response(known)
        if (problem := _conflict(known, body)) is not None:
            return problem
        return self._change(request.method, collection, known, body, subresource)

    def _change(self, method: str, collection: str, known: dict[str, Any], body: Any, subresource: str) -> web.Response:
        if method == "DELETE":
            self.remove(collection, known["metadata"]["name"], known["metadata"].get("namespace", ""))
            return web.json_response(known)
        if subresource == "binding":
            if known["spec"].get("nodeName"):
                return status(409, "Conflict", "the pod is assigned to a node already")
            meta = body["metadata"]
            known["spec"]["nodeName"] = body["target"]["name"]
            for part in ("annotations", "labels"):
                known["metadata"][part] = {**known["metadata"].get(part, {}), **meta.get(part, {})}
            self.put(collection, known)
            return web.json_response({"status": "Success"}, status=201)
        if method == "PUT":
            return web.json_response(self.put(collection, body))
        return web.json_response(self.put(collection, _merged(known, body)))

    def _create(self, path: str, body: Any) -> web.Response:
        namespace = path.partition("/namespaces/")[2].partition("/")[0]
        body["metadata"].setdefault("namespace", namespace)
        collection = self._collection(path)
        if f"{namespace}/{body['metadata']['name']}" in self.objects.get(collection, {}):
            return status(409, "AlreadyExists", f"{body['metadata']['name']} already exists")
        return web.json_response(self.put(collection, body), status=201)

    def _is_collection(self, path: str) -> bool:
        return path.rpartition("/")[2] in COLLECTIONS

    def _collection(self, path: str) -> str:
        """The cluster-wide path of a namespaced collection."""
        return re.sub(r"/namespaces/[^/]+", "", path)

    def _split(self, path: str) -> tuple[str, str]:
        found = re.fullmatch(r"(.*)/namespaces/([^/]+)/([^/]+)/([^/]+)", path)
        if found is not None:
            return f"{found[1]}/{found[3]}", f"{found[2]}/{found[4]}"
        collection, _, name = path.rpartition("/")
        return collection, f"/{name}"

    def _list(self, request: web.Request) -> web.Response:
        if request.path in self.raw:
            return web.Response(body=self.raw[request.path], content_type="application/json")
        namespace = request.path.partition("/namespaces/")[2].partition("/")[0]
        known = self.objects.get(self._collection(request.path), {})
        items = [body for key, body in known.items() if not namespace or key.startswith(f"{namespace}/")]
        begin, size = int(request.query.get("continue", "0")), int(request.query.get("limit", "0")) or len(items)
        rest = begin + size < len(items)
        meta = {"resourceVersion": str(self.version), **({"continue": str(begin + size)} if rest else {})}
        return web.json_response({"kind": "List", "metadata": meta, "items": items[begin : begin + size]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        watch = (self._collection(request.path), queue)
        self._watches.append(watch)
        try:
            while (line := await queue.get()) is not None:
                await response.write(line)
        except ConnectionError:
            return response
        finally:
            self._watches.remove(watch)
        return response


def status(code: int, reason: str, message: str = "", retry_after: str = "") -> web.Response:
    """A meta/v1 Status."""
    headers = {"Retry-After": retry_after} if retry_after else {}
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code, headers=headers)


async def _answered(answer: Answer, request: web.Request) -> web.StreamResponse:
    found = answer(request)
    if asyncio.iscoroutine(found):
        found = await found
    response: web.StreamResponse = found
    return response


def _conflict(known: dict[str, Any], body: Any) -> web.Response | None:
    meta = (body or {}).get("preconditions") or (body or {}).get("metadata") or {}
    for key in ("uid", "resourceVersion"):
        if meta.get(key) and meta[key] != known["metadata"][key]:
            return status(409, "Conflict", f"{key} is {known['metadata'][key]}, not {meta[key]}")
    return None


def _merged(known: Any, patch: Any) -> Any:
    """A merge patch; conditions are merged by type, as a strategic patch does."""
    if not isinstance(patch, dict) or not isinstance(known, dict):
        return patch
    merged = dict(known)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif key == "conditions":
            kinds = {one["type"] for one in value}
            merged[key] = [*(one for one in known.get(key, []) if one["type"] not in kinds), *value]
        else:
            merged[key] = _merged(known.get(key), value)
    return merged


@asynccontextmanager
async def running(token: str | None = None) -> AsyncIterator[tuple[ApiServer, Transport]]:
    """A server and a transport that talks to it."""
    server = ApiServer()
    await server.start()
    try:
        async with Transport(Connection(server.url, None, lambda: token), "test", timeout_seconds=5.0) as transport:
            yield server, transport
    finally:
        await server.close()


async def until(what: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Wait until something is true and return it."""
    end = asyncio.get_running_loop().time() + seconds
    while not (found := what()):
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"not within {seconds} s")
        await asyncio.sleep(0.005)
    return found
