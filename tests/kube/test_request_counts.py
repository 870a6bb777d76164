"""Requests by verb and answer, from a real HTTP server."""

import pytest
from prometheus_client import CollectorRegistry
from tests.api_server import running, status

from cloudai_kube import errors
from cloudai_kube.objects import Pod
from cloudai_kube.request_counts import RequestCounts

PATH = "/api/v1/namespaces/ns/pods/p"


async def test_answers_are_counted_by_verb_and_code() -> None:
    """Refusals too, watches as such, and requests that nobody answered."""
    registry = CollectorRegistry()

    def count(method: str, code: str) -> float | None:
        labels = {"method": method, "code": code}
        return registry.get_sample_value("cloudai_rest_client_requests_total", labels)

    async with running() as (server, transport):
        registry.register(RequestCounts([transport]))
        server.put("/api/v1/pods", {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}})
        await transport.get(PATH, Pod)
        server.fail("GET", lambda _: status(429, "TooManyRequests", "later"), times=2)
        for _ in range(2):
            with pytest.raises(errors.OverloadedError):
                await transport.get(PATH, Pod)
        async for _ in transport.lines("/api/v1/pods", {"watch": "1"}, 5.0):
            break
        assert (count("GET", "200"), count("GET", "429"), count("WATCH", "200")) == (1.0, 2.0, 1.0)
        await server.close()
        with pytest.raises(errors.OutcomeUnknownError):
            await transport.get(PATH, Pod)
        assert count("GET", "<error>") == 1.0
