"""The fields of Services and controllers that say which pods belong together, in Kubernetes' own spelling."""

import msgspec

from cloudai_kube.objects import LabelSelector, Meta, Record


class EqualSelector(Record):
    """A spec whose selector is a set of labels."""

    selector: dict[str, str] | None = None


class Service(Record):
    """A Service."""

    metadata: Meta
    spec: EqualSelector = msgspec.field(default_factory=EqualSelector)


class ReplicationController(Record):
    """A ReplicationController."""

    metadata: Meta
    spec: EqualSelector = msgspec.field(default_factory=EqualSelector)


class SetSpec(Record):
    """A spec whose selector is one over labels."""

    selector: LabelSelector | None = None


class ReplicaSet(Record):
    """A ReplicaSet, such as those of a Deployment."""

    metadata: Meta
    spec: SetSpec = msgspec.field(default_factory=SetSpec)


class StatefulSet(Record):
    """A StatefulSet."""

    metadata: Meta
    spec: SetSpec = msgspec.field(default_factory=SetSpec)
