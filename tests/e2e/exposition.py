"""Metrics that a test writes down, scraped by a real Prometheus."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from cloudai_kube.prometheus import Prometheus
from cloudai_kube.prometheus_access import Access
from cloudai_sandbox.processes import Children
from cloudai_sandbox.services import start_prometheus


class Exporter(HTTPServer):
    """Says what it is told to say."""

    text: Callable[[], str] = staticmethod(str)


class Handler(BaseHTTPRequestHandler):
    """One answer."""

    server: Exporter

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.server.text().encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def scraped(folder: Path, text: Callable[[], str], query: str, count: int) -> Iterator[str]:
    """The address of a Prometheus that has scraped the text, as soon as a query has so many results."""
    with Exporter(("127.0.0.1", 0), Handler) as server:
        server.text = text
        threading.Thread(target=server.serve_forever, daemon=True).start()
        target = {"targets": [f"127.0.0.1:{server.server_port}"]}
        job = {"job_name": "written-down", "honor_labels": True, "static_configs": [target]}
        children = Children(folder)
        scraping = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}
        try:
            _, url = start_prometheus(folder, children, scraping, lambda _text: None)
            end = time.monotonic() + 30
            while len(Prometheus(Access(url)).ask(query)) < count:
                assert time.monotonic() < end
                time.sleep(0.2)
            yield url
        finally:
            children.stop()
            server.shutdown()
