"""A whole sandbox: control plane, simulated fleet, and our operator and scheduler under their own service accounts."""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cloudai_rts import contract, traces
from cloudai_rts.traces import FleetNode
from cloudai_sandbox import binaries, history
from cloudai_sandbox.audit import Report, audit
from cloudai_sandbox.control_plane import ControlPlane, log_nothing
from cloudai_sandbox.errors import StartError
from cloudai_sandbox.fleet import uniform
from cloudai_sandbox.processes import Child, Children, free_ports
from cloudai_sandbox.services import MONGODB, PROMETHEUS, scrape_config, start_mongodb, start_prometheus

OURS: Final = (contract.OPERATOR_NAME, contract.SCHEDULER_NAME)
_MODULES: Final = {contract.OPERATOR_NAME: "cloudai_operator", contract.SCHEDULER_NAME: "cloudai_scheduler"}
QUICK_LEASE: Final = {"LEASE_DURATION_SECONDS": "4", "LEASE_RENEW_DEADLINE_SECONDS": "3", "LEASE_RETRY_SECONDS": "0.5"}
"""Leases that end soon: a sandbox is there to be broken, and nobody wants to wait 15 s for a successor each time."""
RESTART_SECONDS: Final = 0.5
_VARIABLES: Final = {MONGODB: "MONGODB_URI", PROMETHEUS: "PROMETHEUS_URL"}


