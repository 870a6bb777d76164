"""Profiles: what one scheduler name adds to its pods, and what it leaves out."""

from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from tests.scheduler.conftest import Make
from tests.scheduler.live import NODES, PODS, a_node, a_pod, cluster

from cloudai_kube.errors import ConfigurationError
from cloudai_kube.settings import load
from cloudai_scheduler import preferences
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.podclass import ClassTable
from cloudai_scheduler.profile import STOCK, Profile, Score
from cloudai_scheduler.settings import Settings

ON_SSD = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
ADDED = {
    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [ON_SSD]},
    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "preference": ON_SSD}],
}
NAME = "cloudai-scheduler"


def test_every_score_can_be_weighted() -> None:
    """The names that weights go by are those of all preferences."""
    by_requests = {"NodeResourcesFit", "NodeResourcesBalancedAllocation"}
    assert {one.name for one in preferences.WISHES} | by_requests == set(get_args(Score))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({NAME: {"added_affinity": {"required": {}}}}, "unknown field required"),
        (
            {NAME: {"added_affinity": {**ADDED, "preferredDuringSchedulingIgnoredDuringExecution": [{"w": 1}]}}},
            "added_affinity: Object missing",
        ),
        ({NAME: {"weights": {"Luck": 1}}}, "Luck"),
        ({NAME: {"weights": {"ImageLocality": 101}}}, "100"),
        ({NAME: {"ignored_resources": ["cpu"]}}, "ignored_resources.0.: Expected"),
        ({NAME: {"surprise": 1}}, "surprise"),
        ({"other": {}}, "no scheduler name that is served"),
    ],
)
def test_profiles_that_cannot_be_read_are_refused(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    """At start, with what is wrong: a misspelt field would be ignored in silence."""
    file = tmp_path / "s.json"
    file.write_bytes(msgspec.json.encode({"profiles": content}))
    with pytest.raises(ConfigurationError, match=message):
        load(Settings, "s", str(file), {}, {}, {})


def test_an_added_affinity_keeps_pods_away_and_draws_them(make: Make) -> None:
    """Beside their own; the stock profile's pods are judged as ever."""
    state = ClusterState()
    for name, disk in (("a", "hdd"), ("b", "ssd")):
        state.put_node(make.node(name, labels={"disk": disk}))
    table, pod = ClassTable({NAME: Profile(added_affinity=ADDED)}), make.pod(spec={"schedulerName": NAME})
    profiled, stock = table.of(pod), ClassTable().of(pod)
    for one in (profiled, stock):
        one.refresh(state)
    slots = [state.nodes[name].slot for name in ("a", "b")]
    assert profiled.reasons[slots[0]] == "node(s) didn't match scheduler-enforced node affinity"
    assert [bool(one) for one in profiled.allowed[slots]] == [False, True]
    assert list(profiled.verdicts.liked[slots]) == [0.0, 7.0]
    assert list(profiled.verdicts.affine[slots]) == [True, True]
    assert np.all(stock.allowed[slots])
    asked = [{one.name for one, _, _ in preferences.wishes_of(pod, who).asks} for who in (STOCK, table.profiles[NAME])]
    assert asked[1] - asked[0] == {"NodeAffinity"}


def test_ignored_resources_need_no_room_and_are_held(make: Make) -> None:
    """By name and by group; others' are needed as ever."""
    requests = {"cpu": "1", "a.example/x": "3", "b.example/y": "2", "c.example/z": "1"}
    spec = {"schedulerName": NAME, "containers": [{"name": "c", "resources": {"requests": requests}}]}
    profile = Profile(ignored_resources=("a.example/x",), ignored_resource_groups=("b.example",))
    found = ClassTable({NAME: profile}).of(make.pod(spec=spec))
    assert found.amounts == {"cpu": 1000, "c.example/z": 1, "pods": 1}
    assert found.held == {**found.amounts, "a.example/x": 3, "b.example/y": 2}
    assert STOCK.seen(make.pod(spec=spec)).spec.containers[0].resources.requests == requests


def test_weights_switch_scores_off(make: Make) -> None:
    """0 is off; what is not named keeps upstream's weight."""
    pod = make.pod()
    assert preferences.wishes_of(pod).fit == 1
    found = preferences.wishes_of(pod, Profile(weights={"NodeResourcesFit": 0, "TaintToleration": 0}))
    assert (found.fit, found.balance) == (0, 1)
    assert "TaintToleration" not in {one.name for one, _, _ in found.asks}


async def test_pods_are_placed_by_their_names_profile() -> None:
    """Two names in one process."""
    profiles = {"careful": Profile(added_affinity=ADDED)}
    async with cluster(names=frozenset({NAME, "careful"}), profiles=profiles) as here:
        here.server.put(NODES, a_node("a"))
        here.server.put(PODS, a_pod("stock"))
        await here.bound("stock")
        here.server.put(PODS, a_pod("kept", spec={"schedulerName": "careful"}))
        here.server.put(NODES, a_node("b", labels={"disk": "ssd"}))
        await here.bound("kept")
        assert (here.node_of("stock"), here.node_of("kept")) == ("a", "b")
