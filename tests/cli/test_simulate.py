"""What-if from files to a table."""

import json
from pathlib import Path

import pytest

from cloudai_cli import sacct
from cloudai_cli.__main__ import main
from cloudai_rts import traces

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
    rows = json.loads(capsys.readouterr().out)["policies"]
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
    widths = json.loads(capsys.readouterr().out)["policies"][1]["half_widths"]
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
    for row in json.loads(capsys.readouterr().out)["policies"]:
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
        (["--tasks", FLEET, "--fleet", FLEET, "--knows-speeds"], "--knows-speeds: there is nothing to know"),
        (["--tasks", FLEET, "--fleet", FLEET, "--plot", "out.txt"], "end the name with one of .png, .svg, .pdf"),
        (["--tasks", FLEET, "--fleet", FLEET, "--plot", "nowhere/out.png"], "the folder nowhere is not there"),
        (["--tasks", FLEET, "--fleet", FLEET, "--hours", "3"], "--hours: give --from-cluster with it"),
        (["--from-cluster", "--tasks", FLEET], "--tasks: --from-cluster reads them from the cluster"),
        (["--from-cluster", "--knows-speeds"], "--knows-speeds: speeds are those that the cluster learned"),
        (["--from-cluster", "--learn", "first-half"], "--learn: the parameters of the cluster are learned already"),
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
    rows = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["policies"]
    assert rows[0]["violations"] == 100.0
    assert rows[0]["p95_slowdown"] is None
    main(["simulate", "--tasks", tasks, "--fleet", str(fleet), "--policy", "lateness,hinge"])
    assert "against lateness" in capsys.readouterr().out