@dataclass(slots=True)
class Sandbox:
    """Starts and stops everything; a context manager. `fleet` and `speeds` are files in the trace formats.

    Without `chart` neither the Task schema nor rights are installed: a chart will do that. `controllers`: those of
    kube-controller-manager that run. With `proxied` our processes reach the API server through a proxy that fails on
    request (`set_faults`).
    """

    folder: Path
    fleet: Path | None = None
    speeds: Path | None = None
    nodes: int = 4
    gpus: int = 0
    run: tuple[str, ...] = OURS
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ("default",)
    say: Callable[[str], None] = log_nothing
    kubelets: bool = True
    proxied: bool = False
    chart: bool = True
    controllers: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    urls: dict[str, str] = field(default_factory=dict)
    plane: ControlPlane = field(init=False)
    children: Children = field(init=False)
    ports: dict[str, int] = field(default_factory=dict)
    proxy: str | None = None
    _kubeconfigs: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.children = Children(self.folder / "logs")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.children.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until it is ready. Raises `SandboxError`."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        names = (*binaries.CONTROL_PLANE, *((binaries.CONTROLLERS,) if self.controllers else ()))
        programs = binaries.ensure(names, say=self.say)
        arguments = (*history.APISERVER_ARGUMENTS, *self.arguments)
        self.plane = ControlPlane(self.folder, programs, self.children, arguments)
        begun = time.monotonic()
        self.plane.start()
        self._install()
        self.say(f"control plane ready after {time.monotonic() - begun:.1f} s at {self.plane.server}")
        if self.kubelets:
            self._start_fleet()
        if MONGODB in self.services:
            _, self.urls[MONGODB] = start_mongodb(self.folder, self.children, self.say)
        if PROMETHEUS in self.services:
            exporters = f"127.0.0.1:{self.ports['exporters']}"
            scraping = scrape_config(self.fleet_nodes(), exporters)
            _, self.urls[PROMETHEUS] = start_prometheus(self.folder, self.children, scraping, self.say)
        if self.proxied:
            self._start_proxy()
        for name in self.run:
            self._kubeconfigs[name] = self.plane.service_account_kubeconfig(name, server=self.proxy)
            self.start_process(name)
        for name in self.run:
            self.wait_ready(name)

    def _install(self) -> None:
        if self.chart:
            self.plane.install(self.namespaces)
        else:
            for name in self.namespaces:
                self.plane.create_namespace(name)
        if self.controllers:
            self.plane.start_controllers(f"--controllers={','.join(self.controllers)}")

    def stop(self) -> None:
        """Stop everything, last started first."""
        self.children.stop()

    def start_process(self, name: str) -> Child:
        """Start operator or scheduler with its own credentials."""
        self.ports[name] = self.ports.get(name) or free_ports(1)[0]
        prefix = name.upper().replace("-", "_") + "_"
        values = {**QUICK_LEASE, "HEALTH_PORT": str(self.ports[name]), **self.settings.get(name, {})}
        environ = {prefix + key: value for key, value in values.items()}
        environ["KUBECONFIG"] = str(self._kubeconfigs[name])
        environ |= {variable: self.urls[service] for service, variable in _VARIABLES.items() if service in self.urls}
        return self.children.start(name, [sys.executable, "-m", _MODULES[name]], environ)

    def process(self, name: str) -> Child:
        """The newest process of that name."""
        return next(child for child in reversed(self.children.running) if child.name == name)

    def revive(self, *names: str) -> list[str]:
        """Start operator and scheduler, or these, again where they have ended, as a Deployment would.

        Returns the names of those that were started.
        """
        revived = []
        for name in names or self.run:
            child = self.process(name)
            if not child.alive():
                self.children.running.remove(child)
                self.start_process(name)
                revived.append(name)
        return revived

    def check(self) -> None:
        """Raise `StartError` if etcd, the API server or the fleet has ended: nothing can go on without them."""
        for child in self.children.running:
            if child.name not in self.run:
                child.check()

    def fleet_nodes(self) -> list[FleetNode]:
        """The simulated machines."""
        if self.fleet is not None:
            return traces.read_fleet(self.fleet.read_text(encoding="utf-8"))
        return uniform(self.nodes, self.gpus)

    def audit(self) -> Report:
        """Check everything that has happened so far."""
        return audit(history.read(self.plane.etcd_server))

    def wait_ready(self, name: str, timeout_seconds: float = 60.0) -> None:
        """Wait until a process of ours says that it is ready. Raises `StartError`."""
        url = f"http://127.0.0.1:{self.ports[name]}/readyz"
        end = time.monotonic() + timeout_seconds
        answer = "no answer"
        while time.monotonic() < end:
            self.process(name).check()
            try:
                with urllib.request.urlopen(url, timeout=2):
                    return
            except urllib.error.HTTPError as error:
                answer = error.read().decode(errors="replace")
            except OSError as error:
                answer = str(error)
            time.sleep(0.1)
        raise StartError(f"{name} is not ready after {timeout_seconds:.0f} s: {answer}; see {self.process(name).log}")

    def _start_proxy(self) -> None:
        """Put a proxy that fails on request between our processes and the API server."""
        port = free_ports(1)[0]
        command = [sys.executable, "-m", "cloudai_sandbox", "proxy", "--kubeconfig", str(self.plane.kubeconfig)]
        child = self.children.start("proxy", [*command, "--port", str(port)])
        self.proxy = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 30
        while self.proxied_requests() is None:
            child.check()
            if time.monotonic() > end:
                raise StartError(f"the proxy does not answer; see {child.log}")
            time.sleep(0.05)

    def set_faults(self, *faults: dict[str, object]) -> None:
        """Let the proxy fail like this from now on; none: no more."""
        request = urllib.request.Request(  # noqa: S310  our own proxy
            f"{self.proxy}/faults", data=json.dumps(faults).encode(), method="PUT"
        )
        with urllib.request.urlopen(request, timeout=5):  # noqa: S310  our own proxy
            return

    def proxied_requests(self) -> dict[str, int] | None:
        """Requests that passed the proxy and hits of the present faults; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"{self.proxy}/faults", timeout=5) as answer:  # noqa: S310  our own proxy
                counts: dict[str, int] = json.load(answer)
                return counts
        except OSError:
            return None

    def _start_fleet(self) -> None:
        command = [sys.executable, "-m", "cloudai_sandbox", "fleet", "--kubeconfig", str(self.plane.kubeconfig)]
        if self.fleet is not None:
            command += ["--fleet", str(self.fleet)]
        else:
            command += ["--nodes", str(self.nodes), "--gpus", str(self.gpus)]
        if self.speeds is not None:
            command += ["--speeds", str(self.speeds)]
        ready = self.folder / "fleet.ready"
        ready.unlink(missing_ok=True)
        self.ports["exporters"] = self.ports.get("exporters") or free_ports(1)[0]
        command += ["--exporter-port", str(self.ports["exporters"])]
        child = self.children.start("fleet", [*command, "--ready-file", str(ready)])
        end = time.monotonic() + 60
        while not ready.exists():
            child.check()
            if time.monotonic() > end:
                raise StartError(f"the fleet is not ready after 60 s; see {child.log}")
            time.sleep(0.05)
