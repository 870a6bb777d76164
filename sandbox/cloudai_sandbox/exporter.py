"""Simulated node-exporter, cAdvisor and dcgm-exporter: what they would say about machines that run what ours run.

`GET /node/NAME` (with the few lines of cAdvisor) and `GET /dcgm/NAME`, in Prometheus' text format, under the names that
node-exporter and dcgm-exporter 4.8 use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from cloudai_rts.traces import FleetNode

GPU_MEMORY_MIB: Final = 16_384
IDLE_WATTS: Final = 40.0
BUSY_WATTS: Final = 260.0
BASE_MEMORY_SHARE: Final = 0.02
HARDWARE_THERMAL: Final = 0x40
"""NVML's bit for clocks that heat brings down."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What runs on a machine now: cores, bytes, busy GPUs; CPU seconds since its start; its last XID error.

    `throttled`: heat slows its GPUs down.
    """

    cores: float
    memory_bytes: float
    gpus: float
    cpu_seconds: float
    up_seconds: float
    xid: int = 0
    throttled: bool = False
    pods: tuple["PodUsage", ...] = ()


@dataclass(frozen=True, slots=True)
class PodUsage:
    """What one pod uses: CPU seconds since its start, bytes, whole GPUs."""

    namespace: str
    name: str
    cpu_seconds: float
    memory_bytes: float
    gpus: int

    def labels(self) -> str:
        """As exporters name it."""
        return f'namespace="{self.namespace}",pod="{self.name}",container="main"'


def node_text(node: FleetNode, usage: Usage) -> str:
    """What node-exporter would say."""
    idle = max(0.0, node.cpu * usage.up_seconds - usage.cpu_seconds)
    available = max(0.0, node.memory_bytes * (1.0 - BASE_MEMORY_SHARE) - usage.memory_bytes)
    return (
        "# TYPE node_cpu_seconds_total counter\n"
        f'node_cpu_seconds_total{{cpu="0",mode="idle"}} {idle:.3f}\n'
        f'node_cpu_seconds_total{{cpu="0",mode="user"}} {usage.cpu_seconds:.3f}\n'
        "# TYPE node_memory_MemTotal_bytes gauge\n"
        f"node_memory_MemTotal_bytes {node.memory_bytes}\n"
        "# TYPE node_memory_MemAvailable_bytes gauge\n"
        f"node_memory_MemAvailable_bytes {available:.0f}\n"
        "# TYPE container_cpu_usage_seconds_total counter\n"
        + "".join(f"container_cpu_usage_seconds_total{{{pod.labels()}}} {pod.cpu_seconds:.3f}\n" for pod in usage.pods)
        + "# TYPE container_memory_working_set_bytes gauge\n"
        + "".join(
            f"container_memory_working_set_bytes{{{pod.labels()}}} {pod.memory_bytes:.0f}\n" for pod in usage.pods
        )
    )


def dcgm_text(node: FleetNode, usage: Usage) -> str:
    """What dcgm-exporter would say: the first GPUs are the busy ones."""
    lines = []
    owners = [pod for pod in usage.pods for _ in range(pod.gpus)]
    for gpu in range(node.gpu):
        busy = min(1.0, max(0.0, usage.gpus - gpu))
        labels = (
            f'gpu="{gpu}",UUID="GPU-{node.node}-{gpu}",device="nvidia{gpu}",modelName="{node.gpu_product}",'
            f'Hostname="{node.node}"'
        )
        if gpu < len(owners):
            labels += f",{owners[gpu].labels()}"
        watts = IDLE_WATTS + busy * (BUSY_WATTS - IDLE_WATTS)
        used = busy * 0.8 * GPU_MEMORY_MIB
        for name, value in (
            ("DCGM_FI_DEV_GPU_UTIL", f"{100 * busy:.0f}"),
            ("DCGM_FI_DEV_FB_USED", f"{used:.0f}"),
            ("DCGM_FI_DEV_FB_FREE", f"{GPU_MEMORY_MIB - used:.0f}"),
            ("DCGM_FI_DEV_POWER_USAGE", f"{watts:.1f}"),
            ("DCGM_FI_DEV_XID_ERRORS", f"{usage.xid}"),
            ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", f"{HARDWARE_THERMAL if usage.throttled else 0}"),
        ):
            lines.append(f"{name}{{{labels}}} {value}")
    return "\n".join(sorted(lines)) + "\n"


async def serve(port: int, look: Callable[[str], tuple[FleetNode, Usage] | None]) -> web.AppRunner:
    """Serve both exporters of all machines on the loopback; a machine that is gone does not answer."""

    async def answer(request: web.Request) -> web.Response:
        reading = look(request.match_info["name"])
        if reading is None:
            raise web.HTTPServiceUnavailable
        write = node_text if request.match_info["kind"] == "node" else dcgm_text
        return web.Response(text=write(*reading), content_type="text/plain")

    app = web.Application()
    app.router.add_get("/{kind:node|dcgm}/{name}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner
