"""Which nodes a selector over their labels selects, for all nodes at once.

A requirement is looked at once for each value that the label has anywhere, never once for each node.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

from cloudai_kube.objects import LabelSelector, NodeSelector, Requirement
from cloudai_rts.arrays import BoolArray

if TYPE_CHECKING:
    from cloudai_scheduler.cluster.state import ClusterState

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,63}")
"""As Go's ParseInt reads an int64: no underscores, no spaces. A label's value has at most 63 characters."""
_INT64: Final = range(-(1 << 63), 1 << 63)


def holds(requirement: Requirement, value: str | None) -> bool:
    """Whether a label with this value (None: it is not there) satisfies a requirement of a node selector."""
    operator = requirement.operator
    if operator == "In":
        return value in requirement.values
    if operator == "NotIn":
        return value not in requirement.values
    if operator in {"Exists", "DoesNotExist"}:
        return (value is None) == (operator == "DoesNotExist")
    return operator in {"Gt", "Lt"} and _compares(requirement, value)


def _compares(requirement: Requirement, value: str | None) -> bool:
    """Gt and Lt compare integers; anything else matches nothing (upstream logs it and goes on)."""
    if value is None or len(requirement.values) != 1:
        return False
    if not (_INTEGER.fullmatch(value) and _INTEGER.fullmatch(requirement.values[0])):
        return False
    actual, bound = int(value), int(requirement.values[0])
    if actual not in _INT64 or bound not in _INT64:
        return False
    return actual > bound if requirement.operator == "Gt" else actual < bound


def with_value(state: "ClusterState", key: str, values: Iterable[str]) -> BoolArray:
    """Slots of nodes whose label has one of the values."""
    domain = state.domain_of(key)
    numbers = [number for number in map(state.domains.numbers(key).get, values) if number is not None]
    if len(numbers) == 1:
        return np.asarray(domain == numbers[0])
    return np.isin(domain, numbers)


def satisfying(state: "ClusterState", requirement: Requirement) -> BoolArray:
    """Slots of nodes whose labels satisfy one requirement."""
    if requirement.operator == "In":
        return with_value(state, requirement.key, requirement.values)
    domain = state.domain_of(requirement.key)
    numbers = state.domains.numbers(requirement.key)
    verdicts: BoolArray = np.zeros(len(numbers) + 1, np.bool_)  # the last one is of nodes without the label
    for value, number in numbers.items():
        verdicts[number] = holds(requirement, value)
    verdicts[-1] = holds(requirement, None)
    return verdicts[domain] & state.fleet.present


def of_labels(state: "ClusterState", selector: LabelSelector) -> BoolArray:
    """Slots of nodes that a label selector selects; an empty one selects all."""
    mask = state.fleet.present.copy()
    for key, value in selector.matchLabels.items():
        mask &= with_value(state, key, (value,))
    for requirement in selector.matchExpressions:
        mask &= satisfying(state, requirement)
    return mask


def of_terms(state: "ClusterState", selector: NodeSelector) -> BoolArray:
    """Slots of nodes that one of the terms of a volume's node affinity selects.

    Upstream compares fields with a node that has labels only, so `metadata.name` is "" here (component-helpers
    `storage/volume` `CheckNodeAffinity`).
    """
    mask: BoolArray = np.zeros(len(state.fleet), np.bool_)
    for term in selector.nodeSelectorTerms:
        if not (term.matchExpressions or term.matchFields):
            continue
        if not all(holds(requirement, "") for requirement in term.matchFields):
            continue
        matching = state.fleet.present.copy()
        for requirement in term.matchExpressions:
            matching &= satisfying(state, requirement)
        mask |= matching
    return mask
