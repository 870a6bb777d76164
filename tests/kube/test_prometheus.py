"""Prometheus when it is not well: each kind of bad answer is an error that says which, and none takes long."""

import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cloudai_kube import pod_use, prometheus, telemetry
from cloudai_kube.errors import ConfigurationError, PrometheusError
from cloudai_kube.prometheus import Prometheus
from cloudai_kube.prometheus_access import Access
from cloudai_kube.samples import Sample

GOOD = b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"node":"a"},"value":[1,"2.5"]}]}}'


class Server(HTTPServer):
    """Says what a test wants it to say."""

    body = GOOD
    status = 200
    repeat = 1
    pause_seconds = 0.0
    drip_headers = False
    drip_body = False
    promised_bytes = 0
    location = ""
    asked = ""
    authorization = ""


class Handler(BaseHTTPRequestHandler):
    """One answer."""

    server: Server

    def do_GET(self) -> None:
        """Answer."""
        self.server.asked = urllib.parse.unquote_plus(self.path)
        self.server.authorization = self.headers.get("Authorization", "")
        time.sleep(self.server.pause_seconds)
        if self.server.drip_headers:
            self._drip(b"HTTP/1.0 200 OK\r\n" + b"X: " + b"y" * 1000)
            return
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        if self.server.promised_bytes:
            self.send_header("Content-Length", str(self.server.promised_bytes))
        self.end_headers()
        if self.server.drip_body:
            self._drip(self.server.body * 50)
            return
        try:
            for _ in range(self.server.repeat):
                self.wfile.write(self.server.body)
        except OSError:
            return

    def _drip(self, content: bytes) -> None:
        """A byte at a time, each well within every time-out of a socket, for two seconds at most."""
        try:
            for number in range(min(len(content), 40)):
                self.wfile.write(content[number : number + 1])
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            return

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on the loopback."""
    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def ask(server: Server) -> list[Sample]:
    """One question."""
    return Prometheus(Access(f"http://127.0.0.1:{server.server_port}")).ask("up")


def test_a_good_answer(server: Server) -> None:
    """Labels and value."""
    assert ask(server) == [Sample({"node": "a"}, 2.5)]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"overloaded", 503, "503"),
        (b"<html>", 200, "no JSON"),
        (b"", 200, "no JSON"),
        (b'{"status":"error","error":"x"}', 200, "did not succeed"),
        (GOOD.replace(b"}}", b'},"warnings":["one replica is away"]}'), 200, "partial"),
        (GOOD.replace(b"}}", b'},"isPartial":true}'), 200, "partial"),
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


def test_a_redirect_is_not_followed(server: Server) -> None:
    """Nor is its body read: it is endless."""
    server.status, server.location = 302, "http://login.example/"
    server.body, server.repeat = b"x" * (1 << 16), 1 << 14
    begun = time.monotonic()
    with pytest.raises(PrometheusError, match=r"redirects to http://login\.example/; use that address"):
        ask(server)
    assert time.monotonic() - begun < 1.0


def test_a_server_that_hangs(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline ends it, without retries."""
    monkeypatch.setattr(prometheus, "TIMEOUT_SECONDS", 0.2)
    server.pause_seconds = 1.0
    begun = time.monotonic()
    with pytest.raises(PrometheusError, match="does not answer"):
        ask(server)
    assert time.monotonic() - begun < 1.0


def test_nobody_there() -> None:
    """A refused connection is an error at once, in the operating system's words."""
    with pytest.raises(PrometheusError, match=r"does not answer: Connection refused$"):
        Prometheus(Access("http://127.0.0.1:9")).ask("up")


