"""MongoDB and Prometheus behind TLS: the right certificate is accepted, everything else refused with its reason.

Real servers stand behind a proxy that ends TLS, with the certificate that a test wants.
"""

import asyncio
import datetime as dt
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from cloudai_kube import task_history
from cloudai_kube.errors import DatabaseError, PrometheusError
from cloudai_kube.prometheus import Prometheus
from cloudai_kube.prometheus_access import Access
from cloudai_operator import history
from cloudai_sandbox import certificates
from cloudai_sandbox.control_plane import log_nothing
from cloudai_sandbox.processes import Children, free_ports
from cloudai_sandbox.services import start_mongodb, start_prometheus

PROXY: Final = Path(__file__).parents[1] / "tls_proxy.py"
TOKEN: Final = "canary-token-71c2"  # noqa: S105  of a test
RIGHT, WRONG_AUTHORITY, WRONG_NAME, EXPIRED, PLAIN = "right", "wrong authority", "wrong name", "expired", "plain text"
FAULTS: Final = {
    WRONG_AUTHORITY: "certificate verify failed",
    WRONG_NAME: "mismatch|doesn't match|not valid for",
    EXPIRED: "certificate has expired",
    PLAIN: "SSL|TLS|wrong version|record layer",
}
MONGODB_FAULTS: Final = {**FAULTS, PLAIN: f"{FAULTS[PLAIN]}|No servers found"}
"""A database that speaks plain text may also wait for the rest of our greeting until we give up."""


@dataclass(frozen=True, slots=True)
class Server:
    """A TLS address and the authority that a client is told to trust."""

    host: str
    port: int
    authority: str


class Servers:
    """The two real servers, and a proxy before either."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children = Children(folder / "logs")
        _, mongodb = start_mongodb(folder, self.children, log_nothing)
        _, prometheus = start_prometheus(folder, self.children, {"global": {}}, log_nothing)
        self.mongodb_port = int(mongodb.rstrip("/").rpartition(":")[2])
        self.prometheus_port = int(prometheus.rpartition(":")[2])

    @contextmanager
    def behind_tls(self, port: int, fault: str) -> Iterator[Server]:
        """A proxy before a port, right or with one fault."""
        files = certificates.issue(self.folder / f"{fault}-{port}")
        trusted = certificates.issue(self.folder / "others") if fault == WRONG_AUTHORITY else files
        certificate = [] if fault == PLAIN else [str(files.server), str(files.server_key)]
        host = "127.0.0.2" if fault == WRONG_NAME else "127.0.0.1"
        own = free_ports(1)[0]
        child = self.children.start("tls", [sys.executable, str(PROXY), host, str(own), str(port), *certificate])
        wait_for(host, own)
        yield Server(host, own, str(trusted.authority))
        child.stop()
        self.children.running.remove(child)


def wait_for(host: str, port: int) -> None:
    """Wait until somebody listens there."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nobody listens at {host}:{port}")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Started once."""
    running = Servers(tmp_path_factory.mktemp("tls"))
    yield running
    running.children.stop()


@pytest.fixture(autouse=True)
def short_lives(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates of a test about expired ones have ended a minute ago."""
    if EXPIRED in str(request.node.name):
        monkeypatch.setattr(certificates, "_VALID", dt.timedelta(minutes=-1))


def test_mongodb_with_the_right_certificate(servers: Servers) -> None:
    """Both clients, the optimizer's and the operator's."""
    with servers.behind_tls(servers.mongodb_port, RIGHT) as server:
        uri = f"mongodb://{server.host}:{server.port}/"
        with task_history.connected(uri, "test", server.authority) as database:
            assert task_history.read(database, 0.0) == ([], 0)

        async def ping() -> float:
            client = history.client(uri, server.authority)
            answer = await client["cloudai"].command("ping")
            await client.close()
            return float(answer["ok"])

        assert asyncio.run(ping()) == 1.0


@pytest.mark.parametrize("fault", FAULTS)
def test_mongodb_is_refused(servers: Servers, fault: str) -> None:
    """Never a fallback to plain text or to no check; the words name the trouble."""
    with servers.behind_tls(servers.mongodb_port, fault) as server:
        uri = f"mongodb://{server.host}:{server.port}/"
        with (
            pytest.raises(DatabaseError, match=MONGODB_FAULTS[fault]),
            task_history.connected(uri, "test", server.authority) as database,
        ):
            task_history.read(database, 0.0)


def test_an_authority_that_is_not_there(servers: Servers, tmp_path: Path) -> None:
    """The process that is told of it ends with its name, before it would talk to anybody."""
    uri = f"--mongodb-uri=mongodb://127.0.0.1:{servers.mongodb_port}/"
    missing = tmp_path / "no-such-ca.pem"
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"
        "clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: x, user: {}}]\n"
    )
    command = [sys.executable, "-m", "cloudai_operator", f"--kubeconfig={kubeconfig}", uri]
    done = subprocess.run(
        [*command, f"--mongodb-ca-file={missing}", "--health-port=0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, "no-such-ca.pem" in done.stderr) == (2, True), done.stderr


def test_prometheus_with_the_right_certificate(servers: Servers, tmp_path: Path) -> None:
    """And a token that goes with every question."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with servers.behind_tls(servers.prometheus_port, RIGHT) as server:
        access = Access(f"https://{server.host}:{server.port}", "", str(token), server.authority)
        assert [sample.value for sample in Prometheus(access).ask("vector(3)")] == [3.0]


@pytest.mark.parametrize("fault", FAULTS)
def test_prometheus_is_refused(servers: Servers, tmp_path: Path, fault: str) -> None:
    """The words name the trouble, and never the token."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with servers.behind_tls(servers.prometheus_port, fault) as server:
        access = Access(f"https://{server.host}:{server.port}", "", str(token), server.authority)
        with pytest.raises(PrometheusError, match=FAULTS[fault]) as caught:
            Prometheus(access).ask("vector(3)")
        assert TOKEN not in str(caught.value)


def test_a_password_that_is_refused(servers: Servers) -> None:
    """Said as what it is, without the password; there is no second try without one."""
    canary = "canary-password-9d1e"
    uri = f"mongodb://ann:{canary}@127.0.0.1:{servers.mongodb_port}/?authMechanism=SCRAM-SHA-256"
    with pytest.raises(DatabaseError, match=r"(?i)auth") as caught, task_history.connected(uri, "test") as database:
        task_history.read(database, 0.0)
    assert canary not in str(caught.value)
