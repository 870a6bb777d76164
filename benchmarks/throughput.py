"""Pods per second and CPU per pod: our scheduler and kube-scheduler in turn on fresh control planes.

A backlog of unbound pods is made, then the scheduler is started. Binds are counted by the API server's own metric; CPU
is taken from the first bind until the last event is written, so that start-up (shown apart) does not count as
scheduling. The ceiling sends Bindings only: what the API server allows at all.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop
from bar import Bar, judge
from rich.console import Console
from rich.table import Table

from cloudai_kube import connection
from cloudai_kube.transport import Transport
from cloudai_rts import contract
from cloudai_rts.traces import FleetNode
from cloudai_sandbox import binaries, fleet
from cloudai_sandbox.binaries import Binaries
from cloudai_sandbox.control_plane import ControlPlane
from cloudai_sandbox.processes import Child, Children

GIB = 1 << 30
POLL_SECONDS = 0.3
QUIET_SECONDS = 1.5
LIMIT_SECONDS = 300.0
INFLIGHT = ("--max-requests-inflight=4000", "--max-mutating-requests-inflight=2000")
OURS, PEER, BATCHING, CEILING = "cloudai", "kube-scheduler", "kube-scheduler, no default spreading", "ceiling"
PEER_CONFIG = """apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {{leaderElect: false}}
clientConnection: {{kubeconfig: "{kubeconfig}", qps: 5000, burst: 10000}}
"""
NO_DEFAULT_SPREADING = """profiles:
  - schedulerName: default-scheduler
    pluginConfig:
      - name: PodTopologySpread
        args: {defaultingType: List, defaultConstraints: []}
"""
"""In its stock profile the system's own constraints keep it from deciding pods that are alike together (KEP-5598)."""
CLAIMS, VOLUMES = "/api/v1/namespaces/default/persistentvolumeclaims", "/api/v1/persistentvolumes"


@dataclass(frozen=True)
class Result:
    """One run. CPU in milliseconds per pod, memory in MiB, start-up in CPU seconds."""

    who: str
    pods: str
    pods_per_second: float
    seconds_to_all_bound: float
    scheduler_cpu_ms: float
    apiserver_cpu_ms: float
    etcd_cpu_ms: float
    peak_mib: float
    startup_cpu_seconds: float
    events: int


@dataclass(frozen=True)
class Sample:
    """Counters at one moment."""

    at: float
    bound: int
    scheduler_cpu: float
    apiserver_cpu: float
    etcd_cpu: float