@pytest.mark.parametrize("part", ["drip_headers", "drip_body"])
def test_a_server_that_drips(server: Server, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then passes every time-out of a socket; the whole question has an end of its own."""
    monkeypatch.setattr(prometheus, "TOTAL_SECONDS", 0.3)
    monkeypatch.setattr(prometheus, "TIMEOUT_SECONDS", 0.3)
    setattr(server, part, True)
    asked = Prometheus(Access(f"http://127.0.0.1:{server.server_port}"))
    begun = time.monotonic()
    with pytest.raises(PrometheusError, match=r"(takes|took) longer"):
        asked.ask("up")
    assert time.monotonic() - begun < 1.5


def test_a_connection_that_breaks_in_the_middle(server: Server) -> None:
    """Fewer bytes than were promised: an error like any other, and no half answer."""
    server.promised_bytes = 10 * len(GOOD)
    with pytest.raises(PrometheusError, match="does not answer"):
        ask(server)


def test_infos_are_no_warnings(server: Server) -> None:
    """Prometheus 3 adds hints to whole answers."""
    server.body = GOOD.replace(b"}}", b'},"infos":["metric might not be a counter"]}')
    assert len(ask(server)) == 1


def test_matchers_go_into_every_selector(server: Server) -> None:
    """One Prometheus, several clusters; partial answers are declined in advance."""
    access = Access(f"http://127.0.0.1:{server.server_port}", 'cluster="east"')
    query = 'sum(rate(node_cpu_seconds_total{mode="user"}[1m])) by (node) / max(kube_pod_info)'
    Prometheus(access).ask(query)
    assert 'node_cpu_seconds_total{mode="user",cluster="east"}[1m]' in server.asked
    assert 'kube_pod_info{cluster="east"}' in server.asked
    assert "deny_partial_response=1" in server.asked


def test_clusters_may_have_a_label_of_another_name(server: Server) -> None:
    """It is asked for as it is called there, and told as it is called here: two clusters are noticed by it."""
    server.body = GOOD.replace(b'"metric":{', b'"metric":{"k8s_cluster":"east",')
    access = Access(f"http://127.0.0.1:{server.server_port}", cluster_label="k8s_cluster")
    [sample] = Prometheus(access).ask(telemetry.QUERIES["memory"])
    assert sample.labels["cluster"] == "east"
    assert re.search(r"by \(k8s_cluster, ", server.asked)
    assert not re.search(r"\bcluster\b", server.asked)


@pytest.mark.parametrize("query", [*telemetry.QUERIES.values(), *pod_use.QUERIES.values(), telemetry.POD_INFO])
def test_no_series_of_ours_escapes_the_matchers(query: str) -> None:
    """Wherever a metric's name stands the matchers stand behind it, except in a quoted text."""
    narrowed = Access("http://x", 'cluster="east"').query(query)
    names = re.findall(r"(?<![\w\"])(?:node|DCGM|container|kube)_\w+(?=[^\w\"(,])", narrowed)
    assert names
    assert not re.search(r'"(?:DCGM|node|kube|container)_\w+\{', narrowed)
    assert narrowed.count('cluster="east"') >= len([name for name in names if name not in LABELS])


LABELS = {"kubernetes_node", "node_name"}


@pytest.mark.parametrize("matchers", ["cluster=east", 'cluster="east"}', "} or vector(1", 'a="b" or up{'])
def test_matchers_that_are_none(matchers: str) -> None:
    """Nothing but matchers can be put into a query."""
    with pytest.raises(ConfigurationError, match="label matchers"):
        Access("http://x", matchers)


def test_the_token_is_read_again(server: Server, tmp_path: Path) -> None:
    """It rotates; a file that is gone is an error that names it."""
    file = tmp_path / "token"
    asked = Prometheus(Access(f"http://127.0.0.1:{server.server_port}", token_file=str(file)))
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        asked.ask("up")
        assert server.authorization == f"Bearer {token}"
    file.unlink()
    with pytest.raises(PrometheusError, match="bearer token"):
        asked.ask("up")


def test_credentials_stay_out_of_errors() -> None:
    """The address is shown without user and password."""
    with pytest.raises(PrometheusError) as caught:
        Prometheus(Access("http://metrics:c4nary@127.0.0.1:9/?token=c4nary")).ask("up")
    assert "c4nary" not in str(caught.value)
