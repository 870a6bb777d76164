"""Traces as CSV."""

import math
import re
from pathlib import Path

import pytest

from cloudai_rts import traces
from cloudai_rts.errors import TraceError

CONFIG = Path(__file__).parents[2] / "config"
TASKS = "arrival_s,name,type,cpu,memory_bytes,gpu,reference_runtime_s,sla_multiplier,deadline_s\n"


def test_the_reference_cluster() -> None:
    """17 nodes with 40 GPUs of three models; training is fastest on a V100, inference on a P100."""
    nodes = traces.read_fleet((CONFIG / "reference-fleet.csv").read_text())
    assert len(nodes) == 17
    assert sum(node.gpu for node in nodes) == 40
    speeds = traces.read_speeds((CONFIG / "reference-speeds.csv").read_text())
    assert min(speeds, key=lambda key: speeds[key] if key[0] == "gpu-training" else 9) == (
        "gpu-training",
        "NVIDIA-V100",
    )
    assert min(speeds, key=lambda key: speeds[key] if key[0] == "gpu-inference" else 9)[1] == "NVIDIA-P100"


def test_tasks_come_in_order_of_arrival() -> None:
    """Whatever the order of the lines."""
    found = traces.read_tasks(TASKS + "5,b,t,1,1,0,10,2,\n1,a,t,1,1,0,10,2,40\n")
    assert [task.name for task in found] == ["a", "b"]
    assert (found[0].deadline_s, found[1].deadline_s) == (40.0, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("node,cpu\nn,1\n", "header lacks"),
        ("node,cpu,memory_bytes,gpu,gpu_product,storage_bytes,pods\n", "no nodes"),
        ("node,cpu,memory_bytes,gpu,gpu_product,storage_bytes,pods\nn,many,1,0,,1,10\n", "line 2: cpu = 'many'"),
        ("node,cpu,memory_bytes,gpu,gpu_product,storage_bytes,pods\nn,-1,1,0,,1,10\n", "line 2: cpu = '-1'"),
        ("node,cpu,memory_bytes,gpu,gpu_product,storage_bytes,pods\n,1,1,0,,1,10\n", "line 2: column node is empty"),
    ],
)
def test_bad_fleets(text: str, message: str) -> None:
    """The message names line, column and value."""
    with pytest.raises(TraceError, match=message):
        traces.read_fleet(text)


def test_optional_columns() -> None:
    """Priority, GPU product, storage and user; empty cells have their defaults."""
    header = "arrival_s,name,type,cpu,memory_bytes,gpu,reference_runtime_s,sla_multiplier"
    text = (
        f"{header},priority,gpu_product,storage_bytes,user\n0,a,t,1,1,0,5,2,-7,NVIDIA-V100,9,ada\n1,b,t,1,1,0,5,2,,,,\n"
    )
    one, other = traces.read_tasks(text)
    assert (one.priority, one.gpu_product, one.storage_bytes, one.user) == (-7, "NVIDIA-V100", 9, "ada")
    assert (other.priority, other.gpu_product, other.storage_bytes, other.user) == (0, "", 0, "")


@pytest.mark.parametrize(
    ("column", "value", "said"), [("priority", "high", "no whole number"), ("gang", "4", "one pod")]
)
def test_optional_columns_that_cannot_be_read(column: str, value: str, said: str) -> None:
    """The message names line and column."""
    header = "arrival_s,name,type,cpu,memory_bytes,gpu,reference_runtime_s,sla_multiplier"
    with pytest.raises(TraceError, match=said):
        traces.read_tasks(f"{header},{column}\n0,a,t,1,1,0,5,2,{value}\n")


def test_moments_count_from_the_first_one() -> None:
    """ISO times, with a zone or in UTC, as arrivals and as deadlines."""
    text = (
        TASKS + "2026-03-01T11:00:00+01:00,b,t,1,1,0,10,2,2026-03-01T10:05:00Z\n2026-03-01T09:59:00,a,t,1,1,0,10,2,\n"
    )
    first, second = traces.read_tasks(text)
    assert (first.name, first.arrival_s, second.arrival_s, second.deadline_s) == ("a", 0.0, 60.0, 360.0)


def test_nobody_may_wait_for_a_task() -> None:
    """`none` is a deadline that is never missed, and is written again; an empty one follows from the multiplier."""
    [task] = traces.read_tasks(TASKS + "0,a,t,1,1,0,10,2,none\n")
    assert (task.deadline_s, task.allowed_s) == (math.inf, None)
    assert traces.read_tasks(traces.write_tasks([task])) == [task]


def test_names_are_told_apart_and_a_byte_order_mark_is_no_letter() -> None:
    """What two tasks share is their name only."""
    text = "\ufeff" + TASKS + "0,a,t,1,1,0,10,2,\n1,a,t,1,1,0,10,2,\n2,a#2,t,1,1,0,10,2,\n"
    assert [task.name for task in traces.read_tasks(text)] == ["a", "a#2", "a#2#2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TASKS + "0,a,t,1,1,0.5,10,2,\n", "gpu = 0.5; devices are placed whole"),
        (TASKS.replace("name", "type", 1) + "0,a,t,1,1,0,10,2,\n", "the header lacks name"),
        (TASKS.replace("\n", ",type\n") + "0,a,t,1,1,0,10,2,,t\n", "column 'type' stands there twice"),
        (TASKS + "2026-13-41,a,t,1,1,0,10,2,\n", "is no time; write for example"),
        (TASKS + "2026-03-01,a,t,1,1,0,10,2,40\n", "deadline_s = '40' is no time as in other lines"),
        (TASKS + "0,a,t,1,1,0,10,2,2026-03-01\n", "deadline_s is a time and arrival_s a number"),
        (TASKS + "0,a,t,1,1,0,0,2,\n", "reference_runtime_s = 0; write a number above 0"),
        (TASKS + "0,a,t,1,1,0,10,0,\n", "sla_multiplier = 0; write a number above 0"),
        (TASKS + "0,a,t,1,32Gi,0,10,2,\n", "memory_bytes = '32Gi' is no number from 0 to 1.1259e+15; write bytes"),
        (TASKS + "01.03.2026 18:00,a,t,1,1,0,10,2,\n", "write seconds, or a time such as 2026-03-01T18:00:00Z"),
        (TASKS + "0,a,t,4,5,1000,1,100,2,\n", "line 2: more values than columns"),
        (TASKS.replace(",", ";") + "0;a;t;1;1;0;10;2;\n", "separated by ';'; save the file as CSV with commas"),
        (TASKS + "500,a,t,1,1,0,10,2,400\n", "deadline_s lies before arrival_s"),
    ],
)
def test_what_cannot_be_replayed_is_refused(text: str, said: str) -> None:
    """With the line, the column and the remedy."""
    with pytest.raises(TraceError, match=re.escape(said)):
        traces.read_tasks(text)


@pytest.mark.parametrize(
    ("rows", "said"),
    [("t,A,0\n", "factor = 0; write a number above 0"), ("t,A,1\nt, A,2\n", "line 3: t on A stands there twice")],
)
def test_speeds_that_say_nothing_or_two_things_are_refused(rows: str, said: str) -> None:
    """Each pair once, with a factor; spaces are no part of a name."""
    with pytest.raises(TraceError, match=re.escape(said)):
        traces.read_speeds(f"type,gpu_product,factor\n{rows}")
