"""What networks, overloaded servers and restarts do: nothing is lost or bound twice, nobody runs in circles."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.conftest import Cluster, check_history

from cloudai_kube import timestamp
from cloudai_sandbox.sandbox import Sandbox

BINDING = {"method": "POST", "path": "/binding$"}
SCHEDULER, OPERATOR = "cloudai-scheduler", "cloudai-operator"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox whose processes reach the API server through a proxy that fails on request."""
    silence = {"WATCH_SILENCE_SECONDS": "3"}
    settings = {
        OPERATOR: {"RETRY_FIRST_SECONDS": "0.5", **silence},
        SCHEDULER: silence,
    }
    folder = tmp_path_factory.mktemp("faulty")
    with Sandbox(folder, nodes=4, settings=settings, proxied=True) as running:
        yield running
        check_history(running)


@pytest.fixture
def cluster(faulty: Sandbox) -> Iterator[Cluster]:
    """The faulty sandbox; every test leaves it without faults and with its processes running."""
    yield Cluster(faulty)
    faulty.set_faults()
    faulty.revive()
    for name in faulty.run:
        faulty.wait_ready(name)


def hits(cluster: Cluster) -> int:
    """How often the present faults were carried out."""
    counts = cluster.sandbox.proxied_requests()
    assert counts is not None
    return counts["hits"]


def names(prefix: str, count: int) -> list[str]:
    """Names of Tasks."""
    return [f"{prefix}-{number}" for number in range(count)]


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "lose-reply", **BINDING, "times": 10},
        {"action": "drop", **BINDING, "times": 10},
        {"action": "refuse", "status": 500, **BINDING, "times": 10},
        {"action": "refuse", "status": 429, **BINDING, "times": 10},
        {"action": "lose-reply", "method": "POST", "path": "/pods$", "times": 5},
        {"action": "lose-reply", "method": "PATCH", "path": "/tasks/.*/status$", "times": 10},
        {"action": "refuse", "status": 404, "method": "PATCH", "path": "/tasks/.*/status$", "times": 5},
    ],
    ids=lambda fault: f"{fault['action']}-{fault.get('status', '')}{fault['path'][-10:-1]}".replace("/", ""),
)
def test_writes_that_go_wrong(cluster: Cluster, fault: dict[str, Any], request: pytest.FixtureRequest) -> None:
    """A lost answer, a broken connection, 500, 429, 404: each write is repeated or found to have happened."""
    prefix = f"w{abs(hash(request.node.name)) % 10**8}"
    cluster.sandbox.set_faults(fault)
    cluster.apply(*(cluster.task(name) for name in names(prefix, 12)))
    cluster.complete(*names(prefix, 12))
    assert hits(cluster) == fault["times"]


def test_an_overloaded_server_is_given_time(cluster: Cluster) -> None:
    """Five seconds of 429 for everything: at most a few dozen requests, then all goes on."""
    cluster.sandbox.set_faults(
        {"action": "refuse", "status": 429, "path": "/(pods|tasks|nodes|events)", "after_seconds": 1}
    )
    cluster.apply(*(cluster.task(name) for name in names("throttled", 20)))
    time.sleep(5)
    assert 0 < hits(cluster) < 150
    cluster.sandbox.set_faults()
    cluster.complete(*names("throttled", 20))


@pytest.mark.parametrize("path", ["/pods[?].*watch", "/tasks[?].*watch"])
def test_a_watch_that_goes_silent(cluster: Cluster, path: str) -> None:
    """The stream stays open and says nothing more: it is taken for dead and begun anew."""
    cluster.sandbox.set_faults({"action": "silence", "path": path, "times": 0})
    prefix = "silent-pods" if "pods" in path else "silent-tasks"
    cluster.sandbox.set_faults({"action": "silence", "path": path})
    assert hits(cluster) >= 1
    cluster.sandbox.set_faults()
    cluster.apply(*(cluster.task(name) for name in names(prefix, 3)))
    cluster.complete(*names(prefix, 3), seconds=40)


