"""The layout that keeps a folder named `operator` from hiding the standard library."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE_ROOTS = ["rts", "kube", "operator", "scheduler", "optimizer", "cli", "sandbox"]


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_a_source_root_holds_one_package_and_nothing_else_to_import(root: str) -> None:
    """No importable file lies in a source root outside its package."""
    package = ROOT / root / f"cloudai_{root}"
    assert [path for path in (ROOT / root).rglob("*.py") if not path.is_relative_to(package)] == []


def test_no_package_marker_under_tests() -> None:
    """A package tests/operator would hide the standard library from the tests."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []


@pytest.mark.parametrize("folder", [".", "tests"])
def test_the_standard_library_wins(folder: str) -> None:
    """`import operator` finds the standard library from the root and from the tests."""
    command = [sys.executable, "-S", "-c", "import operator; print(operator.__file__)"]
    found = subprocess.run(command, cwd=ROOT / folder, capture_output=True, text=True, check=True)
    assert not Path(found.stdout.strip()).is_relative_to(ROOT)


def test_every_source_root_is_packaged() -> None:
    """Wheel, editable install, ruff and mypy know the same source roots; mypy the benchmarks too, which share some."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert project["hatch"]["build"]["dev-mode-dirs"] == SOURCE_ROOTS
    assert project["ruff"]["src"] == SOURCE_ROOTS
    assert project["mypy"]["mypy_path"] == [*SOURCE_ROOTS, "benchmarks"]
    assert len(project["hatch"]["build"]["targets"]["wheel"]["packages"]) == len(SOURCE_ROOTS)


def test_requirements_are_pinned_by_hash_and_name_no_host() -> None:
    """Every requirement has hashes, and no file says where it comes from."""
    for file in (ROOT / "requirements").glob("*.txt"):
        text = file.read_text()
        assert "://" not in text
        pins = [line for line in text.splitlines() if "==" in line and not line.startswith(" ")]
        assert pins
        assert all(line.endswith("\\") for line in pins), file


def test_files_stay_small() -> None:
    """No module has more than 500 lines."""
    long = [
        path
        for root in SOURCE_ROOTS
        for path in (ROOT / root).rglob("*.py")
        if len(path.read_text().splitlines()) > 500
    ]
    assert long == []
