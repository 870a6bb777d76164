"""The commands of the pages on installing and on security, as they stand there and in their order, on a real node."""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from cloudai_sandbox import binaries, image
from cloudai_sandbox.control_plane import ROOT
from cloudai_sandbox.real_node import INSIDE, RealNode

pytestmark = pytest.mark.skipif(os.environ.get(INSIDE) != "1", reason="runs by make e2e-node")

PUBLISHED: Final = "registry.example/cloudai:0.1.0"
"""What the pages call the image."""
BLOCK: Final = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """The blocks of a page that are to be run."""
    return BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))


INSTALLING: Final = commands("install.md")
"""The last block uninstalls: what the page on security says needs a release, so it runs before that."""
STEPS: Final = [*INSTALLING[:-1], *commands("security.md"), INSTALLING[-1]]


class Shell:
    """A folder with the chart, and a PATH with the tools that the pages name."""

    def __init__(self, node: RealNode, folder: Path) -> None:
        self.folder = folder
        (folder / "charts").symlink_to(ROOT / "charts")
        tools = folder / "bin"
        tools.mkdir()
        (tools / "kubectl").symlink_to(node.plane.binaries.path("kubectl"))
        (tools / "helm").symlink_to(binaries.service("helm-4"))
        path = f"{tools}:{os.environ['PATH']}"
        self.environ = {**os.environ, "PATH": path, "KUBECONFIG": str(node.plane.kubeconfig), "HOME": str(folder)}

    def run(self, text: str) -> "subprocess.CompletedProcess[str]":
        """Run one block; it ends at the first command that fails."""
        command = ["bash", "-euo", "pipefail", "-c", text]
        return subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False, timeout=200
        )


@pytest.fixture(scope="module")
def shell(node: RealNode, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """As a reader has it: the image is where the nodes find it."""
    node.tag_image(image.IMAGE, PUBLISHED)
    return Shell(node, tmp_path_factory.mktemp("reader"))


@pytest.mark.parametrize("step", range(len(STEPS)), ids=[text.split("\n")[0][:60] for text in STEPS])
def test_a_step_of_the_pages(shell: Shell, step: int) -> None:
    """Each block succeeds after those before it."""
    done = shell.run(STEPS[step])
    assert done.returncode == 0, f"{STEPS[step]}\n{done.stdout}\n{done.stderr}"
