"""What-if from files to a table."""

import json
from pathlib import Path

import pytest

from cloudai_cli.__main__ import main

ROOT = Path(__file__).parents[2]
FLEET = str(ROOT / "config/reference-fleet.csv")
SPEEDS = str(ROOT / "config/reference-speeds.csv")


@pytest.fixture
def tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A drawn workload of 150 tasks, as a file."""
    main(["workload", "--fleet", FLEET, "--count", "150", "--load", ".9", "--seed", "3"])
    file = tmp_path / "tasks.csv"
    file.write_text(capsys.readouterr().out)
    return str(file)


def test_policies_are_compared(tasks: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Means, paired differences, classes, and a picture; knowing the speeds helps."""
    picture = tmp_path / "response.png"
    options = ["--speeds", SPEEDS, "--knows-speeds", "--seeds", "2", "--policy", "lateness,round-robin", "-o", "json"]
    main(["simulate", "--tasks", tasks, "--fleet", FLEET, *options, "--plot", str(picture)])
    rows = json.loads(capsys.readouterr().out)
    assert [row["policy"] for row in rows] == ["lateness", "round-robin"]
    assert rows[0]["violations"] < rows[1]["violations"]
    assert rows[1]["differences"]["violations"] == pytest.approx(rows[1]["violations"] - rows[0]["violations"])
    assert set(rows[0]["by_class"]) == {"violations", "tardiness", "p95_slowdown", "gpu_hours_per_job", "energy_kwh"}
    assert set(rows[0]["by_class"]["violations"]) <= {
        *(f"{gpus} GPU" for gpus in (0, 1, 2, 4)),
        "gpu-training",
        "gpu-inference",
        "mixed",
        "cpu-light",
        "cpu-heavy",
        "memory-heavy",
    }
    assert picture.stat().st_size > 1000


def test_one_seed_has_intervals_over_tasks(tasks: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What each task has a figure of; of the course as a whole one seed says nothing."""
    options = ["--speeds", SPEEDS, "--knows-speeds", "--seeds", "1", "--policy", "lateness,round-robin", "-o", "json"]
    main(["simulate", "--tasks", tasks, "--fleet", FLEET, *options])
    widths = json.loads(capsys.readouterr().out)[1]["half_widths"]
    assert {name for name, width in widths.items() if width} == {
        "violations",
        "tardiness",
        "gpu_hours_per_job",
        "energy_kwh",
    }


def test_classes_add_up(tasks: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Energy of the types is that of all; a whole table is there for people too."""
    options = ["--tasks", tasks, "--fleet", FLEET, "--seeds", "1", "--policy", "lateness,round-robin"]
    main(["simulate", *options, "-o", "json"])
    for row in json.loads(capsys.readouterr().out):
        energy = row["by_class"]["energy_kwh"]
        assert sum(kwh for name, kwh in energy.items() if "GPU" not in name) == pytest.approx(row["energy_kwh"])
        assert sum(kwh for name, kwh in energy.items() if "GPU" in name) == pytest.approx(row["energy_kwh"])
        slowest = max(row["by_class"]["p95_slowdown"].values())
        assert slowest >= row["p95_slowdown"] >= min(row["by_class"]["p95_slowdown"].values())
    main(["simulate", *options, "--by-class"])
    said = capsys.readouterr().out
    assert all(said.count(title) == count for title, count in (("p95 slowdown", 3), ("makespan, h", 2)))


def test_a_table_for_people(tasks: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a policy, and the floor."""
    main(["simulate", "--tasks", tasks, "--fleet", FLEET, "--policy", "least-allocated", "--seeds", "1"])
    said = capsys.readouterr().out
    assert "least-allocated" in said
    assert "not to be met by any policy" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tasks", "nowhere.csv", "--fleet", FLEET], "cannot be read"),
        (["--tasks", FLEET, "--fleet", FLEET], "the header lacks"),
        (["--tasks", FLEET, "--fleet", FLEET, "--policy", "magic"], "known policies"),
    ],
)
def test_bad_input(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 and a message that names file or option."""
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_fleet_on_which_nothing_fits(tasks: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is missed, what has no value is null, and both forms can be read."""
    fleet = tmp_path / "fleet.csv"
    fleet.write_text("node,cpu,memory_bytes,gpu,gpu_product,storage_bytes,pods,speed\nn,0.1,1000,0,,0,10,1\n")
    main(["simulate", "--tasks", tasks, "--fleet", str(fleet), "--policy", "lateness,hinge", "-o", "json"])
    rows = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert rows[0]["violations"] == 100.0
    assert rows[0]["p95_slowdown"] is None
    main(["simulate", "--tasks", tasks, "--fleet", str(fleet), "--policy", "lateness,hinge"])
    assert "against lateness" in capsys.readouterr().out
