"""The fields of Kubernetes objects that CloudAI reads, in Kubernetes' own spelling.

Decoding only these makes a pod 60 times cheaper than the official model and 13 times smaller in memory.
"""

from typing import Any

import msgspec

Quantities = dict[str, str | int | float]
"""Resource amounts as they came; a number is legal JSON for a quantity."""


class Record(msgspec.Struct, gc=False, omit_defaults=True):
    """Base of all objects: absent fields have their default, unknown ones are skipped."""


class OwnerReference(Record):
    kind: str = ""
    name: str = ""
    uid: str = ""
    apiVersion: str = ""
    controller: bool = False


class Meta(Record):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    generation: int = 0
    creationTimestamp: str = ""
    deletionTimestamp: str | None = None
    deletionGracePeriodSeconds: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    ownerReferences: list[OwnerReference] = []


class Requirement(Record):
    """One requirement of a selector: node selectors know Gt and Lt, label selectors do not."""

    key: str
    operator: str
    values: list[str] = []


class NodeSelectorTerm(Record):
    matchExpressions: list[Requirement] = []
    matchFields: list[Requirement] = []


class NodeSelector(Record):
    nodeSelectorTerms: list[NodeSelectorTerm] = []


class PreferredTerm(Record):
    weight: int
    preference: NodeSelectorTerm


class NodeAffinity(Record):
    requiredDuringSchedulingIgnoredDuringExecution: NodeSelector | None = None
    preferredDuringSchedulingIgnoredDuringExecution: list[PreferredTerm] = []


class Affinity(Record):
    nodeAffinity: NodeAffinity | None = None


class Toleration(Record):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class Port(Record):
    containerPort: int = 0
    hostPort: int = 0
    hostIP: str = ""
    protocol: str = "TCP"


class Resources(Record):
    requests: Quantities = {}
    limits: Quantities = {}


class Container(Record):
    name: str = ""
    resources: Resources = msgspec.field(default_factory=Resources)
    ports: list[Port] = []
    restartPolicy: str = ""


class Gate(Record):
    name: str = ""


class PodSpec(Record):
    nodeName: str = ""
    schedulerName: str = ""
    priority: int = 0
    preemptionPolicy: str = ""
    nodeSelector: dict[str, str] = {}
    affinity: Affinity | None = None
    tolerations: list[Toleration] = []
    containers: list[Container] = []
    initContainers: list[Container] = []
    overhead: Quantities = {}
    resources: Resources | None = None
    schedulingGates: list[Gate] = []
    terminationGracePeriodSeconds: int = 30


class Terminated(Record):
    exitCode: int = 0
    reason: str = ""
    message: str = ""
    startedAt: str | None = None
    finishedAt: str | None = None


class Running(Record):
    startedAt: str | None = None


class Waiting(Record):
    reason: str = ""
    message: str = ""


class ContainerState(Record):
    terminated: Terminated | None = None
    running: Running | None = None
    waiting: Waiting | None = None


class ContainerStatus(Record):
    name: str = ""
    state: ContainerState = msgspec.field(default_factory=ContainerState)
    allocatedResources: Quantities = {}
    resources: Resources | None = None


class Condition(Record):
    type: str
    status: str = ""
    reason: str = ""
    message: str = ""
    lastTransitionTime: str | None = None
    observedGeneration: int = 0


class PodStatus(Record):
    phase: str = ""
    reason: str = ""
    message: str = ""
    startTime: str = ""
    conditions: list[Condition] = []
    containerStatuses: list[ContainerStatus] = []
    initContainerStatuses: list[ContainerStatus] = []
    resources: Resources | None = None
    allocatedResources: Quantities = {}


class Pod(Record):
    metadata: Meta
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class Taint(Record):
    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Record):
    unschedulable: bool = False
    taints: list[Taint] = []


class NodeAddress(Record):
    type: str = ""
    address: str = ""


class NodeStatus(Record):
    addresses: list[NodeAddress] = []
    allocatable: Quantities = {}
    capacity: Quantities = {}
    conditions: list[Condition] = []


class Node(Record):
    metadata: Meta
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


class ConfigMap(Record):
    metadata: Meta
    data: dict[str, str] = {}
    binaryData: dict[str, str] = {}


class Named(Record):
    """Any object of which only the metadata matter."""

    metadata: Meta


class ObjectList(msgspec.Struct):
    """A list of objects as plain JSON."""

    items: list[dict[str, Any]] = []
