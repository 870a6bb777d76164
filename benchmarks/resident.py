"""A large cluster that is at rest: how soon the scheduler is ready, how much memory it takes, how late a pod is bound.

Nodes with running pods are made first, then the scheduler is started; kube-scheduler in turn, on the same API server.
Ready is the moment from which it binds: a pod that waits from the start on is bound.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop
from bar import Bar, judge
from rich.console import Console
from throughput import INFLIGHT, OURS, PEER, PEER_CONFIG, cpu_seconds, make_pods, peak_mib

from cloudai_kube import connection
from cloudai_kube.objects import Pod
from cloudai_kube.transport import Transport
from cloudai_rts import contract
from cloudai_sandbox import binaries, fleet
from cloudai_sandbox.binaries import Binaries
from cloudai_sandbox.control_plane import ControlPlane
from cloudai_sandbox.processes import Child, Children

PODS = "/api/v1/namespaces/default/pods"
WRITERS = 32
SECONDS = 120.0


@dataclass(frozen=True)
class Result:
    """One scheduler. Seconds from process start until a waiting pod was bound, CPU seconds until then, peak MiB."""

    who: str
    ready_seconds: float
    cpu_seconds: float
    peak_mib: float
    event_to_bound_p99_ms: float


def main() -> None:
    """Fill the cluster, start both, print, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/resident.py --nodes 5000 --pods 50000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=50_000)
    parser.add_argument("--arrivals", type=int, default=500, help="pods that come one by one afterwards, 50 a second")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    arguments = parser.parse_args()
    console = Console(stderr=True, width=140, log_path=False)
    programs = binaries.ensure((*binaries.CONTROL_PLANE, binaries.PEER), say=console.log)
    with tempfile.TemporaryDirectory(prefix="cloudai-bench-") as folder:
        results = Resident(Path(folder), programs, console, arguments.nodes, arguments.pods, arguments.arrivals).run()
    if arguments.output == "json":
        sys.stdout.write(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    else:
        for result in results:
            sys.stdout.write(
                f"{result.who:>14}: ready after {result.ready_seconds:.1f} s ({result.cpu_seconds:.1f} s of CPU), "
                f"{result.peak_mib:.0f} MiB, 99 % of the pods bound within {result.event_to_bound_p99_ms:.0f} ms\n"
            )
    ours, theirs = (next(result for result in results if result.who == who) for who in (OURS, PEER))
    judge(
        [
            Bar("seconds until ready", ours.ready_seconds, most=20),
            Bar("peak MiB", ours.peak_mib, most=500),
            Bar(
                "p99 from creation to bound against kube-scheduler's",
                ours.event_to_bound_p99_ms / theirs.event_to_bound_p99_ms,
                most=1,
            ),
        ]
    )


@dataclass
class Resident:
    """One control plane that both schedulers see."""

    folder: Path
    binaries: Binaries
    console: Console
    nodes: int
    pods: int
    arrivals: int

    def run(self) -> list[Result]:
        """Fill it, and start one after the other."""
        children = Children(self.folder / "logs")
        plane = ControlPlane(self.folder, self.binaries, children, INFLIGHT)
        try:
            plane.start()
            plane.install()
            uvloop.run(self._fill(plane))
            return [uvloop.run(self._measure(plane, children, who)) for who in (PEER, OURS)]
        finally:
            children.stop()

    async def _fill(self, plane: ControlPlane) -> None:
        begun = time.monotonic()
        async with Transport(connection.load(str(plane.kubeconfig)), "bench", 64) as transport:
            await fleet.create(transport, fleet.uniform(self.nodes))
            names = [raw["metadata"]["name"] for raw in await _items(transport, "/api/v1/nodes")]
            manifests = make_pods(self.pods, "equal", "nobody")
            for number, manifest in enumerate(manifests):
                manifest["metadata"]["name"] = f"resident-{number}"
                manifest["spec"]["nodeName"] = names[number % len(names)]
            await _create(transport, manifests)
        self.console.log(f"{self.nodes} nodes and {self.pods} pods made after {time.monotonic() - begun:.0f} s")

    async def _measure(self, plane: ControlPlane, children: Children, who: str) -> Result:
        name = contract.SCHEDULER_NAME if who == OURS else "default-scheduler"
        async with Transport(connection.load(str(plane.kubeconfig)), "bench", 64) as transport:
            (first,) = make_pods(1, "equal", name)
            first["metadata"]["name"] = f"first-{who}"
            await _create(transport, [first])
            begun = time.monotonic()
            child = self._start(plane, children, who)
            await _bound(transport, f"first-{who}", SECONDS)
            ready, cpu = time.monotonic() - begun, cpu_seconds(child)
            self.console.log(f"{who} is ready after {ready:.1f} s")
            waits = await self._arrive(transport, who, name)
            result = Result(who, ready, cpu, peak_mib(child), 1000.0 * waits[int(len(waits) * 0.99)])
            child.stop()
        return result

    async def _arrive(self, transport: Transport, who: str, name: str) -> list[float]:
        """Pods come at 50 a second. Seconds from creation to bound, sorted."""
        manifests = make_pods(self.arrivals, "equal", name)
        tasks = []
        for number, manifest in enumerate(manifests):
            manifest["metadata"]["name"] = f"late-{who}-{number}"
            tasks.append(asyncio.create_task(self._time_pod(transport, manifest)))
            await asyncio.sleep(0.02)
        return sorted(await asyncio.gather(*tasks))

    @staticmethod
    async def _time_pod(transport: Transport, manifest: dict[str, Any]) -> float:
        begun = time.monotonic()
        await transport.request("POST", PODS, manifest)
        await _bound(transport, manifest["metadata"]["name"], SECONDS)
        return time.monotonic() - begun

    def _start(self, plane: ControlPlane, children: Children, who: str) -> Child:
        if who == OURS:
            kubeconfig = plane.service_account_kubeconfig(contract.SCHEDULER_NAME)
            command = [sys.executable, "-m", "cloudai_scheduler", "--leader-elect", "false", "--health-port", "0"]
            return children.start(who, [*command, "--kubeconfig", str(kubeconfig), "--log-level", "WARNING"])
        config = self.folder / "peer.yaml"
        config.write_text(PEER_CONFIG.format(kubeconfig=plane.kubeconfig))
        return children.start(who, [self.binaries.path("kube-scheduler"), f"--config={config}", "--secure-port=0"])


async def _items(transport: Transport, path: str) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = json.loads(await transport.request("GET", path))["items"]
    return objects


async def _create(transport: Transport, manifests: list[dict[str, Any]]) -> None:
    queue = iter(manifests)

    async def work() -> None:
        for manifest in queue:
            await transport.request("POST", PODS, manifest)

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(work())


async def _bound(transport: Transport, name: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not (await transport.get(f"{PODS}/{name}", Pod)).spec.nodeName:
        if time.monotonic() > end:
            raise RuntimeError(f"{name} is not bound after {seconds:.0f} s")
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    main()
