"""Prometheus and a server with MongoDB's protocol beside the control plane, on free ports of the loopback."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from cloudai_rts.traces import FleetNode
from cloudai_sandbox import binaries
from cloudai_sandbox.control_plane import Say
from cloudai_sandbox.errors import StartError
from cloudai_sandbox.processes import Child, Children, free_ports

PROMETHEUS, MONGODB = "prometheus", "mongodb"
SERVICES: Final = (PROMETHEUS, MONGODB)
SCRAPE_SECONDS: Final = 5
READY_SECONDS: Final = 60.0


def binary(name: str, say: Say) -> str:
    """Path of a service's binary, built once."""
    return binaries.service({MONGODB: "ferretdb"}.get(name, name), say)


def start_mongodb(folder: Path, children: Children, say: Say, port: int = 0) -> tuple[Child, str]:
    """Start the database in `folder`; its files stay, so that it can be stopped and started again. Returns its URI."""
    program = binary(MONGODB, say)
    data = folder / MONGODB
    data.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{port or free_ports(1)[0]}"
    child = children.start(MONGODB, [program, address, str(data)])
    host, _, number = address.rpartition(":")
    _wait(child, lambda: _listens(host, int(number)))
    return child, f"mongodb://{address}/"


def start_prometheus(folder: Path, children: Children, scraping: Mapping[str, object], say: Say) -> tuple[Child, str]:
    """Start Prometheus with this configuration, such as `scrape_config`. Returns its URL."""
    program = binary(PROMETHEUS, say)
    home = folder / PROMETHEUS
    home.mkdir(parents=True, exist_ok=True)
    config = home / "prometheus.yml"
    config.write_text(yaml.safe_dump(dict(scraping)), encoding="utf-8")
    port = free_ports(1)[0]
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.retention.time=2d",
        "--log.level=warn",
    ]
    child = children.start(PROMETHEUS, command)
    url = f"http://127.0.0.1:{port}"
    _wait(child, lambda: _answers(f"{url}/-/ready"))
    return child, url


def scrape_config(nodes: Sequence[FleetNode], exporters: str) -> dict[str, object]:
    """One target a node and exporter, with the labels that node-exporter and dcgm-exporter have in clusters."""

    def job(name: str, path: str, port: int, members: Sequence[FleetNode]) -> dict[str, object]:
        targets = [
            {
                "targets": [exporters],
                "labels": {"__metrics_path__": f"/{path}/{node.node}", "instance": f"{node.node}:{port}"},
            }
            for node in members
        ]
        return {"job_name": name, "static_configs": targets}

    gpu_nodes = [node for node in nodes if node.gpu]
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"},
        "scrape_configs": [
            job("node-exporter", "node", 9100, nodes),
            job("dcgm-exporter", "dcgm", 9400, gpu_nodes),
        ],
    }


def _wait(child: Child, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + READY_SECONDS
    while not ready():
        child.check()
        if time.monotonic() > end:
            raise StartError(f"{child.name} is not ready after {READY_SECONDS:.0f} s; see {child.log}")
        time.sleep(0.1)


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  our own
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
