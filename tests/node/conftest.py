"""One real node for all tests; containerd's own files stay for the next run, so that images are imported once."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from cloudai_sandbox import image
from cloudai_sandbox.real_node import RealNode


def say(text: str) -> None:
    """Progress, and figures for people."""
    sys.stderr.write(f"{text}\n")


@pytest.fixture(scope="session")
def node() -> Iterator[RealNode]:
    """Control plane, containerd and kubelet, with the project's image."""
    kept = image.default_folder().parent / "node"
    for name in ("etcd", "addresses", "var-lib-kubelet", "certificates"):
        subprocess.run(["rm", "-rf", str(kept / name)], check=True)  # noqa: S607
    archives = [image.default_folder() / name for name in ("pause-1.tar", "cloudai-dev.tar")]
    with RealNode(kept, archives, say) as running:
        yield running
