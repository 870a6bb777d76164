"""Label selectors as values."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_kube.objects import LabelSelector, PodAffinityTerm
from cloudai_scheduler.cluster.selector import (
    FEW_TESTS,
    MOST_REQUIREMENTS,
    MOST_TERMS,
    LabelTest,
    Matcher,
    affordable,
    matcher,
    term,
)


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        (None, {}, False),
        ({}, {}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchExpressions": [{"key": "a", "operator": "OfTheNextRelease"}]}, {"a": ""}, False),
    ],
)
def test_what_a_selector_selects(selector: dict[str, Any] | None, labels: dict[str, str], matches: bool) -> None:
    """One that is not there selects nothing, an empty one everything."""
    read = None if selector is None else msgspec.convert(selector, LabelSelector)
    assert matcher(read).matches(labels) is matches


requirements = st.builds(
    LabelTest,
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "OfTheNextRelease"]),
    st.frozensets(st.sampled_from(["1", "2"]), max_size=2),
)


@given(
    st.lists(requirements, min_size=FEW_TESTS + 1, max_size=FEW_TESTS + 6),
    st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(["1", "2"])),
)
def test_many_requirements_mean_what_each_of_them_means(tests: list[LabelTest], labels: dict[str, str]) -> None:
    """They are ordered by key, so that thousands cost as much as there are labels."""
    assert Matcher(tuple(tests)).matches(labels) is all(test.holds(labels) for test in tests)


def test_what_may_count_of_terms() -> None:
    """So many terms, and so much in them: the first ones."""
    assert len(affordable([1] * 100, lambda size: size)) == MOST_TERMS
    assert affordable([MOST_REQUIREMENTS, 1], lambda size: size) == [MOST_REQUIREMENTS]
    assert affordable([MOST_REQUIREMENTS + 1], lambda size: size) == []


def test_further_labels_narrow_a_selector() -> None:
    """Keys whose values are taken from the pod."""
    narrowed = matcher(LabelSelector(matchLabels={"a": "1"}), {"hash": "x"})
    assert narrowed.matches({"a": "1", "hash": "x"})
    assert not narrowed.matches({"a": "1", "hash": "y"})


@pytest.mark.parametrize(
    ("wish", "namespace", "labels", "covers"),
    [
        ({}, "own", {}, True),
        ({}, "other", {}, False),
        ({"namespaces": ["other"]}, "own", {}, False),
        ({"namespaces": ["other"]}, "other", {}, True),
        ({"namespaceSelector": {}}, "any", {}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "x"}}}, "any", {"team": "x"}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "x"}}}, "own", {}, False),
        ({"namespaces": ["a"], "namespaceSelector": {"matchLabels": {"team": "x"}}}, "a", {}, True),
    ],
)
def test_which_namespaces_a_term_means(
    wish: dict[str, Any], namespace: str, labels: dict[str, str], covers: bool
) -> None:
    """Its own where it names none."""
    read = term(msgspec.convert(wish, PodAffinityTerm), "own")
    assert read.scope.covers(namespace, labels) is covers


def test_equal_terms_are_equal_values() -> None:
    """They are kept and counted once."""
    wish = PodAffinityTerm(topologyKey="zone", labelSelector=LabelSelector(matchLabels={"a": "1"}))
    assert term(wish, "ns") == term(wish, "ns")
    assert len({term(wish, "ns"), term(wish, "ns"), term(wish, "other")}) == 2
