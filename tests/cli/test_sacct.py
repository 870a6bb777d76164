"""A trace out of Slurm's accounting."""

import pytest

from cloudai_cli import sacct
from cloudai_cli.errors import InputError
from cloudai_rts.contract import CPU, DEFAULT_GPU_RESOURCE, MEMORY

HEADER = "|".join(sacct.FIELDS) + "\n"


def line(**fields: str) -> str:
    """One job that ran for an hour on 8 cores, 2 GPUs, 64 GiB."""
    usual = {
        "JobID": "17",
        "JobName": "train",
        "User": "ann",
        "Submit": "2026-03-01T10:00:00",
        "Start": "2026-03-01T10:05:00",
        "End": "2026-03-01T11:05:00",
        "Timelimit": "1-02:00:00",
        "State": "COMPLETED",
        "NNodes": "1",
        "AllocTRES": "billing=8,cpu=8,gres/gpu=2,gres/gpu:a100=2,mem=64G,node=1",
    }
    return "|".join({**usual, **fields}[name] for name in sacct.FIELDS) + "\n"


def test_a_job_is_a_run() -> None:
    """What it asked for, how long it took, and the time limit as a declared run time."""
    [run], left_out = sacct.read(HEADER + line())
    assert (run.seconds, run.started - run.created, run.declared) == (3600.0, 300.0, 26 * 3600.0)
    assert run.requests == {CPU: 8.0, MEMORY: float(64 << 30), DEFAULT_GPU_RESOURCE: 2.0}
    assert run.workload == "ann/train"
    assert not left_out


@pytest.mark.parametrize(
    ("asked", "products"),
    [("cpu=8,gres/gpu:a100=2,gres/gpu=2", {"a100"}), ("cpu=8,gres/gpu=2", set()), ("", set())],
)
def test_the_type_that_a_job_asked_for(asked: str, products: set[str]) -> None:
    """It restricts the task; the type that it got by chance does not."""
    [run], _ = sacct.read(HEADER.replace("\n", "|ReqTRES\n") + line().replace("\n", f"|{asked}\n"))
    assert run.gpu_products == products


@pytest.mark.parametrize(
    ("tres", "gpus"),
    [("gres/gpu=2,gres/gpu:a100=2", 2.0), ("gres/gpu:a100=2,gres/gpu:h100=1", 3.0), ("gres/nic=2", None)],
)
def test_gpus_of_a_job(tres: str, gpus: float | None) -> None:
    """In all where that stands there, else the sum over the types."""
    [run], _ = sacct.read(HEADER + line(AllocTRES=f"cpu=8,mem=64G,{tres}"))
    assert run.requests.get(DEFAULT_GPU_RESOURCE) == gpus


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"State": "CANCELLED by 17"}, "did not complete"),
        ({"NNodes": "4"}, "ran on several nodes"),
        ({"Start": "Unknown"}, "have no times, or contradicting ones"),
        ({"End": "2026-03-01T10:00:00"}, "have no times, or contradicting ones"),
        ({"JobID": "11+1"}, "are parts of a heterogeneous job"),
        ({"AllocTRES": "cpu=8,gres/shard=2"}, "ask for parts of a GPU (shards, MPS)"),
        ({"AllocTRES": "cpu=8,gres/mps:a100=50"}, "ask for parts of a GPU (shards, MPS)"),
        ({"AllocTRES": ""}, "say nothing of their CPUs"),
        ({"AllocTRES": "cpu=\u00b2"}, "say nothing of their CPUs"),
        ({"AllocTRES": "cpu=" + "9" * 400}, "say nothing of their CPUs"),
    ],
)
def test_what_is_left_out_is_counted(fields: dict[str, str], why: str) -> None:
    """Nothing is dropped in silence; steps of a job are no jobs."""
    runs, left_out = sacct.read(HEADER + line(**fields) + line(JobID="17.batch") + line(JobID="18"))
    assert [run.uid for run in runs] == ["18"]
    assert left_out == {why: 1}


def test_waits_for_others_and_suspensions_are_left_out() -> None:
    """The job before it ended at 10:02; of the hour it was suspended for 40 minutes."""
    header = HEADER.replace("\n", "|Eligible|ElapsedRaw\n")
    [run], _ = sacct.read(header + line().replace("\n", "|2026-03-01T10:02:00|1200\n"))
    assert (run.seconds, run.started - run.created) == (1200.0, 180.0)
    [usual], _ = sacct.read(header + line().replace("\n", "|Unknown|\n"))
    assert (usual.seconds, usual.started - usual.created) == (3600.0, 300.0)


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        ("02:00:00", 7200.0),
        ("30:00", 1800.0),
        ("UNLIMITED", None),
        ("Partition_Limit", None),
        ("", None),
        ("0:00", None),
    ],
)
def test_time_limits(limit: str, seconds: float | None) -> None:
    """As Slurm writes them."""
    [run], _ = sacct.read(HEADER + line(Timelimit=limit))
    assert run.declared == seconds


@pytest.mark.parametrize("text", ["", "JobID,User\n1,ann\n", "a" * 200_000])
def test_other_output(text: str) -> None:
    """The message says which command writes what is needed."""
    with pytest.raises(InputError, match="--parsable2"):
        sacct.read(text)


def test_a_quote_in_a_name_is_a_letter() -> None:
    """sacct quotes nothing, so a job called `"x` swallows none of those behind it."""
    runs, _ = sacct.read(HEADER + line(JobName='"x') + line(JobID="18"))
    assert len(runs) == 2
