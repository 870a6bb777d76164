"""A cluster that never ran us, as a real Prometheus remembers it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.exposition import scraped

from cloudai_rts import traces

PODS = 6


def metrics(now: float) -> str:
    """What kube-state-metrics would say: five Jobs' pods of a minute each, one that took ten."""
    lines = []
    for pod in range(PODS):
        labels = f'namespace="ml",pod="train-{pod}-abcde",uid="u{pod}"'
        start = now - 3600 + 60 * pod
        seconds = 600 if pod == PODS - 1 else 60
        lines += [
            f"kube_pod_created{{{labels}}} {start - 5}",
            f"kube_pod_start_time{{{labels}}} {start}",
            f"kube_pod_completion_time{{{labels}}} {start + seconds}",
            f'kube_pod_status_phase{{{labels},phase="Succeeded"}} 1',
            f'kube_pod_status_phase{{{labels},phase="Failed"}} 0',
            f'kube_pod_owner{{{labels},owner_kind="Job",owner_name="train-{pod}"}} 1',
            f'kube_pod_container_resource_requests{{{labels},container="a",resource="cpu"}} 2',
            f'kube_pod_container_resource_requests{{{labels},container="b",resource="cpu"}} 1',
            f'kube_pod_container_resource_requests{{{labels},container="a",resource="nvidia_com_gpu"}} 1',
        ]
    for resource, amount in (("cpu", 16), ("memory", 1 << 36), ("nvidia_com_gpu", 4), ("pods", 110)):
        lines.append(f'kube_node_status_allocatable{{node="n1",resource="{resource}"}} {amount}')
    lines.append('kube_node_labels{node="n1",label_nvidia_com_gpu_product="NVIDIA-V100"} 1')
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has scraped it."""
    text = metrics(time.time())
    with scraped(tmp_path_factory.mktemp("import"), lambda: text, "kube_pod_completion_time", PODS) as url:
        yield url


def test_a_trace_out_of_a_prometheus(prometheus: str, tmp_path: Path) -> None:
    """Tasks and machines that can be simulated, and how many were late there and would be with us."""
    fleet = tmp_path / "fleet.csv"
    command = [sys.executable, "-m", "cloudai_cli", "import", "--from-prometheus", "2d"]
    options = ["--prometheus-url", prometheus, "--fleet-file", str(fleet)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tasks = traces.read_tasks(done.stdout)
    assert [(task.cpu, task.gpu, task.sla_multiplier) for task in tasks] == [(3.0, 1, 2.0)] * PODS
    assert "6 tasks, 16.7% took longer than 2 x" in done.stderr
    assert "lateness: 16.7% of the deadlines missed" in done.stderr
    assert [(node.node, node.gpu_product) for node in traces.read_fleet(fleet.read_text())] == [("n1", "NVIDIA-V100")]


def test_an_empty_prometheus(prometheus: str) -> None:
    """Nobody there, nothing known, unusable words: exit code and message say which."""
    command = [sys.executable, "-m", "cloudai_cli", "import", "--from-prometheus"]
    for days, url, code, said in (
        ("fortnight", prometheus, 2, "write days, such as 14d"),
        ("1d", "", 2, "--prometheus-url"),
        ("1d", "http://127.0.0.1:9", 1, "does not answer"),
    ):
        done = subprocess.run([*command, days, "--prometheus-url", url], capture_output=True, text=True, check=False)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
