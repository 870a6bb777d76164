"""The fields of storage objects that decide where a pod with volumes may go, in Kubernetes' own spelling."""

import msgspec

from cloudai_kube.objects import LabelSelector, Meta, NodeSelector, Quantities, Record, Resources

BETA_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
WAIT_FOR_FIRST_CONSUMER = "WaitForFirstConsumer"
READ_WRITE_ONCE_POD = "ReadWriteOncePod"


class ClaimSpec(Record):
    accessModes: list[str] = []
    volumeName: str = ""
    storageClassName: str | None = None
    volumeMode: str | None = None
    volumeAttributesClassName: str | None = None
    resources: Resources = msgspec.field(default_factory=Resources)
    selector: LabelSelector | None = None


class ClaimStatus(Record):
    phase: str = ""


class Claim(Record):
    """A PersistentVolumeClaim."""

    metadata: Meta
    spec: ClaimSpec = msgspec.field(default_factory=ClaimSpec)
    status: ClaimStatus = msgspec.field(default_factory=ClaimStatus)

    @property
    def class_name(self) -> str:
        """Its storage class, "" without one; the old annotation goes before the field."""
        return self.metadata.annotations.get(BETA_CLASS_ANNOTATION, self.spec.storageClassName or "")

    @property
    def is_bound(self) -> bool:
        """Whether both sides of the binding are written."""
        return bool(self.spec.volumeName) and BIND_COMPLETED in self.metadata.annotations


class ClaimReference(Record):
    namespace: str = ""
    name: str = ""
    uid: str = ""


class CsiSource(Record):
    driver: str = ""
    volumeHandle: str = ""


class VolumeNodeAffinity(Record):
    required: NodeSelector | None = None


class VolumeSpec(Record):
    capacity: Quantities = {}
    accessModes: list[str] = []
    claimRef: ClaimReference | None = None
    storageClassName: str = ""
    volumeMode: str | None = None
    volumeAttributesClassName: str | None = None
    nodeAffinity: VolumeNodeAffinity | None = None
    csi: CsiSource | None = None


class VolumeStatus(Record):
    phase: str = ""


class Volume(Record):
    """A PersistentVolume."""

    metadata: Meta
    spec: VolumeSpec = msgspec.field(default_factory=VolumeSpec)
    status: VolumeStatus = msgspec.field(default_factory=VolumeStatus)

    @property
    def class_name(self) -> str:
        """Its storage class, "" without one."""
        return self.metadata.annotations.get(BETA_CLASS_ANNOTATION, self.spec.storageClassName)

    def is_for(self, claim: Claim) -> bool:
        """Whether it is bound to a claim, or kept for it."""
        reference, meta = self.spec.claimRef, claim.metadata
        if reference is None or (reference.namespace, reference.name) != (meta.namespace, meta.name):
            return False
        return reference.uid in {"", meta.uid}


class TopologyRequirement(Record):
    key: str = ""
    values: list[str] = []


class TopologyTerm(Record):
    matchLabelExpressions: list[TopologyRequirement] = []


class StorageClass(Record):
    metadata: Meta
    provisioner: str = ""
    volumeBindingMode: str = "Immediate"
    allowedTopologies: list[TopologyTerm] = []


class VolumeCount(Record):
    count: int | None = None


class CsiNodeDriver(Record):
    name: str = ""
    allocatable: VolumeCount | None = None


class CsiNodeSpec(Record):
    drivers: list[CsiNodeDriver] | None = None
    """Null on a node without any."""


class CsiNode(Record):
    """Which storage drivers a node has, and how many volumes each can attach."""

    metadata: Meta
    spec: CsiNodeSpec = msgspec.field(default_factory=CsiNodeSpec)


class CsiDriverSpec(Record):
    storageCapacity: bool = False
    preventPodSchedulingIfMissing: bool = False


class CsiDriver(Record):
    metadata: Meta
    spec: CsiDriverSpec = msgspec.field(default_factory=CsiDriverSpec)


class CsiStorageCapacity(Record):
    """Room that a driver reports for a class on the nodes of a topology."""

    metadata: Meta
    storageClassName: str = ""
    nodeTopology: LabelSelector | None = None
    capacity: str | int | float | None = None
    maximumVolumeSize: str | int | float | None = None

    @property
    def largest(self) -> str | int | float | None:
        """The largest volume that can be had, as a quantity; None where nothing is said."""
        return self.capacity if self.maximumVolumeSize is None else self.maximumVolumeSize


class AttachmentSource(Record):
    persistentVolumeName: str | None = None


class AttachmentSpec(Record):
    attacher: str = ""
    nodeName: str = ""
    source: AttachmentSource = msgspec.field(default_factory=AttachmentSource)


class VolumeAttachment(Record):
    metadata: Meta
    spec: AttachmentSpec = msgspec.field(default_factory=AttachmentSpec)
