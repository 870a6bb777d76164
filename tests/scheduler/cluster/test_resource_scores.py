"""Kept scores are those that would be worked out afresh, whatever came and went meanwhile."""

from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloudai_kube.objects import Node, Pod
from cloudai_scheduler.cluster import resource_scores
from cloudai_scheduler.cluster.journal import Journal
from cloudai_scheduler.cluster.resource_scores import KEPT, ResourceScores
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.cluster.trial import Trial

ASKED, USUAL = (500, 1 << 30), (600, 1 << 30)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("node"), st.integers(0, 5), st.integers(0, 9)),
        st.tuples(st.just("gone"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("pod"), st.integers(0, 9), st.integers(0, 5)),
        st.tuples(st.just("ended"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("look"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


def a_node(number: int, cores: int) -> Node:
    """A node with so many cores."""
    room = {"cpu": str(cores), "memory": f"{4 * cores}Gi", "pods": "9"}
    return msgspec.convert({"metadata": {"name": f"n{number}"}, "status": {"allocatable": room}}, Node)


def a_pod(number: int, node: int) -> Pod:
    """A pod on a node; every third asks for nothing."""
    requests: dict[str, Any] = {} if number % 3 == 0 else {"cpu": f"{number}00m", "memory": f"{number}00Mi"}
    spec = {"nodeName": f"n{node}", "containers": [{"resources": {"requests": requests}}]}
    return msgspec.convert(
        {"metadata": {"name": f"p{number}", "namespace": "ns", "uid": f"p{number}"}, "spec": spec}, Pod
    )


def kept(state: ClusterState, asked: tuple[int, int] = ASKED) -> list[list[int]]:
    """The kept scores, by slot."""
    found = state.resource_scores.of(state.fleet, state.usage, state.amount_changes, asked, USUAL)
    return [scores.tolist() for scores in found]


def fresh(state: ClusterState) -> list[list[int]]:
    """What would be worked out now."""
    return [scores.tolist() for scores in ResourceScores().of(state.fleet, state.usage, Journal(), ASKED, USUAL)]


@given(EVENTS)
def test_nothing_is_missed(events: list[tuple[str, int, int]]) -> None:
    """Nodes and pods that come, change and go, in any order, with a look now and then."""
    state = ClusterState()
    for kind, number, other in events:
        if kind == "node":
            state.put_node(a_node(number, other))
        elif kind == "gone":
            state.remove_node(f"n{number}")
        elif kind == "pod" and f"p{number}" not in state.pods:
            state.put_pod(a_pod(number, other))
        elif kind == "ended":
            state.remove_pod(f"p{number}")
        else:
            kept(state)
        assert kind != "look" or kept(state) == fresh(state)
    assert kept(state) == fresh(state)


def test_what_was_tried_leaves_nothing_behind() -> None:
    """Scores that were asked for during a trial are those after it too."""
    state = ClusterState()
    for number in range(4):
        state.put_node(a_node(number, 8))
    state.put_pod(a_pod(4, 1))
    before = kept(state)
    with Trial(state) as trial:
        trial.evict(1, state.pods["p4"])
        assert kept(state) == fresh(state) != before
    assert kept(state) == before


def test_kinds_of_requests_are_bounded() -> None:
    """Pods may ask for anything."""
    state = ClusterState()
    state.put_node(a_node(0, 8))
    for number in range(2 * KEPT):
        kept(state, (number, 1))
    assert len(state.resource_scores._kept) == KEPT  # noqa: SLF001  that is what is tested


@given(
    st.lists(st.tuples(st.integers(0, 1 << 56), st.integers(1, 1 << 56)), min_size=1, max_size=20)
    | st.lists(st.tuples(st.integers(0, 1 << 46), st.integers(1, 1 << 46)), min_size=1, max_size=20)
)
def test_per_cent_is_exact(pairs: list[tuple[int, int]]) -> None:
    """As Go divides integers, however large they are."""
    part, whole = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    assert list(resource_scores.per_cent(part, whole)) == [100 * one // other for one, other in pairs]
