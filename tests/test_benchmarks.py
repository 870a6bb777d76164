"""Each benchmark says how it is run."""

import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))
COMMANDS = [file for file in BENCHMARKS if "ArgumentParser" in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: file.stem)
def test_help(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Options and an example."""
    monkeypatch.syspath_prepend(str(file.parent))
    monkeypatch.setattr(sys, "argv", [str(file), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(file), run_name="__main__")
    assert ended.value.code == 0
    assert f"python benchmarks/{file.name}" in capsys.readouterr().out
