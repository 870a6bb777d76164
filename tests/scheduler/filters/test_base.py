"""A filter is one module and one line: one is added here, and everything that looks at filters knows it."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from tests.api_server import until
from tests.scheduler.live import NODES, PODS, a_node, a_pod, cluster

from cloudai_kube.demand import Demand
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler import filters, podclass
from cloudai_scheduler.cluster import selector
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters.base import Filter, View

IS_WALL = selector.Matcher((selector.LabelTest("wall", "Exists", frozenset()),))
WALLS = selector.Selection((selector.Scope(frozenset({"ns"}), selector.NOTHING, IS_WALL),))


class Alphabet(Filter[str]):
    """A pod with a letter goes only to nodes that are named after it, and not while a wall is there."""

    name = "Alphabet"
    reason = "node(s) had another letter"

    def asks(self, pod: Pod, demand: Demand) -> str | None:  # noqa: ARG002  one signature for all
        """The letter: of a field that pods of a class share."""
        return pod.spec.nodeSelector.get("letter") if pod.spec.nodeSelector else None

    def passing(self, ask: str, view: View) -> BoolArray:
        """Nodes of that letter without a wall."""
        names = view.state.fleet.names
        walls = view.state.neighbours.counts(WALLS, len(names))
        lettered: BoolArray = np.array([name.startswith(ask) for name in names], np.bool_)
        lettered &= walls == 0
        return lettered

    def reasons(self, ask: str, view: View, excluded: BoolArray) -> Counter[str]:
        """A wall is told apart."""
        names = [name for name, out in zip(view.state.fleet.names, excluded, strict=True) if out]
        return Counter("node(s) had a wall" if name.startswith(ask) else self.reason for name in names)

    def mark(self, ask: str, state: ClusterState) -> tuple[int, ...]:  # noqa: ARG002  one signature for all
        """Walls come and go."""
        return state.neighbours.mark((WALLS,))


@pytest.fixture
def _alphabet(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line."""
    monkeypatch.setattr(podclass, "FILTERS", (*filters.FILTERS, Alphabet()))


@pytest.mark.usefixtures("_alphabet")
async def test_an_added_filter_decides_explains_and_wakes() -> None:
    """Its reasons are in the message; a pod that it kept out is woken by its mark; evictions may help against it."""

    def lettered(name: str, letter: str, **spec: Any) -> dict[str, Any]:
        return a_pod(name, spec={"nodeSelector": {"letter": letter}, **spec})

    async with cluster() as here:
        for name in ("a1", "b1"):
            here.server.put(NODES, a_node(name, labels={"letter": name[0]}))
        here.server.put(
            PODS, a_pod("wall", metadata={"labels": {"wall": "yes"}}, spec={"nodeSelector": {"letter": "b"}})
        )
        await here.bound("wall")
        here.server.put(PODS, lettered("first", "a"))
        await here.bound("first")
        assert here.node_of("first") == "a1"
        here.server.put(PODS, lettered("second", "b"))
        await until(lambda: bool(here.condition("second")))
        assert "1 node(s) had a wall" in here.condition("second")["message"]
        here.server.put(PODS, lettered("urgent", "b", priority=9))
        await here.bound("urgent", "second")
        assert "ns/wall" not in here.server.objects[PODS]
