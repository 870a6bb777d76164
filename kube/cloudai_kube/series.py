"""What a Prometheus series is about: cluster, namespace, pod and node, by whichever labels say so.

Labels of the scrape target and labels of the object have the same names. Where they clash Prometheus keeps the object's
as `exported_*` (unless honor_labels is set), so those win wherever they are there (kubernetes-mixin#523).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cloudai_kube.objects import Node

NODE_LABELS: Final = ("exported_node", "node", "nodename", "kubernetes_node", "host", "Hostname", "hostname")
"""Labels that may name a node, the most definite first."""
HOST_LABELS: Final = (
    'label_replace(label_replace({0}, "host", "$1", "Hostname", "(.+)"), "host", "$1", "hostname", "(.+)")'
)
"""PromQL: dcgm-exporter's name of the host, whatever its release calls it."""
POD_LABELS: Final = (
    'label_replace(label_replace({0}, "pod", "$1", "exported_pod", "(.+)"), '
    '"namespace", "$1", "exported_namespace", "(.+)")'
)
"""PromQL: the object's namespace and pod under the plain names, as `pod_of` reads them."""
NODE_LABEL: Final = 'label_replace({0}, "node", "$1", "exported_node", "(.+)")'
"""PromQL: the object's node under the plain name."""


def pod_of(labels: Mapping[str, str]) -> tuple[str, str]:
    """Namespace and name of the pod that a series is about; empty where it is about none."""
    namespace = labels.get("exported_namespace") or labels.get("namespace", "")
    return namespace, labels.get("exported_pod") or labels.get("pod", "")


def node_of(labels: Mapping[str, str]) -> str:
    """The node that a series names by itself; empty where it does not."""
    return next((labels[key] for key in NODE_LABELS if labels.get(key)), "")


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """Addresses of a node, and whether its kubelet says that it is Ready."""

    addresses: tuple[str, ...]
    is_ready: bool

    @classmethod
    def of(cls, node: Node) -> "NodeAddresses":
        """Those of a Node object."""
        ready = any(condition.type == "Ready" and condition.status == "True" for condition in node.status.conditions)
        return cls(tuple(address.address for address in node.status.addresses), ready)


@dataclass(frozen=True, slots=True)
class NodeNames:
    """Resolves series to nodes: by a label that names one, then `instance` by name or address.

    Addresses are those of nodes, and of pods where they had to be asked for. `ambiguous` are those of two nodes.
    """

    names: frozenset[str] = frozenset()
    addresses: Mapping[str, str] = field(default_factory=dict)
    ambiguous: frozenset[str] = frozenset()

    @classmethod
    def of(cls, nodes: Mapping[str, NodeAddresses]) -> "NodeNames":
        """The names and addresses of these nodes. A dead node's address may have been given to a new one."""
        claims: dict[str, list[str]] = {}
        for name, node in sorted(nodes.items(), key=lambda item: not item[1].is_ready):
            for address in node.addresses:
                claims.setdefault(address, []).append(name)
        usable: dict[str, str] = {}
        for address, names in claims.items():
            ready = [name for name in names if nodes[name].is_ready]
            if len(ready or names) == 1:
                usable[address] = names[0]
        return cls(frozenset(nodes), usable, frozenset(claims) - frozenset(usable))

    @classmethod
    def of_nodes(cls, nodes: Iterable[Node]) -> "NodeNames":
        """The same of Node objects."""
        return cls.of({node.metadata.name: NodeAddresses.of(node) for node in nodes})

    def resolve(self, labels: Mapping[str, str]) -> str | None:
        """The node that a series is about, None if none is."""
        for key in NODE_LABELS:
            if labels.get(key) in self.names:
                return labels[key]
        host = labels.get("instance", "").rpartition(":")[0] or labels.get("instance", "")
        host = host.strip("[]")
        return host if host in self.names else self.addresses.get(host)

    def with_pods(self, pods: Iterable[Mapping[str, str]]) -> "NodeNames":
        """These names, and the addresses of the pods on the nodes (labels of kube_pod_info); a node's own wins.

        An address that ended pods had on other nodes says nothing.
        """
        owners: dict[str, set[str]] = {}
        for labels in pods:
            owners.setdefault(labels.get("pod_ip", ""), set()).add(node_of(labels))
        single = {address: min(nodes) for address, nodes in owners.items() if address and len(nodes) == 1}
        usable = {address: node for address, node in single.items() if node in self.names}
        return NodeNames(self.names, {**usable, **self.addresses}, self.ambiguous)
