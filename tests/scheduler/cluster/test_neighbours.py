"""Pods as other pods see them: counts that are kept equal counts that are made anew."""

from hypothesis import given
from hypothesis import strategies as st

from cloudai_kube.objects import Affinity, LabelSelector, Meta, Pod, PodAffinity, PodAffinityTerm, PodSpec
from cloudai_scheduler.cluster.neighbours import KEPT_SELECTIONS, Neighbour, Neighbours
from cloudai_scheduler.cluster.selector import (
    MOST_REQUIREMENTS,
    MOST_TERMS,
    NOTHING,
    Scope,
    Selection,
    matcher,
)

SLOTS = 4


def selection(app: str, namespaces: tuple[str, ...] = ("a",), **options: bool) -> Selection:
    """Pods with this label in these namespaces."""
    scope = Scope(frozenset(namespaces), NOTHING, matcher(LabelSelector(matchLabels={"app": app})))
    return Selection((scope,), **options)


def in_team(team: str) -> Selection:
    """All pods of the namespaces of a team."""
    return Selection(
        (Scope(frozenset(), matcher(LabelSelector(matchLabels={"team": team})), matcher(LabelSelector())),)
    )


SELECTIONS = (
    selection("x"),
    selection("y", ("a", "b")),
    selection("x", without_terminating=True),
    in_team("t"),
    Selection((selection("x").scopes[0], in_team("t").scopes[0])),
)
pods = st.builds(
    Neighbour,
    st.sampled_from(["a", "b"]),
    st.sampled_from([(), (("app", "x"),), (("app", "y"), ("z", "1"))]),
    st.booleans(),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("occupy"), st.integers(0, SLOTS - 1), pods),
        st.tuples(st.just("leave"), st.integers(0, 10), st.none()),
        st.tuples(st.just("label"), st.sampled_from(["a", "b"]), st.sampled_from([None, {"team": "t"}, {}])),
        st.tuples(st.just("ask"), st.integers(0, len(SELECTIONS) - 1), st.none()),
    ),
    max_size=30,
)


@given(steps)
def test_kept_counts_are_those_of_a_new_count(done: list[tuple[str, object, object]]) -> None:
    """After any comings and goings, also of labels of namespaces."""
    kept, there, labels = Neighbours(), list[tuple[int, Neighbour]](), dict[str, dict[str, str]]()
    for step, subject, value in done:
        if step == "occupy" and isinstance(subject, int) and isinstance(value, Neighbour):
            kept.occupy(subject, value)
            there.append((subject, value))
        elif step == "leave" and isinstance(subject, int) and there:
            slot, pod = there.pop(subject % len(there))
            kept.occupy(slot, pod, -1)
        elif step == "label" and isinstance(subject, str):
            given_labels = value if isinstance(value, dict) else None
            kept.put_namespace(subject, given_labels)
            labels.pop(subject, None)
            if given_labels is not None:
                labels[subject] = given_labels
        elif step == "ask" and isinstance(subject, int):
            kept.counts(SELECTIONS[subject], SLOTS)
    anew = Neighbours()
    for name, values in labels.items():
        anew.put_namespace(name, values)
    for slot, pod in there:
        anew.occupy(slot, pod)
    for one in SELECTIONS:
        assert kept.counts(one, SLOTS).tolist() == anew.counts(one, SLOTS).tolist()


def rejecting(count: int = 1) -> Pod:
    """A pod that wants no pod of app x near."""
    wish = PodAffinityTerm(topologyKey="zone", labelSelector=LabelSelector(matchLabels={"app": "x"}))
    required = PodAffinity(requiredDuringSchedulingIgnoredDuringExecution=[wish] * count)
    return Pod(metadata=Meta(namespace="a"), spec=PodSpec(affinity=Affinity(podAntiAffinity=required)))


def test_pods_that_reject_others() -> None:
    """Those of their own namespace that they select, until they are gone."""
    neighbours, one = Neighbours(), Neighbour.of(rejecting())
    neighbours.occupy(2, one)
    assert [(key, dict(slots)) for key, slots in neighbours.rejecting("a", {"app": "x"})] == [("zone", {2: 1})]
    assert neighbours.rejecting("a", {"app": "y"}) == []
    assert neighbours.rejecting("b", {"app": "x"}) == []
    neighbours.occupy(2, one, -1)
    assert neighbours.rejecting("a", {"app": "x"}) == []


def test_a_mark_changes_only_with_what_concerns_it() -> None:
    """So that a waiting pod is not woken by strangers."""
    neighbours = Neighbours()
    wanted = (selection("x"),)
    before = neighbours.mark(wanted)
    neighbours.occupy(0, Neighbour("a", (("app", "y"),)))
    assert neighbours.mark(wanted) == before
    neighbours.occupy(0, Neighbour("a", (("app", "x"),)))
    assert neighbours.mark(wanted) != before


def test_what_is_kept_is_bounded() -> None:
    """A pod may name thousands of terms, and each pod others."""
    assert len(Neighbour.of(rejecting(10 * MOST_TERMS)).rejects) == MOST_TERMS
    neighbours = Neighbours()
    for number in range(2 * KEPT_SELECTIONS):
        neighbours.counts(selection(str(number)), 1)
    assert len(neighbours._kept) == KEPT_SELECTIONS  # noqa: SLF001  that is what is tested


def test_of_a_pod_that_names_too_much_the_first_terms_count() -> None:
    """Somebody else has placed it; we would not."""
    large = PodAffinityTerm(topologyKey="zone", namespaces=[f"n{number}" for number in range(MOST_REQUIREMENTS + 1)])
    small = PodAffinityTerm(topologyKey="zone", labelSelector=LabelSelector(matchLabels={"app": "x"}))
    for wishes, count in (([small, large], 1), ([large, small], 0)):
        required = PodAffinity(requiredDuringSchedulingIgnoredDuringExecution=wishes)
        pod = Pod(metadata=Meta(namespace="a"), spec=PodSpec(affinity=Affinity(podAntiAffinity=required)))
        assert len(Neighbour.of(pod).rejects) == count


def test_strangers_terms_are_not_even_read() -> None:
    """Thousands of terms of one namespace cost pods of another nothing."""
    neighbours = Neighbours()
    for number in range(1000):
        wish = PodAffinityTerm(topologyKey=str(number), labelSelector=LabelSelector())
        required = PodAffinity(requiredDuringSchedulingIgnoredDuringExecution=[wish])
        pod = Pod(metadata=Meta(namespace="mallory"), spec=PodSpec(affinity=Affinity(podAntiAffinity=required)))
        neighbours.occupy(0, Neighbour.of(pod))
    assert len(neighbours.rejecting("mallory", {})) == 1000
    assert neighbours._rejecting._by_namespace.keys() == {"mallory"}  # noqa: SLF001  where others do not look
    assert neighbours.rejecting("alice", {}) == []
