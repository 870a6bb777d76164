"""Prometheus when it is not well: each kind of bad answer is an error that says which, and none takes long."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cloudai_kube import prometheus
from cloudai_kube.prometheus import Prometheus, PrometheusError

GOOD = b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"node":"a"},"value":[1,"2.5"]}]}}'


class Server(HTTPServer):
    """Says what a test wants it to say."""

    body = GOOD
    status = 200
    repeat = 1
    pause_seconds = 0.0


class Handler(BaseHTTPRequestHandler):
    """One answer."""

    server: Server

    def do_GET(self) -> None:
        """Answer."""
        time.sleep(self.server.pause_seconds)
        self.send_response(self.server.status)
        self.end_headers()
        try:
            for _ in range(self.server.repeat):
                self.wfile.write(self.server.body)
        except OSError:
            return

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on the loopback."""
    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def ask(server: Server) -> list[prometheus.Sample]:
    """One question."""
    return Prometheus(f"http://127.0.0.1:{server.server_port}").ask("up")


def test_a_good_answer(server: Server) -> None:
    """Labels and value."""
    assert ask(server) == [prometheus.Sample({"node": "a"}, 2.5)]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"overloaded", 503, "503"),
        (b"<html>", 200, "no JSON"),
        (b"", 200, "no JSON"),
        (b'{"status":"error","error":"x"}', 200, "did not succeed"),
        (GOOD.replace(b"}}", b'},"warnings":["one replica is away"]}'), 200, "partial"),
        (b'{"status":"success","data":{}}', 200, "something else"),
    ],
)
def test_bad_answers(server: Server, body: bytes, status: int, said: str) -> None:
    """The message says what was wrong."""
    server.body, server.status = body, status
    with pytest.raises(PrometheusError, match=said):
        ask(server)


@pytest.mark.parametrize("value", [b'"BLANK"', b"null", b"[]"])
def test_values_that_are_none(server: Server, value: bytes) -> None:
    """They are left out."""
    server.body = GOOD.replace(b'"2.5"', value)
    assert ask(server) == []


def test_an_endless_answer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading stops at the limit."""
    monkeypatch.setattr(prometheus, "MAX_BYTES", 1 << 20)
    server.body, server.repeat = b"x" * (1 << 16), 1 << 10
    with pytest.raises(PrometheusError, match="longer than"):
        ask(server)


def test_a_server_that_hangs(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline ends it, without retries."""
    monkeypatch.setattr(prometheus, "TIMEOUT_SECONDS", 0.2)
    server.pause_seconds = 1.0
    begun = time.monotonic()
    with pytest.raises(PrometheusError, match="does not answer"):
        ask(server)
    assert time.monotonic() - begun < 1.0


def test_nobody_there() -> None:
    """A refused connection is an error at once."""
    with pytest.raises(PrometheusError, match="does not answer"):
        Prometheus("http://127.0.0.1:9").ask("up")