def main() -> None:
    """Run the comparison and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/throughput.py --rounds 3 -o json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workloads", default="equal,mixed", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument(
        "--who",
        default=f"{PEER};{BATCHING};{OURS};{CEILING}",
        help=f"which to run, in turn, separated by semicolons; {BATCHING!r} is the profile in which it batches",
    )
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    parser.add_argument("--bind-only", metavar="KUBECONFIG", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bind_only:
        uvloop.run(bind_only(arguments.bind_only))
        return
    console = Console(stderr=True, width=140, log_path=False)
    programs = binaries.ensure((*binaries.CONTROL_PLANE, binaries.PEER), say=console.log)
    results = []
    for number in range(arguments.rounds):
        for workload in arguments.workloads.split(","):
            for who in arguments.who.split(";"):
                with tempfile.TemporaryDirectory(prefix="cloudai-bench-") as folder:
                    result = Bench(Path(folder), programs, who, workload, arguments.nodes, arguments.pods).run()
                results.append(result)
                console.log(
                    f"round {number + 1}/{arguments.rounds} {workload} {who}: {result.pods_per_second:.0f} pods/s, "
                    f"CPU ms/pod {result.scheduler_cpu_ms:.2f} / {result.apiserver_cpu_ms:.2f} / "
                    f"{result.etcd_cpu_ms:.2f}  {result.peak_mib:.0f} MiB  {result.events} events"
                )
    if arguments.output == "json":
        sys.stdout.write(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    else:
        show(results)
    judge(bars(results))


def _served_ms(result: Result) -> float:
    return result.apiserver_cpu_ms + result.etcd_cpu_ms


def bars(results: Sequence[Result]) -> list[Bar]:
    """Where both ran: half as fast again in every round, half of its CPU, no more of the API server's and etcd's."""
    limits = []
    for workload in dict.fromkeys(result.pods for result in results):
        ours = [result for result in results if (result.pods, result.who) == (workload, OURS)]
        pairs = list(zip(ours, peers(results, workload), strict=False))
        if pairs:
            speed = min(own.pods_per_second / other.pods_per_second for own, other in pairs)
            whole = min(other.seconds_to_all_bound / own.seconds_to_all_bound for own, other in pairs)
            cpu = max(own.scheduler_cpu_ms / other.scheduler_cpu_ms for own, other in pairs)
            served = max(_served_ms(own) / _served_ms(other) for own, other in pairs)
            limits += [
                Bar(f"{workload}: pods/s against {PEER}, the worst round", speed, least=1.5),
                Bar(f"{workload}: the same from process start to the last bind", whole, least=1.5),
                Bar(f"{workload}: scheduler CPU a pod against it, the worst round", cpu, most=0.5),
                Bar(f"{workload}: CPU of API server and etcd a pod against it", served, most=1),
            ]
    return limits


@dataclass
class Bench:
    """One run on a control plane of its own."""

    folder: Path
    binaries: Binaries
    who: str
    workload: str
    nodes: int
    pods: int

    def run(self) -> Result:
        """Make the backlog, start the scheduler, measure until all is bound and quiet."""
        children = Children(self.folder / "logs")
        plane = ControlPlane(self.folder, self.binaries, children, INFLIGHT)
        try:
            plane.start()
            plane.install()
            uvloop.run(self._make_backlog(plane))
            scheduler = self._start(plane, children)
            return uvloop.run(self._measure(plane, scheduler))
        finally:
            children.stop()

    async def _make_backlog(self, plane: ControlPlane) -> None:
        name = contract.SCHEDULER_NAME if self.who == OURS else "default-scheduler"
        if self.who == CEILING:
            name = "nobody"
        async with Transport(connection.load(str(plane.kubeconfig)), "bench", 64) as transport:
            await fleet.create(transport, make_nodes(self.nodes, self.workload))
            queue = iter(make_pods(self.pods, self.workload, name))

            async def create() -> None:
                for manifest in queue:
                    for path, body in stored_for(manifest):
                        await transport.request("POST", path, body)
                    await transport.request("POST", "/api/v1/namespaces/default/pods", manifest)

            async with asyncio.TaskGroup() as group:
                for _ in range(32):
                    group.create_task(create())

    def _start(self, plane: ControlPlane, children: Children) -> Child:
        if self.who == OURS:
            kubeconfig = plane.service_account_kubeconfig(contract.SCHEDULER_NAME)
            command = [sys.executable, "-m", "cloudai_scheduler", "--leader-elect", "false", "--health-port", "0"]
            return children.start(self.who, [*command, "--kubeconfig", str(kubeconfig), "--log-level", "WARNING"])
        if self.who in {PEER, BATCHING}:
            config = self.folder / "peer.yaml"
            more = NO_DEFAULT_SPREADING if self.who == BATCHING else ""
            config.write_text(PEER_CONFIG.format(kubeconfig=plane.kubeconfig) + more)
            return children.start(PEER, [self.binaries.path("kube-scheduler"), f"--config={config}", "--secure-port=0"])
        return children.start(self.who, [sys.executable, __file__, "--bind-only", str(plane.kubeconfig)])

    async def _measure(self, plane: ControlPlane, scheduler: Child) -> Result:
        begun = time.monotonic()
        samples: list[Sample] = []
        events, quiet_since = -1, begun
        async with Transport(connection.load(str(plane.kubeconfig)), "bench") as transport:
            while time.monotonic() - begun < LIMIT_SECONDS:
                if self.who != CEILING:
                    scheduler.check()
                counters = await read_counters(transport)
                cpu = [cpu_seconds(child) for child in (scheduler, plane.apiserver, plane.etcd)]
                samples.append(Sample(time.monotonic(), counters["binding"], *cpu))
                if counters["events"] != events or counters["binding"] < self.pods:
                    events, quiet_since = counters["events"], time.monotonic()
                elif time.monotonic() - quiet_since > QUIET_SECONDS:
                    break
                await asyncio.sleep(POLL_SECONDS)
            else:
                raise RuntimeError(f"{self.who}: {samples[-1].bound} of {self.pods} bound after {LIMIT_SECONDS} s")
        return self._result(samples, begun, peak_mib(scheduler), events)

    def _result(self, samples: list[Sample], begun: float, peak: float, events: int) -> Result:
        first = next(sample for sample in samples if sample.bound)
        done = next(sample for sample in samples if sample.bound >= self.pods)
        inner = [sample for sample in samples if 0 < sample.bound < self.pods]
        fast = inner if len(inner) > 2 else [first, done]
        rate = (fast[-1].bound - fast[0].bound) / max(1e-9, fast[-1].at - fast[0].at)
        last, counted = samples[-1], max(1, self.pods - first.bound)

        def per_pod(name: str) -> float:
            return 1000.0 * float(getattr(last, name) - getattr(first, name)) / counted

        return Result(
            who=self.who,
            pods=self.workload,
            pods_per_second=rate,
            seconds_to_all_bound=done.at - begun,
            scheduler_cpu_ms=per_pod("scheduler_cpu"),
            apiserver_cpu_ms=per_pod("apiserver_cpu"),
            etcd_cpu_ms=per_pod("etcd_cpu"),
            peak_mib=peak,
            startup_cpu_seconds=first.scheduler_cpu,
            events=events,
        )


def make_nodes(count: int, workload: str) -> list[FleetNode]:
    """Equal: 32 cores each. Mixed: two of three have 8 GPUs."""
    if workload == "equal":
        return fleet.uniform(count)
    products = ("", "NVIDIA-P100", "NVIDIA-V100")
    return [
        FleetNode(f"node-{index}", 64, 256 * GIB, gpus, products[index % 3], 500 * GIB, 110)
        for index, gpus in enumerate(8 * (index % 3 > 0) for index in range(count))
    ]


WORKLOADS = ("equal", "mixed", "distinct", "deadlines", "spread", "apart", "preferred", "volumes")
SHAPES, APPS = 400, 20


def make_pods(count: int, workload: str, scheduler: str) -> list[dict[str, Any]]:
    """Pods of one kind.

    equal: half a core. mixed: seeded shapes with 0, 1, 2 or 4 GPUs. distinct: image and environment of their own, one
    of 400 shapes. deadlines: each its own. spread, apart: 20 apps that spread over hosts, or whose pods share none;
    preferred: whose pods would rather share none. volumes: each with a claim of its own that has its CSI volume.
    """
    rng = random.Random(1)  # noqa: S311  a seeded workload, not a secret
    return [_make_pod(index, workload, scheduler, rng) for index in range(count)]


def _make_pod(index: int, workload: str, scheduler: str, rng: random.Random) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c", "image": "none", "resources": _resources(index, workload, rng)}
    metadata: dict[str, Any] = {"name": f"pod-{index}", "labels": {"app": f"app-{index % APPS}"}}
    spec: dict[str, Any] = {"schedulerName": scheduler, "containers": [container]}
    own = {"labelSelector": {"matchLabels": metadata["labels"]}, "topologyKey": contract.LABEL_HOSTNAME}
    if workload == "distinct":
        container |= {"image": f"none:{index}", "env": [{"name": "NUMBER", "value": str(index)}]}
    elif workload == "deadlines":
        within = {contract.ANNOTATION_FINISH_WITHIN: f"{3600 + index}s", contract.ANNOTATION_EXPECTED_RUNTIME: "10m"}
        metadata["annotations"] = within
    elif workload == "volumes":
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": f"claim-{index}"}}]
    elif workload == "spread":
        spec["topologySpreadConstraints"] = [{**own, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]
    elif workload == "apart":
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [own]}}
    elif workload == "preferred":
        wish = {"weight": 50, "podAffinityTerm": own}
        spec["affinity"] = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def stored_for(manifest: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Path and object of the volume and the claim of each of a pod's volumes, bound to each other."""
    objects = []
    for volume in manifest["spec"].get("volumes", []):
        name = volume["persistentVolumeClaim"]["claimName"]
        common = {"accessModes": ["ReadWriteOnce"], "storageClassName": "bench"}
        spec = {
            **common,
            "capacity": {"storage": "1Gi"},
            "csi": {"driver": "bench.csi", "volumeHandle": name},
            "claimRef": {"namespace": "default", "name": name},
        }
        bound = {"pv.kubernetes.io/bind-completed": "true"}
        claim = {**common, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": name}
        objects.append((VOLUMES, {"metadata": {"name": name}, "spec": spec}))
        objects.append((CLAIMS, {"metadata": {"name": name, "annotations": bound}, "spec": claim}))
    return objects


def _resources(index: int, workload: str, rng: random.Random) -> dict[str, Any]:
    requests = {"cpu": "500m", "memory": "512Mi"}
    if workload == "distinct":
        requests = {"cpu": f"{250 + index % SHAPES}m", "memory": f"{512 + index % SHAPES}Mi"}
    if workload == "mixed":
        gpus = rng.choice((0, 0, 0, 1, 1, 2, 4))
        requests = {
            "cpu": f"{rng.choice((250, 500, 1000, 2000, 4000))}m",
            "memory": f"{rng.choice((1, 2, 4, 8))}Gi",
        }
        if gpus:
            requests["nvidia.com/gpu"] = str(gpus)
    return {"requests": requests, "limits": dict(requests)}


async def read_counters(transport: Transport) -> dict[str, int]:
    """Bindings and events accepted so far, by the API server's own count."""
    text = (await transport.request("GET", "/metrics")).decode()
    counters = {"binding": 0, "events": 0}
    for line in text.splitlines():
        if not line.startswith("apiserver_request_total{") or 'code="201"' not in line:
            continue
        if 'subresource="binding"' in line:
            counters["binding"] += int(float(line.rsplit(" ", 1)[1]))
        elif 'resource="events"' in line:
            counters["events"] += int(float(line.rsplit(" ", 1)[1]))
    return counters


def cpu_seconds(child: Child) -> float:
    """User and system time of a process so far; what it had used where it has ended."""
    try:
        times = psutil.Process(child.process.pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def peak_mib(child: Child) -> float:
    """Largest resident size a process ever had."""
    try:
        status = Path(f"/proc/{child.process.pid}/status").read_text()
    except OSError:
        return 0.0
    kib = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
    return kib / 1024


async def bind_only(kubeconfig: str) -> None:
    """Send a Binding for every pod, round-robin over the nodes, and nothing else."""
    async with Transport(connection.load(kubeconfig), "ceiling", 32) as transport:
        pods = json.loads(await transport.request("GET", "/api/v1/pods"))["items"]
        nodes = json.loads(await transport.request("GET", "/api/v1/nodes"))["items"]
        names = iter(
            [(pod["metadata"]["name"], nodes[i % len(nodes)]["metadata"]["name"]) for i, pod in enumerate(pods)]
        )

        async def send() -> None:
            for pod, node in names:
                body = {"metadata": {"name": pod}, "target": {"kind": "Node", "name": node}}
                await transport.request("POST", f"/api/v1/namespaces/default/pods/{pod}/binding", body)

        async with asyncio.TaskGroup() as group:
            for _ in range(32):
                group.create_task(send())
        await asyncio.sleep(3600)  # the benchmark reads our CPU time and ends us


def show(results: Sequence[Result]) -> None:
    """Print medians and ranges, and our ratio to the peer round by round."""
    table = Table(title="Scheduling throughput: median (min to max)")
    columns = ("pods", "who", "pods/s", "x peer", "scheduler", "x peer", "apiserver", "etcd", "peak MiB", "start-up s")
    for name in columns:
        table.add_column(name, justify="left" if name in {"pods", "who"} else "right")
    for workload in dict.fromkeys(result.pods for result in results):
        for who in dict.fromkeys(result.who for result in results):
            rows = [result for result in results if (result.pods, result.who) == (workload, who)]
            if rows:
                table.add_row(workload, who, *cells(rows, peers(results, workload)))
    table.caption = "CPU in ms per pod, from the first bind until the last event; start-up in CPU seconds before it"
    Console(width=140).print(table)


def peers(results: Sequence[Result], workload: str) -> list[Result]:
    """The peer's runs of a workload, in order."""
    return [result for result in results if (result.pods, result.who) == (workload, PEER)]


def cells(rows: Sequence[Result], peer: Sequence[Result]) -> list[str]:
    """The figures of one line."""
    pairs = list(zip(rows, peer, strict=False))
    speed = [row.pods_per_second / other.pods_per_second for row, other in pairs]
    cpu = [row.scheduler_cpu_ms / other.scheduler_cpu_ms for row, other in pairs if other.scheduler_cpu_ms]
    return [
        spread([row.pods_per_second for row in rows], 0),
        spread(speed, 2),
        spread([row.scheduler_cpu_ms for row in rows], 2),
        spread(cpu, 2),
        spread([row.apiserver_cpu_ms for row in rows], 2),
        spread([row.etcd_cpu_ms for row in rows], 2),
        spread([row.peak_mib for row in rows], 0),
        spread([row.startup_cpu_seconds for row in rows], 1),
    ]


def spread(values: Sequence[float], digits: int) -> str:
    """Median and range."""
    if not values:
        return "-"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
