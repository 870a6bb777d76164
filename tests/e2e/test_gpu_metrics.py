"""GPUs of both generations of DCGM's names, slices and rubbish, as a real Prometheus adds them up."""

import time
from collections.abc import Iterator
from itertools import count

import pytest
from tests.e2e.exposition import scraped

from cloudai_kube.prometheus import Prometheus
from cloudai_kube.prometheus_access import Access
from cloudai_kube.series import NodeNames
from cloudai_kube.telemetry import Snapshot, read

NODES = ("old", "new", "mig", "mad", "late", "blank", "twice", "fell", "falls")


def xid(node: str, code: int, minutes_ago: int) -> str:
    """The last error of a node's GPU, as it was said some time ago."""
    at = round((time.time() - 60 * minutes_ago) * 1000)
    return f'DCGM_FI_DEV_XID_ERRORS{{Hostname="{node}",gpu="0",UUID="x"}} {code} {at}'


SCRAPES = count()


def text() -> str:
    """What the exporters of these nodes would say, at first of a while ago."""
    if next(SCRAPES) == 0:
        return "\n".join([xid("fell", 79, 11), xid("falls", 13, 11)]) + "\n"
    stale = round((time.time() - 150) * 1000)
    lines = [
        # the first generation: percent, MiB, host as `Hostname`
        'DCGM_FI_DEV_GPU_UTIL{Hostname="old",gpu="0",UUID="a"} 50',
        'DCGM_FI_DEV_GPU_UTIL{Hostname="old",gpu="1",UUID="b"} 100',
        'DCGM_FI_DEV_FB_USED{Hostname="old",gpu="0",UUID="a"} 1024',
        'DCGM_FI_DEV_POWER_USAGE{Hostname="old",gpu="0",UUID="a"} 250.5',
        # the second: ratios, bytes, `hostname`
        'DCGM_FI_DEV_GPU_UTIL_RATIO{hostname="new",gpu="0",UUID="c"} 0.25',
        'DCGM_FI_DEV_FB_USED_BYTES{hostname="new",gpu="0",UUID="c"} 4096',
        'DCGM_FI_DEV_BOARD_POWER_WATTS{hostname="new",gpu="0",UUID="c"} 300',
        # slices: each is busy by itself, the board's power is said by both
        'DCGM_FI_PROF_GR_ENGINE_ACTIVE{Hostname="mig",gpu="0",UUID="d",GPU_I_ID="1"} 0.5',
        'DCGM_FI_PROF_GR_ENGINE_ACTIVE{Hostname="mig",gpu="0",UUID="d",GPU_I_ID="2"} 0.25',
        'DCGM_FI_DEV_POWER_USAGE{Hostname="mig",gpu="0",UUID="d",GPU_I_ID="1"} 400',
        'DCGM_FI_DEV_POWER_USAGE{Hostname="mig",gpu="0",UUID="d",GPU_I_ID="2"} 400',
        # one device of two says what cannot be
        'DCGM_FI_DEV_GPU_UTIL{Hostname="mad",gpu="0",UUID="e"} 20',
        'DCGM_FI_DEV_GPU_UTIL{Hostname="mad",gpu="1",UUID="f"} 5000',
        'DCGM_FI_DEV_POWER_USAGE{Hostname="mad",gpu="0",UUID="e"} 4294967295',
        f'DCGM_FI_DEV_GPU_UTIL{{Hostname="late",gpu="0",UUID="g"}} 20 {stale}',
        'DCGM_FI_DEV_GPU_UTIL{Hostname="blank",gpu="0",UUID="h"} NaN',
        'DCGM_FI_DEV_FB_USED{Hostname="blank",gpu="0",UUID="h"} +Inf',
        'DCGM_FI_DEV_POWER_USAGE{Hostname="blank",gpu="0",UUID="h"} -1',
        xid("fell", 79, 0),
        xid("falls", 48, 0),
        # two jobs scrape one exporter
        'DCGM_FI_DEV_GPU_UTIL{Hostname="twice",gpu="0",UUID="i",job="one"} 40',
        'DCGM_FI_DEV_GPU_UTIL{Hostname="twice",gpu="0",UUID="i",job="two"} 40',
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    """The readings made of them."""
    with scraped(tmp_path_factory.mktemp("gpus"), text, "DCGM_FI_DEV_GPU_UTIL", 5) as url:
        names, now = NodeNames(frozenset(NODES), {}), time.time()
        whole = read(Prometheus(Access(url)), names, now)
        narrowed = read(Prometheus(Access(url, 'instance=~".+",GPU_I_ID!="none"')), names, now)
        assert narrowed.nodes == whole.nodes  # matchers leave every query one that Prometheus reads
        assert read(Prometheus(Access(url, 'instance="nowhere"')), names, now).nodes == {}
        yield whole


@pytest.mark.parametrize(
    ("node", "gpu", "memory", "watts"),
    [
        ("old", 1.5, float(1 << 30), 250.5),
        ("new", 0.25, 4096.0, 300.0),
        ("mig", 0.75, None, 400.0),
        ("mad", None, None, None),
        ("late", None, None, None),
        ("blank", None, None, None),
        ("twice", 0.4, None, None),
    ],
)
def test_what_is_known_of_a_node(
    found: Snapshot, node: str, gpu: float | None, memory: float | None, watts: float | None
) -> None:
    """Both generations and slices add up; a node with a device that lies or is stale is unknown, never half known."""
    reading = found.nodes.get(node)
    said = (None, None, None) if reading is None else (reading.gpu, reading.gpu_memory, reading.watts)
    assert said == (gpu if gpu is None else pytest.approx(gpu), memory, watts)


def test_errors_that_are_news(found: Snapshot) -> None:
    """A gauge that has said the same for ten minutes is none."""
    assert found.nodes["falls"].xids == {"x": 48.0}
    assert "fell" not in found.nodes


def test_devices_are_counted(found: Snapshot) -> None:
    """GPUs, or slices of them; one that two jobs scrape is one."""
    devices = {name: reading.devices for name, reading in found.nodes.items() if reading.devices}
    assert devices == {"old": 2, "new": 1, "mig": 2, "mad": 2, "late": 1, "blank": 1, "twice": 1}


def test_what_was_dropped_is_counted(found: Snapshot) -> None:
    """Six quantities of three nodes."""
    assert found.dropped["impossible"] == 6
