"""Shipped packages are pinned, and the wheel is the same whenever it is built."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_wheel_is_the_same_byte_by_byte(tmp_path: Path) -> None:
    """Built twice, at different times and in different folders."""
    built = []
    for name in ("a", "b"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / name)]
        environ = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
        subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=True)
        (wheel,) = (tmp_path / name).glob("*.whl")
        built.append(wheel.read_bytes())
    assert built[0] == built[1]


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda path: path.name)
def test_every_package_is_pinned_with_hashes(file: Path) -> None:
    """And no line names an index."""
    blocks = re.split(r"\n(?=\S)", file.read_text(encoding="utf-8").strip())
    packages = [block for block in blocks if not block.startswith("#")]
    assert packages
    for block in packages:
        assert re.match(r"[A-Za-z0-9_.\[\]-]+==\S+", block), block.splitlines()[0]
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "://" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(file: Path) -> None:
    """A tag can be moved, a commit cannot."""
    used = re.findall(r"uses: (\S+)", file.read_text(encoding="utf-8"))
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", one)] == []


def test_the_image_is_made_of_little() -> None:
    """No root, no pip at run time, hashes for every package, the base named once."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert text.index("ARG BASE=") < text.index("FROM")
    assert text.count("--require-hashes") == 2
    assert "USER 65532:65532" in text
    assert "uninstall --yes --quiet setuptools pip" in text
