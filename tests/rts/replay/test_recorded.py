"""Recorded history as something to replay."""

import math
from dataclasses import replace

import msgspec
import pytest

from cloudai_rts.history import Available, Record
from cloudai_rts.machine import Machine
from cloudai_rts.parameters import Document, RuntimeModel
from cloudai_rts.replay import recorded
from cloudai_rts.replay.chooser import RtsChooser
from cloudai_rts.replay.engine import Replay
from cloudai_rts.replay.summary import floor
from cloudai_rts.traces import FleetNode

MODEL = Document(
    Runtime=RuntimeModel(
        Kappa=0.5, Mu=0.0, U={"t": {"fast": -1.0, "fast/mig-1g.5gb": 1.0}}, V={"a": 0.2}, Sigma={"t": 0.3}
    ),
    Tau={"t": 100.0},
)


def record(uid: str, arrival: float, **fields: object) -> Record:
    """A run of 100 s on node a."""
    whole = Record(
        uid, uid, "ns", uid, "t", "a", "fast", arrival, arrival, arrival + 100.0, "Succeeded", 2.0, 0.0, load=0.25
    )
    return msgspec.structs.replace(whole, **fields)


def machine(cpu: float = 8.0, occupied: dict[str, int] | None = None, devices: dict[str, int] | None = None) -> Machine:
    """Node a."""
    return Machine(FleetNode("a", cpu, 1 << 30, 0, "", 0, 110), "fast", devices or {}, occupied or {})


def test_the_work_behind_a_run_worked_out_by_hand() -> None:
    """100 s = work x exp(-1 + .2) x (1 + .5 x (.25 + 2/8)^2)."""
    (work,) = recorded.recover([record("x", 0.0), record("y", 1.0, finish=1.0)], MODEL, [machine()])
    assert work.seconds == pytest.approx(100.0 / (math.exp(-0.8) * (1 + 0.5 * 0.25)))


@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_the_same_run_again_takes_as_long(resource: str) -> None:
    """Whichever of the two the node was full of: where it ran, under the load of then, it takes its 100 s."""
    strangers = {"cpu": 7200, "memory": round(0.3 * 2**30)} if resource == "cpu" else {"memory": round(0.9 * 2**30)}
    node = machine(occupied=strangers)
    works = recorded.recover([record("x", 0.0, cpu=1e-6, load=0.9)], MODEL, [machine()])
    world = recorded.world_of([node], MODEL, works)
    jobs = recorded.jobs(recorded.split(works, 1, 1)[0], MODEL, [node])
    course = Replay(world, jobs, RtsChooser(MODEL)).run()
    assert course.finish[0] - course.start[0] == pytest.approx(100.0, rel=1e-5)


def test_the_memory_of_the_run_itself_counts() -> None:
    """It asks for three quarters of the memory: recovered and replayed alone on the same machine it takes its 100 s."""
    node = machine()
    free = Available(cpu=8.0, memoryBytes=2.0**30)
    works = recorded.recover([record("x", 0.0, cpu=1.0, memory=0.75 * 2**30, load=0.0, available=free)], MODEL, [node])
    jobs = recorded.jobs(recorded.split(works, 1, 1)[0], MODEL, [node])
    course = Replay(recorded.world_of([node], MODEL, works), jobs, RtsChooser(MODEL)).run()
    assert course.finish[0] - course.start[0] == pytest.approx(100.0, rel=1e-6)


def test_memory_that_a_run_really_used_counts() -> None:
    """Two runs that ask for half of the memory each: what they slow each other down by is what they use of it."""
    found = [record(name, 0.0, cpu=1e-6, memory=2.0**29, used_memory=used, load=0.0) for name, used in USES]
    works = recorded.recover(found, MODEL, [machine()])
    world = recorded.world_of([machine()], MODEL, works)
    jobs = recorded.jobs(recorded.split(works, 1, 2)[0], MODEL, [machine()])
    course = Replay(world, jobs, RtsChooser(MODEL)).run()
    work = 100.0 * (1 + 0.5 * 0.75**2)  # the first to end meets both until then
    assert course.finish.min() == pytest.approx(work, rel=1e-5)


USES = (("x", 0.25 * 2**30), ("y", None))


@pytest.mark.parametrize("outcome", ["Failed", "Disrupted", "Running"])
def test_what_did_not_succeed_took_room_all_the_same(outcome: str) -> None:
    """It runs when the window begins or comes when it began, nobody judges it, and others find less room."""
    found = [
        record("long", 0.0, finish=200.0, cpu=6.0, outcome=outcome),
        record("new", 100.0, cpu=4.0, deadline=900.0),
        record("other", 150.0, start=160.0, finish=170.0, outcome=outcome, deadline=900.0),
    ]
    works = recorded.recover(found, MODEL, [machine()])
    window = recorded.split(works, 1, 2)[0]
    assert [work.record.pod_uid for work in window.running] == ["long"]
    jobs = recorded.jobs(window, MODEL, [machine()])
    assert [(job.name, job.known.arrival, job.due) for job in jobs] == [("new", 0.0, 800.0), ("other", 60.0, None)]
    carried = recorded.carried(window, MODEL, [machine()])
    world = recorded.world_of([machine()], MODEL, works)
    course = Replay(world, jobs, RtsChooser(MODEL), carried=carried).run()
    assert course.start[0] > 50.0