def test_an_api_server_that_restarts(cluster: Cluster) -> None:
    """Away for three seconds while Tasks run and wait: all end."""
    long = {"sandbox.cloudai.dev/runtime-seconds": "2"}
    cluster.apply(*(cluster.task(name, long, resources={"limits": {"cpu": "8"}}) for name in names("restart", 30)))
    cluster.wait(lambda: cluster.status("restart-0").get("state") in {"Running", "Complete"})  # it may be over at once
    cluster.plane.stop_apiserver()
    time.sleep(3)
    cluster.plane.start_apiserver()
    cluster.sandbox.revive()
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        cluster.sandbox.revive()  # a process that lost its Lease meanwhile is started again
        items = cluster.get("tasks.cloudai.dev")["items"]
        states = [
            item.get("status", {}).get("state") for item in items if item["metadata"]["name"].startswith("restart-")
        ]
        if states.count("Complete") == 30:
            return
        time.sleep(0.5)
    pytest.fail(f"not all have ended: {states}")


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "re-created"])
def test_a_pod_that_changes_identity_while_it_is_bound(cluster: Cluster, again: bool) -> None:
    """Decided, deleted (and created again) before the Binding arrives: it must not bind the namesake."""
    name = "twin-again" if again else "twin"
    gone = 'cloudai_scheduler_binds_total{outcome="gone"}'
    before = cluster.metric(SCHEDULER, gone)
    cluster.sandbox.set_faults(
        {"action": "delay", "method": "POST", "path": f"/{name}/binding", "after_seconds": 2, "times": 1}
    )
    cluster.apply(cluster.pod(name))
    first = cluster.get("pod", name)["metadata"]["uid"]
    cluster.wait(lambda: hits(cluster) == 1, 10)
    cluster.plane.kubectl("delete", "pod", name, "--now")
    if again:
        cluster.apply(cluster.pod(name))
    cluster.wait(lambda: cluster.metric(SCHEDULER, gone) == before + 1, 10)
    if again:
        cluster.wait(lambda: cluster.get("pod", name)["status"]["phase"] == "Succeeded")
        assert cluster.get("pod", name)["metadata"]["uid"] != first


def test_an_update_during_a_bind_is_not_lost(cluster: Cluster) -> None:
    """The pod's deadline changes while its Binding is under way and then refused: the next decision knows it."""
    rule = {"method": "POST", "path": "/updated/binding"}
    cluster.sandbox.set_faults({"action": "refuse", "status": 500, **rule, "after_seconds": 2, "times": 1})
    cluster.apply(cluster.pod("updated", {"cloudai.dev/finish-within": "1h"}))
    cluster.wait(lambda: hits(cluster) == 1, 10)
    cluster.plane.kubectl("annotate", "pod", "updated", "cloudai.dev/finish-within=1ms", "--overwrite")
    cluster.wait(lambda: cluster.get("pod", "updated")["status"]["phase"] == "Succeeded", 20)
    notes = cluster.get("pod", "updated")["metadata"]["annotations"]
    decided = json.loads(notes["cloudai.dev/decision"])
    assert timestamp.parse(decided["deadline"]) - timestamp.parse(decided["arrival"]) == pytest.approx(0.001, abs=1e-4)


def test_a_lease_that_cannot_be_renewed(cluster: Cluster) -> None:
    """The scheduler ends at once with code 1, and its successor goes on."""
    child = cluster.sandbox.process(SCHEDULER)
    cluster.sandbox.set_faults({"action": "refuse", "status": 503, "path": f"/leases/{SCHEDULER}"})
    cluster.wait(lambda: not child.alive(), 15)
    assert child.process.returncode == 1
    cluster.sandbox.set_faults()
    cluster.sandbox.revive()
    cluster.apply(cluster.task("after-the-lease"))
    cluster.complete("after-the-lease")
