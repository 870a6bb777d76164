"""Each benchmark says how it is run."""

import math
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))
COMMANDS = [file for file in BENCHMARKS if "ArgumentParser" in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    ("value", "holds"), [(1.0, True), (2.0, True), (0.9, False), (2.1, False), (math.nan, False), (math.inf, False)]
)
def test_a_bar_that_is_missed_ends_with_1(
    value: float, holds: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beyond its limits, or no number at all: it is said, and the command fails."""
    monkeypatch.syspath_prepend(str(BENCHMARKS[0].parent))  # as where the command runs
    from bar import Bar, judge

    bars = [Bar("fine", 0.0, most=0.0), Bar("figure", value, least=1.0, most=2.0)]
    if holds:
        judge(bars)
    else:
        with pytest.raises(SystemExit) as ended:
            judge(bars)
        assert ended.value.code == 1
    assert ("MISSED  figure" in capsys.readouterr().err) != holds


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: file.stem)
def test_help(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Options and an example."""
    monkeypatch.syspath_prepend(str(file.parent))
    monkeypatch.setattr(sys, "argv", [str(file), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(file), run_name="__main__")
    assert ended.value.code == 0
    assert f"python benchmarks/{file.name}" in capsys.readouterr().out


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: file.stem)
def test_every_benchmark_judges_its_figures(file: Path) -> None:
    """A command whose figures nobody compares with anything cannot fail."""
    assert "    judge(" in file.read_text(encoding="utf-8")
