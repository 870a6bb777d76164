"""Terms of pods on nodes that are about other pods, found by the namespaces that they may mean.

A tenant's terms cost the pods of other namespaces nothing, unless they select namespaces by label.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from cloudai_scheduler.cluster.selector import Labels, Term

_ANYWHERE: Final = ""
"""Where terms stand that select namespaces by label."""


class Aimed(Protocol):
    """A term, or a term with what it weighs; hashable."""

    @property
    def term(self) -> Term:
        """The pods that it is about."""


A = TypeVar("A", bound=Aimed)


@dataclass(slots=True)
class AimedTerms(Generic[A]):
    """How many pods on each slot have a term."""

    _slots: dict[A, Counter[int]] = field(default_factory=dict)
    _by_namespace: dict[str, dict[A, None]] = field(default_factory=dict)

    def occupy(self, aimed: A, slot: int, sign: int) -> None:
        """Count a term of a pod on a node (`sign=-1`: take it back)."""
        slots = self._slots.setdefault(aimed, Counter())
        slots[slot] += sign
        if slots[slot] <= 0:
            del slots[slot]
        if not slots:
            del self._slots[aimed]
        scope = aimed.term.scope
        for place in scope.namespaces if scope.of_namespaces.tests is None else (_ANYWHERE,):
            terms = self._by_namespace.setdefault(place, {})
            if aimed in self._slots:
                terms[aimed] = None
            else:
                terms.pop(aimed, None)
            if not terms:
                del self._by_namespace[place]

    def about(self, namespace: str, namespace_labels: Labels, labels: Labels) -> Iterator[tuple[A, Counter[int]]]:
        """Terms that mean a pod with these labels in this namespace, and where the pods are that have them."""
        near, anywhere = (self._by_namespace.get(name, {}) for name in (namespace, _ANYWHERE))
        for aimed in (*near, *anywhere):
            scope = aimed.term.scope
            if scope.covers(namespace, namespace_labels) and scope.of_pods.matches(labels):
                yield aimed, self._slots[aimed]