def test_learning_is_shown(tasks: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two rows for the product, on the first day and after the first half; the others know what was learned too."""
    options = ["--speeds", SPEEDS, "--seeds", "1", "--policy", "lateness,round-robin", "-o", "json"]
    main(["simulate", "--tasks", tasks, "--fleet", FLEET, "--learn", "first-half", *options])
    said = capsys.readouterr()
    rows = json.loads(said.out)["policies"]
    assert [row["policy"] for row in rows] == ["lateness (cold)", "lateness (learned)", "round-robin"]
    assert sum(size for name, size in rows[0]["class_sizes"].items() if name.endswith(" GPU")) == 75
    assert "learning from 75 tasks, judging 75" in said.err
    main(["simulate", "--tasks", tasks, "--fleet", FLEET, "--learn", tasks, *options])
    again = json.loads(capsys.readouterr().out)["policies"]
    assert sum(size for name, size in again[0]["class_sizes"].items() if name.endswith(" GPU")) == 150
    assert again[1]["violations"] < again[0]["violations"]
    with pytest.raises(SystemExit, match="2"):
        main(["simulate", "--tasks", tasks, "--fleet", FLEET, "--learn", "second-half"])
    assert "there is no such file; give first-half, or a task trace" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["tasks", "fleet", "speeds"])
def test_templates_can_be_read(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `--template` prints is a simulation to begin with, in which every task fits and every product is known."""
    files = {}
    for name in ("tasks", "fleet", "speeds"):
        main(["simulate", "--template", name])
        files[name] = tmp_path / f"{name}.csv"
        files[name].write_text(capsys.readouterr().out)
    assert files[kind].read_text().count("\n") >= 3
    options = [f"--{name}={file}" for name, file in files.items()]
    main(["simulate", *options, "--policy", "lateness", "--seeds", "1"])
    said = capsys.readouterr()
    assert "lateness" in said.out
    assert "note:" not in said.err


def test_doubts_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What fits nowhere, what nothing is known of, and what makes no difference, by name."""
    tasks, fleet = tmp_path / "tasks.csv", tmp_path / "fleet.csv"
    header = "arrival_s,name,type,cpu,memory_bytes,gpu,reference_runtime_s,sla_multiplier,gpu_product\n"
    rows = ("0,small,t,1,1,1,10,2,", "1,huge,t,1,1,16,10,2,", "2,wide,t,9,1,0,10,2,", "3,rare,t,1,1,1,10,2,H100")
    tasks.write_text(header + "\n".join((*rows, "4,both,t,8,100,1,10,2,")) + "\n")
    columns = "node,cpu,memory_bytes,gpu,gpu_product,storage_bytes,pods\n"
    fleet.write_text(columns + "a,8,10,4,Wonder-9000,0,110\nb,4,100,4,NVIDIA-T4,0,110\n")
    main(["simulate", "--tasks", str(tasks), "--fleet", str(fleet), "--policy", "lateness", "--seeds", "1"])
    said = capsys.readouterr().err
    missed = "1 of 5 tasks fit no machine and count as missed by every policy"
    assert f"{missed}: huge; asks for 16 GPUs, and the largest machine has 4 GPUs" in said
    assert f"{missed}: wide; asks for 9 cores, and the largest machine has 8 cores" in said
    assert f"{missed}: rare; no machine has the GPU product H100" in said
    assert f"{missed}: both; no machine has all of what it asks for" in said
    assert "nothing is known of the speed of Wonder-9000" in said
    assert "without --speeds all tasks run equally fast on NVIDIA-T4, Wonder-9000" in said


def test_files_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Slurm's and kubectl's output become traces that `simulate` reads."""
    jobs = tmp_path / "jobs.txt"
    row = "7|train|ann|2026-03-01T10:00:00|2026-03-01T10:05:00|2026-03-01T11:05:00|02:00:00|COMPLETED|1|cpu=8,mem=1G"
    jobs.write_text("|".join(sacct.FIELDS) + f"\n{row}\n{row.replace('COMPLETED', 'FAILED')}\n")
    main(["import", "--from-sacct", str(jobs)])
    said = capsys.readouterr()
    [task] = traces.read_tasks(said.out)
    assert (task.expected_runtime_s, task.reference_runtime_s, task.user) == (7200.0, 3600.0, "ann")
    assert "1 left out: they did not complete" in said.err


def test_slices_are_machines_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task that asks for a slice runs where slices are; one that asks for a whole GPU does not fit there."""
    trace, fleet = tmp_path / "tasks.csv", tmp_path / "fleet.csv"
    header = HEADER.replace("deadline_s", "gpu_product")
    trace.write_text(header + "0,sliced,t,1,1,1,100,2,nvidia.com/mig-1g.5gb\n1,whole,t,1,1,1,100,2,\n")
    fleet.write_text(
        "node,cpu,memory_bytes,gpu,gpu_product,storage_bytes,pods\na,64,1000000000,7,nvidia.com/mig-1g.5gb,1,110\n"
    )
    options = ["--tasks", str(trace), "--fleet", str(fleet), "--seeds", "1", "--policy", "lateness"]
    main(["simulate", *options, "-o", "json"])
    said = json.loads(capsys.readouterr().out)
    assert said["policies"][0]["violations"] == 50.0
    assert any(": whole; asks for 1 GPU, and the largest machine has 0 GPUs" in note for note in said["notes"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["workload", "--fleet", FLEET, "--time-scale", "60"], "--time-scale: give --apply with it"),
        (["import", "--from-sacct", FLEET, "--matchers", "a"], "--matchers: give --from-prometheus DAYS with it"),
    ],
)
def test_options_without_effect(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are refused, not ignored."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert (ended.value.code, said in capsys.readouterr().err) == (2, True)


HEADER = "arrival_s,name,type,cpu,memory_bytes,gpu,reference_runtime_s,sla_multiplier,deadline_s\n"
TWO_PRODUCTS = (
    "node,cpu,memory_bytes,gpu,gpu_product,storage_bytes,pods\n"
    "a,64,1000000000,8,NVIDIA-A100-SXM4-40GB,1,110\nt,64,1000000000,4,NVIDIA-T4,1,110\n"
)


def test_where_nobody_has_a_deadline_nobody_misses_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Null, not 0 %."""
    trace, fleet = tmp_path / "tasks.csv", tmp_path / "fleet.csv"
    trace.write_text(HEADER + "0,a,t,1,1,1,100,2,none\n5,b,t,1,1,1,100,2,none\n")
    fleet.write_text(TWO_PRODUCTS)
    options = ["--tasks", str(trace), "--fleet", str(fleet), "--seeds", "1", "--policy", "lateness,least-allocated"]
    main(["simulate", *options, "-o", "json"])
    for row in json.loads(capsys.readouterr().out)["policies"]:
        assert (row["judged"], row["violations"], row["tardiness"], row["floor"]) == (0, None, None, None)
        assert (row["differences"]["violations"], row["gpu_hours_per_job"] > 0) == (None, True)
    main(["simulate", *options])
    assert "no task has a deadline" in capsys.readouterr().out


def test_without_a_table_data_sheets_are_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule that goes by data sheets is not judged on machines that are all alike; that is said."""
    trace, fleet = tmp_path / "tasks.csv", tmp_path / "fleet.csv"
    trace.write_text(HEADER + "".join(f"{100 * number},a,t,1,1,1,1000,2,\n" for number in range(20)))
    fleet.write_text(TWO_PRODUCTS)
    options = ["--tasks", str(trace), "--fleet", str(fleet), "--seeds", "1", "--policy", "lateness,least-allocated"]
    main(["simulate", *options, "-o", "json"])
    output = capsys.readouterr()
    said = json.loads(output.out)
    ours, other = said["policies"]
    [note] = said["notes"]
    assert note == "without --speeds tasks run on NVIDIA-A100-SXM4-40GB, NVIDIA-T4 as data sheets let expect"
    assert note in output.err
    assert ours["gpu_hours_per_job"] < other["gpu_hours_per_job"]


def test_a_table_with_other_names_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Types and products that are not there have no effect."""
    trace, fleet, speeds = (tmp_path / name for name in ("tasks.csv", "fleet.csv", "speeds.csv"))
    trace.write_text(HEADER + "0,a,t,1,1,1,100,2,\n")
    fleet.write_text(TWO_PRODUCTS)
    speeds.write_text("type,gpu_product,factor\nt,NVIDIA-T4,2\nt,T4,2\n")
    main(["simulate", "--tasks", str(trace), "--fleet", str(fleet), "--speeds", str(speeds), "--seeds", "1"])
    assert "--speeds names what is not in the trace and the fleet: t on T4" in capsys.readouterr().err
