"""NodeAffinity: nodeSelector and required node affinity, both of which must hold."""

from typing import Final

from cloudai_kube.objects import NodeAffinity, NodeSelector, NodeSelectorTerm, Pod
from cloudai_scheduler.cluster.node_selection import holds
from cloudai_scheduler.cluster.state import NodeInfo

ADDED_REASON: Final = "node(s) didn't match scheduler-enforced node affinity"
REASON: Final = "node(s) didn't match Pod's node affinity/selector"
CONFLICT_REASON: Final = "pod affinity terms conflict"
NARROWED_REASON: Final = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
_NAME_FIELD: Final = "metadata.name"


def narrowed_by_name(pod: Pod, node: NodeInfo) -> str | None:
    """Reject nodes outside the names to which *every* term narrows the pod (upstream's PreFilter)."""
    names = named_nodes(pod)
    if names is None or node.name in names:
        return None
    return NARROWED_REASON if names else CONFLICT_REASON


def named_nodes(pod: Pod) -> set[str] | None:
    """Node names that the terms allow by `matchFields metadata.name In`; None if some term leaves the name open."""
    selector = _required(pod)
    if selector is None:
        return None
    names: set[str] = set()
    for term in selector.nodeSelectorTerms:
        lists = [set(field.values) for field in term.matchFields if field.key == _NAME_FIELD and field.operator == "In"]
        if not lists:
            return None
        names |= set.intersection(*lists)
    return names


def check(pod: Pod, node: NodeInfo) -> str | None:
    """Reject nodes that do not match: terms are ORed, requirements in a term ANDed, an empty term matches nothing."""
    if any(node.labels.get(key) != value for key, value in pod.spec.nodeSelector.items()):
        return REASON
    selector = _required(pod)
    if selector is None or any(matches(term, node) for term in selector.nodeSelectorTerms):
        return None
    return REASON


def check_added(added: NodeSelector, node: NodeInfo) -> str | None:
    """Reject nodes that a profile keeps its pods away from, whatever they say themselves."""
    return None if any(matches(term, node) for term in added.nodeSelectorTerms) else ADDED_REASON


def matches(term: NodeSelectorTerm, node: NodeInfo) -> bool:
    """Whether one term holds on the node."""
    for requirement in term.matchExpressions:
        if not holds(requirement, node.labels.get(requirement.key)):
            return False
    for requirement in term.matchFields:
        if not holds(requirement, node.name if requirement.key == _NAME_FIELD else None):
            return False
    return bool(term.matchExpressions or term.matchFields)


def preference(pod: Pod, node: NodeInfo) -> int:
    """Sum of the weights of the preferred terms that hold."""
    affinity = pod.spec.affinity
    if affinity is None or affinity.nodeAffinity is None:
        return 0
    return liking(affinity.nodeAffinity, node)


def liking(affinity: NodeAffinity, node: NodeInfo) -> int:
    """Sum of the weights of its preferred terms that hold."""
    terms = affinity.preferredDuringSchedulingIgnoredDuringExecution
    return sum(term.weight for term in terms if matches(term.preference, node))


def _required(pod: Pod) -> NodeSelector | None:
    affinity = pod.spec.affinity
    if affinity is None or affinity.nodeAffinity is None:
        return None
    return affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
