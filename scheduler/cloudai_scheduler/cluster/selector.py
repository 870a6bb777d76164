"""Label selectors over pods as values that can be compared and kept: who is meant by affinity terms and constraints.

Upstream: apimachinery `LabelSelectorAsSelector` (a selector that is not there selects nothing, an empty one everything)
and kube-scheduler `framework.AffinityTerm`. Hostile input: a selector is only ever compared, never trusted to be small.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cloudai_kube.objects import LabelSelector, PodAffinityTerm, Requirement

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Test:
    """One requirement on labels."""

    key: str
    operator: str
    values: frozenset[str]

    def holds(self, labels: Labels) -> bool:
        """Whether labels satisfy it; an unknown operator is satisfied by none."""
        value = labels.get(self.key)
        if self.operator == "In":
            return value in self.values
        if self.operator == "NotIn":
            return value not in self.values
        if self.operator == "Exists":
            return value is not None
        return self.operator == "DoesNotExist" and value is None


@dataclass(frozen=True, slots=True)
class Matcher:
    """A label selector. `tests` None: it selects nothing; none at all: everything."""

    tests: tuple[Test, ...] | None

    def matches(self, labels: Labels) -> bool:
        """Whether an object with these labels is selected."""
        return self.tests is not None and all(test.holds(labels) for test in self.tests)


NOTHING: Final = Matcher(None)


def matcher(selector: LabelSelector | None, more: Labels | None = None) -> Matcher:
    """The selector as a value, narrowed by further labels that must be equal."""
    if selector is None:
        return NOTHING
    equal = [Test(key, "In", frozenset((value,))) for key, value in {**selector.matchLabels, **(more or {})}.items()]
    return Matcher((*equal, *(_test(requirement) for requirement in selector.matchExpressions)))


def _test(requirement: Requirement) -> Test:
    return Test(requirement.key, requirement.operator, frozenset(requirement.values))


@dataclass(frozen=True, slots=True)
class Scope:
    """Pods of these namespaces, or of those that a selector over namespaces' labels selects, with these labels."""

    namespaces: frozenset[str]
    of_namespaces: Matcher
    of_pods: Matcher

    def covers(self, namespace: str, namespace_labels: Labels) -> bool:
        """Whether pods of a namespace may be meant."""
        return namespace in self.namespaces or self.of_namespaces.matches(namespace_labels)


@dataclass(frozen=True, slots=True)
class Term:
    """One required affinity or anti-affinity term: pods in a scope, and the node label that makes a domain."""

    scope: Scope
    topology_key: str

    @property
    def term(self) -> "Term":
        """Itself."""
        return self


@dataclass(frozen=True, slots=True)
class Weighted:
    """A term that attracts pods into its domain by its weight, or keeps them away by a negative one."""

    term: Term
    weight: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Pods that are in every one of these scopes; `without_terminating`: those that are being deleted do not count."""

    scopes: tuple[Scope, ...]
    without_terminating: bool = False

    @property
    def reads_namespaces(self) -> bool:
        """Whether labels of namespaces matter."""
        return any(scope.of_namespaces.tests is not None for scope in self.scopes)

    def namespaces(self) -> frozenset[str] | None:
        """The only namespaces whose pods can be meant; None where labels decide in every scope."""
        named = [scope.namespaces for scope in self.scopes if scope.of_namespaces.tests is None]
        return frozenset.intersection(*named) if named else None


def term(wish: PodAffinityTerm, namespace: str) -> Term:
    """A term of a pod in this namespace. Without namespaces and a selector for them its own is meant."""
    names = frozenset(wish.namespaces)
    if not names and wish.namespaceSelector is None:
        names = frozenset((namespace,))
    return Term(Scope(names, matcher(wish.namespaceSelector), matcher(wish.labelSelector)), wish.topologyKey)
