"""What pods used, by cAdvisor's series of containers and of whole pods, as a real Prometheus adds them up."""

import time
from collections import Counter
from pathlib import Path

import pytest
from tests.e2e.exposition import scraped

from cloudai_kube import pod_use
from cloudai_kube.prometheus import Prometheus
from cloudai_kube.prometheus_access import Access

CPU, MEMORY = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"


def text() -> str:
    """Of runtimes that name containers, and of one (CRI without names) that tells of whole pods only."""
    lines = [
        f'{CPU}{{namespace="ml",pod="named",container="main"}} 60',
        f'{CPU}{{namespace="ml",pod="named",container="side"}} 5',
        f'{CPU}{{namespace="ml",pod="named",container="POD"}} 1',
        f'{CPU}{{namespace="ml",pod="named",container=""}} 66',
        f'{CPU}{{namespace="ml",pod="whole",container=""}} 42',
        f'{CPU}{{namespace="",pod="",container=""}} 9000',
        f'{MEMORY}{{namespace="ml",pod="named",container="main"}} 3000',
        f'{MEMORY}{{namespace="ml",pod="named",container=""}} 4000',
        f'{MEMORY}{{namespace="ml",pod="whole",container=""}} 2000',
        # two kubelets' jobs scrape the same cAdvisor
        f'{CPU}{{namespace="ml",pod="twice",container="main",job="one"}} 7',
        f'{CPU}{{namespace="ml",pod="twice",container="main",job="two"}} 7',
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.timeout(90)
def test_pods_of_runtimes_with_and_without_names_for_containers(tmp_path: Path) -> None:
    """The sum of the containers where they are named, the whole pod's figure where they are not; machines are none."""
    dropped = Counter[str]()
    with scraped(tmp_path, text, CPU, 8) as url:
        end = time.monotonic() + 40  # Prometheus looks at whole quarters of a minute
        while len(used := pod_use.read(Prometheus(Access(url)), 300.0, dropped)) < 3:
            assert time.monotonic() < end
            time.sleep(1.0)
    assert {pod: (use.seconds, use.memory) for (_, pod), use in used.items()} == {
        "named": (65.0, 3000.0),
        "whole": (42.0, 2000.0),
        "twice": (7.0, None),
    }
    assert dropped.total() == 0