def test_a_second_attempt_comes_after_the_first() -> None:
    """Both took room, one after the other, and the late one stays late."""
    first = record("x", 0.0, finish=1000.0, outcome="Disrupted")
    second = record("y", 0.0, start=1000.0, finish=2000.0, attempt=2, deadline=1500.0)
    works = recorded.recover([second, first], MODEL, [machine()])
    jobs = recorded.jobs(recorded.Window(0.0, works), MODEL, [machine()])
    assert [(job.name, job.known.arrival, job.due) for job in jobs] == [("x", 0.0, None), ("y", 1000.0, 1500.0)]


def test_a_slice_is_another_machine() -> None:
    """Work on a slice runs at the slice's speed in the replay."""
    slices = [record("x", 0.0, gpu=1.0, gpu_resource="nvidia.com/mig-1g.5gb"), record("y", 0.0)]
    works = recorded.recover(slices, MODEL, [machine()])
    world = recorded.world_of([machine(devices={"nvidia.com/mig-1g.5gb": 2})], MODEL, works)
    assert world.own["t"][0] == pytest.approx(math.exp(-0.8))
    assert world.own["t nvidia.com/mig-1g.5gb"][0] == pytest.approx(math.exp(1.2))
    course = Replay(world, recorded.jobs(recorded.Window(0.0, works), MODEL, [machine()]), RtsChooser(MODEL)).run()
    assert course.node.tolist() == [0, 0]


@pytest.mark.parametrize(("taken", "together"), [(0, True), (5000, False)])
def test_strangers_keep_their_share(taken: int, together: bool) -> None:
    """With 5 of 8 cores taken two tasks of two cores run one after the other, on a busier node."""
    works = recorded.recover([record("x", 0.0), record("y", 0.0)], MODEL, [machine()])
    world = recorded.world_of([machine(occupied={"cpu": taken})], MODEL, works)
    course = Replay(world, recorded.jobs(recorded.Window(0.0, works), MODEL, [machine()]), RtsChooser(MODEL)).run()
    assert bool(course.start[0] == course.start[1]) == together


def test_a_window_begins_on_the_cluster_as_it_was() -> None:
    """x (0 to 100) runs when the window begins, w has waited since 10, n and m are new; e has ended."""
    found = [
        record("e", -50.0, start=-50.0, finish=30.0),
        record("x", 0.0),
        record("w", 10.0, start=60.0, finish=160.0, deadline=500.0),
        record("n", 40.0, start=61.0, finish=161.0, deadline=500.0),
        record("m", 41.0, start=62.0, finish=162.0),
    ]
    works = recorded.recover(found, MODEL, [machine()])
    window = recorded.split(works, 1, 2)[0]
    assert window.begin == 40.0
    assert [[one.record.pod_uid for one in part] for part in (window.running, window.waiting, window.works)] == [
        ["x"],
        ["w"],
        ["n", "m"],
    ]
    jobs = recorded.jobs(window, MODEL, [machine()])
    assert [(job.name, job.known.arrival, job.known.deadline, job.due) for job in jobs] == [
        ("w", 0.0, 460.0, None),
        ("n", 0.0, 460.0, 460.0),
        ("m", 1.0, None, None),
    ]
    (one,) = recorded.carried(window, MODEL, [machine()])
    assert (one.node, one.started) == (0, -40.0)
    assert one.left == pytest.approx(works[1].seconds * 0.6)
    assert recorded.carried(window, MODEL, []) == []


def test_who_runs_already_takes_room() -> None:
    """On a machine for two of them, one carried task with 60 s to go lets only one of two start at once."""
    found = [record("x", 0.0), record("n", 40.0), record("m", 40.0)]
    works = recorded.recover(found, MODEL, [machine(4.0)])
    window = recorded.split(works, 1, 2)[0]
    world = recorded.world_of([machine(4.0)], MODEL, works)
    carried = recorded.carried(window, MODEL, [machine(4.0)])
    course = Replay(world, recorded.jobs(window, MODEL, [machine()]), RtsChooser(MODEL), carried=carried).run()
    assert course.start[0] == 0.0
    assert 45.0 < course.start[1] < 75.0


def test_a_long_queue_is_cut() -> None:
    """Of fifty that waited, a window of ten tasks begins with the ten that were served first."""
    queue = [record(f"q{i}", float(i), start=1000.0 + i, finish=1100.0 + i) for i in range(50)]
    new = [record(f"n{i}", 500.0 + i, start=2000.0 + i, finish=2100.0 + i) for i in range(10)]
    works = recorded.recover([*queue, *new], MODEL, [machine()])
    window = recorded.split(works, 1, 10)[0]
    assert [one.record.pod_uid for one in window.waiting] == [f"q{i}" for i in range(10)]


def test_tasks_go_where_they_were_admitted() -> None:
    """Selectors and tolerations hold in a replay too, unless no such machine is there any more."""
    nodes = [FleetNode(name, 8.0, 1 << 30, 0, "", 0, 110) for name in ("a", "b")]
    machines = [Machine(node, name) for node, name in zip(nodes, ("fast", "slow"), strict=True)]
    found = [
        record("anywhere", 0.0, deadline=9e9),
        record("bound", 1.0, deadline=9e9, allowed_classes=("slow", "gone")),
        record("lost", 2.0, deadline=9e9, allowed_classes=("gone",)),
    ]
    works = recorded.recover(found, MODEL, [machine()])
    jobs = recorded.jobs(recorded.Window(0.0, works), MODEL, machines)
    world = recorded.world_of(machines, MODEL, works)
    course = Replay(world, jobs, RtsChooser(MODEL)).run()
    assert course.node.tolist() == [0, 1, 0]
    tight = [replace(job, due=job.work) for job in jobs]
    assert floor(world, tight).tolist() == [0.0, 1.0, 0.0]
