"""Label selectors over pods as values that can be compared and kept: who is meant by affinity terms and constraints.

Upstream: apimachinery `LabelSelectorAsSelector` (a selector that is not there selects nothing, an empty one everything)
and kube-scheduler `framework.AffinityTerm`. Hostile input: the API server has no limit but the size of an object, and
what one pod asks of others is read for every pod that comes or goes. So there is a limit to what counts of it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cloudai_kube.objects import LabelSelector, PodAffinityTerm, Requirement, WeightedPodAffinityTerm

Labels = Mapping[str, str]
MOST_TERMS: Final = 64
"""Terms of one kind of one pod. We place no pod that requires more (`unsupported.hard`), and of one that somebody else
placed the first ones count.
"""
MOST_REQUIREMENTS: Final = 1024
"""Requirements on labels, values and namespaces in the terms of one kind of one pod, likewise."""
_Wish = TypeVar("_Wish")


@dataclass(frozen=True, slots=True)
class LabelTest:
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

    tests: tuple[LabelTest, ...] | None
    _by_key: "_ByKey | None" = field(init=False, compare=False, repr=False, default=None)
    _hash: int = field(init=False, compare=False, repr=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(self.tests))  # it is asked for at each look into a table
        if self.tests is not None and len(self.tests) > FEW_TESTS:
            object.__setattr__(self, "_by_key", _ByKey.of(self.tests))

    def __hash__(self) -> int:
        """That of the tests, worked out once."""
        return self._hash

    def matches(self, labels: Labels) -> bool:
        """Whether an object with these labels is selected."""
        if self.tests is None:
            return False
        if self._by_key is not None:
            return self._by_key.matches(labels)
        return all(test.holds(labels) for test in self.tests)


FEW_TESTS: Final = 8
"""So many are tried one by one."""


@dataclass(frozen=True, slots=True)
class _ByKey:
    """The same as many tests, for labels that are few: it takes as long as there are labels, not tests.

    `needed` keys must be there, with one of `allowed`; `barred` ones must not have these values, None: not be there.
    """

    needed: frozenset[str]
    allowed: Mapping[str, frozenset[str]]
    barred: Mapping[str, frozenset[str] | None]
    is_impossible: bool

    @classmethod
    def of(cls, tests: Iterable[LabelTest]) -> "_ByKey":
        needed: set[str] = set()
        allowed: dict[str, frozenset[str]] = {}
        barred: dict[str, frozenset[str] | None] = {}
        is_impossible = False
        for test in tests:
            if test.operator == "In":
                needed.add(test.key)
                allowed[test.key] = allowed.get(test.key, test.values) & test.values
            elif test.operator == "Exists":
                needed.add(test.key)
            elif test.operator == "NotIn":
                known = barred.get(test.key, frozenset())
                barred[test.key] = None if known is None else known | test.values
            elif test.operator == "DoesNotExist":
                barred[test.key] = None
            else:
                is_impossible = True
        return cls(frozenset(needed), allowed, barred, is_impossible)

    def matches(self, labels: Labels) -> bool:
        """Whether all tests hold."""
        if self.is_impossible or len(self.needed) > len(labels) or not self.needed <= labels.keys():
            return False
        if any(labels[key] not in values for key, values in self.allowed.items()):
            return False
        few, many = (labels, self.barred) if len(labels) < len(self.barred) else (self.barred, labels)
        return not any(key in many and self._bars(key, labels[key]) for key in few)

    def _bars(self, key: str, value: str) -> bool:
        values = self.barred[key]
        return values is None or value in values


def affordable(wishes: Sequence[_Wish], size: Callable[[_Wish], int]) -> Sequence[_Wish]:
    """The first ones, as many as may count."""
    kept = wishes[:MOST_TERMS]
    total = 0
    for place, wish in enumerate(kept):
        total += size(wish)
        if total > MOST_REQUIREMENTS:
            return kept[:place]
    return kept


def size_of_term(wish: PodAffinityTerm) -> int:
    """What a term asks: requirements, values and namespaces."""
    return len(wish.namespaces) + size_of_selector(wish.labelSelector) + size_of_selector(wish.namespaceSelector)


def size_of_wish(wish: WeightedPodAffinityTerm) -> int:
    """What a preferred term asks."""
    return size_of_term(wish.podAffinityTerm)


def size_of_selector(selector: LabelSelector | None) -> int:
    """Requirements and their values."""
    if selector is None:
        return 0
    return 2 * len(selector.matchLabels) + sum(1 + len(wanted.values) for wanted in selector.matchExpressions)


NOTHING: Final = Matcher(None)


def matcher(selector: LabelSelector | None, more: Labels | None = None) -> Matcher:
    """The selector as a value, narrowed by further labels that must be equal."""
    if selector is None:
        return NOTHING
    equal = [
        LabelTest(key, "In", frozenset((value,))) for key, value in {**selector.matchLabels, **(more or {})}.items()
    ]
    return Matcher((*equal, *(_test(requirement) for requirement in selector.matchExpressions)))


def _test(requirement: Requirement) -> LabelTest:
    return LabelTest(requirement.key, requirement.operator, frozenset(requirement.values))


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
