"""Settings of an epoch: file, environment, flags, and what is refused before anything is begun."""

from pathlib import Path

import pytest

from cloudai_optimizer.__main__ import main
from cloudai_optimizer.rules import Rules
from cloudai_optimizer.settings import Settings


def test_the_defaults_are_those_of_the_algorithm() -> None:
    """Said once, in the rules."""
    assert Settings().rules() == Rules()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--islands", "6"], "setting population = 20: 6 islands need at least 24"),
        (["--edd-energy", "0.35"], "the order is sla > utilisation > energy and overload"),
        (["--generations", "0"], "setting generations = 0: Expected `int` >= 1"),
        (["--fitness", "best"], 'setting fitness = "best"'),
        (["--hours", "nan"], 'setting hours = "nan"'),
        (["--seed", "1.5"], "setting seed = 1.5"),
        (["--config", "FILE"], "unknown setting 'island'; known settings: prometheus_url"),
    ],
)
def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """Exit code 2 and a message with field, value and what is known; the cluster is not asked."""
    file = tmp_path / "optimizer.yaml"
    file.write_text("island: 2\n")
    with pytest.raises(SystemExit) as ended:
        main(["--kubeconfig", "/nowhere", "epoch", *(str(file) if one == "FILE" else one for one in arguments)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_last_one_wins(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's word is heard, the environment's before it, a flag's before both."""
    file = tmp_path / "optimizer.yaml"
    file.write_text("islands: 20\n")
    for variable, flags, value in (("", [], 20), ("30", [], 30), ("30", ["--islands", "40"], 40)):
        monkeypatch.setenv("CLOUDAI_OPTIMIZER_ISLANDS", variable)
        with pytest.raises(SystemExit):
            main(["epoch", "--config", str(file), *flags])
        assert f"setting islands = {value}" in capsys.readouterr().err
