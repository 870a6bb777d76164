"""Services and controllers: which pods belong together, for those that say nothing of how to spread.

Upstream: kube-scheduler 1.37 `plugins/helper/spread.go` DefaultSelector. Services are found by one label of their
selectors, so ten thousand of them in a namespace cost a pod no more than its own labels.
"""

from dataclasses import dataclass, field
from typing import Final

from cloudai_kube.objects import OwnerReference, Pod
from cloudai_kube.workload_objects import ReplicaSet, ReplicationController, Service, StatefulSet
from cloudai_scheduler.cluster.selector import MOST_REQUIREMENTS, Labels, LabelTest, Matcher, matcher
from cloudai_scheduler.cluster.table import Table

REPLICATION_CONTROLLER: Final = ("v1", "ReplicationController")
REPLICA_SET: Final = ("apps/v1", "ReplicaSet")
STATEFUL_SET: Final = ("apps/v1", "StatefulSet")
_NO_TESTS: Final[tuple[LabelTest, ...]] = ()
_Aim = tuple[str, str, str]
"""Namespace, key and value of a label."""


@dataclass(slots=True)
class Workloads:
    """The stores of their reflectors, and what follows for a pod."""

    services: Table[Service] = field(init=False)
    replication_controllers: Table[ReplicationController] = field(default_factory=Table)
    replica_sets: Table[ReplicaSet] = field(default_factory=Table)
    stateful_sets: Table[StatefulSet] = field(default_factory=Table)
    _aimed: dict[_Aim, dict[str, Labels]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.services = Table(self._service_changed)

    def companions(self, pod: Pod) -> Matcher | None:
        """The pods of the same Services and the same controller; None where there is neither, or no end of labels."""
        equal = self._labels_of_services(pod)
        owner = next((reference for reference in pod.metadata.ownerReferences if reference.controller), None)
        tests = _NO_TESTS
        if owner is not None:
            own_labels, tests = self._controller_says(owner, pod.metadata.namespace)
            equal |= own_labels
        whole = (*(LabelTest(key, "In", frozenset((value,))) for key, value in sorted(equal.items())), *tests)
        return Matcher(whole) if 0 < len(whole) <= MOST_REQUIREMENTS else None

    def _labels_of_services(self, pod: Pod) -> dict[str, str]:
        """The labels that all Services with this pod behind them ask for together."""
        equal: dict[str, str] = {}
        if not self._aimed:
            return equal
        labels = pod.metadata.labels
        for key, value in labels.items():
            for selector in self._aimed.get((pod.metadata.namespace, key, value), {}).values():
                if selector.items() <= labels.items():
                    equal |= selector
        return equal

    def _controller_says(self, owner: OwnerReference, namespace: str) -> tuple[Labels, tuple[LabelTest, ...]]:
        """The selector of a controller: labels, or requirements on them. Other kinds have none that count."""
        kind = (owner.apiVersion, owner.kind)
        if kind == REPLICATION_CONTROLLER:
            controller = self.replication_controllers.get(owner.name, namespace)
            return ({} if controller is None else controller.spec.selector or {}), _NO_TESTS
        workload: ReplicaSet | StatefulSet | None = None
        if kind == REPLICA_SET:
            workload = self.replica_sets.get(owner.name, namespace)
        elif kind == STATEFUL_SET:
            workload = self.stateful_sets.get(owner.name, namespace)
        return {}, (matcher(workload.spec.selector).tests or _NO_TESTS) if workload is not None else _NO_TESTS

    def _service_changed(self, service: Service) -> None:
        """File a Service under the least of its labels, or take it out."""
        meta, selector = service.metadata, service.spec.selector
        if not selector:
            return  # it selects nothing
        aim = (meta.namespace, *min(selector.items()))
        group = self._aimed.setdefault(aim, {})
        group.pop(meta.name, None)
        if self.services.get(meta.name, meta.namespace) is service:
            group[meta.name] = selector
        if not group:
            del self._aimed[aim]
