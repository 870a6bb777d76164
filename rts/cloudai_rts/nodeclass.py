"""The class of a node: machines that run one type of task equally fast share one name, and one learned factor.

What tells machines apart are labels, and which label is told by each cloud and vendor in its own way: `ClassRules` are
the lists, and what a type label does not tell (k3s calls every node `k3s`) its shape tells.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice
from typing import Final

from cloudai_rts.contract import (
    DEFAULT_GPU_RESOURCE,
    LABEL_ARCHITECTURE,
    LABEL_GPU_PRODUCT,
    LABEL_GPU_REPLICAS,
    LABEL_GPU_SHARING,
    LABEL_INSTANCE_TYPE,
)

PRODUCT_LABELS: Final = (
    LABEL_GPU_PRODUCT,
    "amd.com/gpu.product-name",
    "gpu.intel.com/product",
    "cloud.google.com/gke-accelerator",
    "cloud.google.com/gke-tpu-accelerator",
    "k8s.amazonaws.com/accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "node.kubernetes.io/npu.chip.name",
)
"""Node labels that name the accelerator's model, the most definite first."""
ACCELERATORS: Final = (
    "*/gpu",
    "*/vgpu",
    "nvidia.com/gpu.shared",
    "nvidia.com/mig-*",
    "amd.com/gpu-*",
    "gpu.intel.com/i915",
    "gpu.intel.com/xe",
    "habana.ai/gaudi*",
    "google.com/tpu",
    "aws.amazon.com/neuron",
    "aws.amazon.com/neuroncore",
    "aws.amazon.com/neurondevice",
    "huawei.com/Ascend*",
    "cambricon.com/mlu*",
    "hygon.com/dcu*",
    "enflame.com/gcu",
    "qualcomm.com/qaic",
    "volcano.sh/vgpu-number",
)
"""Patterns of the resources that are devices with a speed of their own, or slices of one."""
_NO_DEVICE: Final = re.compile(r"(mem|memory|cores?|percent|percentage)$")
"""How resources end that divide a device: memory and per cent of it are no devices."""
MOST_NAMES: Final = 64
"""Extended resources of one pod that are looked at: a pod may name thousands, and no machine has so many kinds."""
MAX_DIGITS: Final = 4
"""Of the number of units: a GPU is shared by some tens of pods, not by ten thousand."""
_GIB: Final = 1 << 30
_NOT_SHARED: Final = frozenset({"", "none"})
_USUAL_ARCHITECTURE: Final = frozenset({"", "amd64"})


@dataclass(frozen=True, slots=True)
class ClassRules:
    """Which labels name a model, and which resources are accelerators (shell patterns)."""

    product_labels: tuple[str, ...] = PRODUCT_LABELS
    accelerators: tuple[str, ...] = ACCELERATORS

    def product(self, labels: Mapping[str, str]) -> str:
        """The accelerator's model, empty where no label names one."""
        return next((labels[name] for name in self.product_labels if labels.get(name)), "")

    def is_accelerator(self, resource: str) -> bool:
        """Whether an extended resource is an accelerator or a slice of one."""
        return _is_accelerator(resource, self.accelerators)

    def accelerator_of(self, amounts: Mapping[str, int], named: str = "") -> str:
        """The accelerator that is asked for: the one that the task names, nvidia.com/gpu before others; else empty."""
        for first in (named, DEFAULT_GPU_RESOURCE):
            if "/" in first and amounts.get(first):  # CPU and memory are no devices, whatever a pod says
                return first
        some = islice((name for name in amounts if "/" in name), MOST_NAMES)
        return min(filter(self.is_accelerator, some), default="")


RULES: Final = ClassRules()


@lru_cache(maxsize=4096)
def _is_accelerator(resource: str, patterns: tuple[str, ...]) -> bool:
    if "/" not in resource:
        return False
    if resource in patterns:
        return True
    return not _NO_DEVICE.search(resource) and any(fnmatchcase(resource, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a node's class rests on: its labels, cores, bytes, and whether it has an accelerator."""

    labels: Mapping[str, str]
    cpu_millicores: int
    memory_bytes: int
    has_accelerator: bool = False

    def shape(self) -> str:
        """The shape, equal in all machines that one type label stands for, if that tells them apart.

        Memory counts in powers of two: what kubelets keep for themselves differs from release to release.
        """
        gib = self.memory_bytes / _GIB
        return self._named(1 << max(0, round(math.log2(max(gib, 1.0)))))

    def size(self) -> str:
        """The shape with the memory itself, for machines without any label."""
        return self._named(round(self.memory_bytes / _GIB))

    def _named(self, gib: int) -> str:
        architecture = self.labels.get(LABEL_ARCHITECTURE, "")
        parts = [f"{self.cpu_millicores // 1000}c", f"{gib}g"]
        parts += [] if architecture in _USUAL_ARCHITECTURE else [architecture]
        parts += ["gpu"] if self.has_accelerator else []
        return "-".join(parts)


@dataclass(slots=True)
class NodeClasses:
    """The classes of all nodes: a type label that stands for machines of several shapes is told together with those."""

    rules: ClassRules = RULES
    _hardware: dict[str, Hardware] = field(default_factory=dict)
    _shapes: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def put(self, name: str, hardware: Hardware) -> set[str]:
        """Add a node or bring it up to date. Returns the other nodes whose class has changed by it."""
        known = self._hardware.get(name)
        changed = self.remove(name) if known is not None else set()
        self._hardware[name] = hardware
        kind = self._kind(hardware)
        if kind:
            shapes = self._shapes.setdefault(kind, {})
            before = len(shapes)
            shapes.setdefault(hardware.shape(), set()).add(name)
            if before == 1 and len(shapes) > 1:
                changed |= self._all_of(kind)
        return changed - {name}

    def remove(self, name: str) -> set[str]:
        """Forget a node. Returns the nodes whose class has changed by it."""
        hardware = self._hardware.pop(name, None)
        kind = self._kind(hardware) if hardware is not None else ""
        if hardware is None or not kind:
            return set()
        shapes = self._shapes[kind]
        shapes[hardware.shape()].discard(name)
        if not shapes[hardware.shape()]:
            del shapes[hardware.shape()]
            if len(shapes) == 1:
                return self._all_of(kind)
        if not shapes:
            del self._shapes[kind]
        return set()

    def of(self, name: str) -> str:
        """The class of a node: product (and sharing strategy), else type (and shape), else `<cores>c-<GiB>g`."""
        hardware = self._hardware[name]
        product = self.rules.product(hardware.labels)
        if product:
            sharing = hardware.labels.get(LABEL_GPU_SHARING, "")
            return product if sharing in _NOT_SHARED else f"{product}/{sharing}"
        kind = self._kind(hardware)
        if kind:
            return kind if len(self._shapes[kind]) == 1 else f"{kind}/{hardware.shape()}"
        return hardware.size()

    def _kind(self, hardware: Hardware) -> str:
        """The type label where it counts."""
        return "" if self.rules.product(hardware.labels) else hardware.labels.get(LABEL_INSTANCE_TYPE, "")

    def _all_of(self, kind: str) -> set[str]:
        return {name for names in self._shapes[kind].values() for name in names}


def is_shared(labels: Mapping[str, str]) -> bool:
    """Whether several pods share one GPU of this node, so that its use counts for the node's load."""
    return labels.get(LABEL_GPU_SHARING, "") not in _NOT_SHARED


def replicas(labels: Mapping[str, str]) -> int:
    """Into how many units of its resource each shared GPU of this node is divided."""
    text = labels.get(LABEL_GPU_REPLICAS, "")
    usable = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    return max(1, int(text)) if usable else 1


def class_for(node_class_name: str, gpu_resource: str) -> str:
    """Name the class for a task: a slice (`nvidia.com/mig-1g.5gb`) of a product is another machine than the product.

    A resource that is the whole device of its vendor (`amd.com/gpu`, `habana.ai/gaudi`) is the product itself, and so
    is a slice in a trace, whose machines are named after it.
    """
    if not is_slice(gpu_resource) or gpu_resource == node_class_name:
        return node_class_name
    return f"{node_class_name}/{gpu_resource.rpartition('/')[2]}"


def is_slice(gpu_resource: str) -> bool:
    """Whether a device resource is another machine than the whole device of its vendor: a slice, or a model."""
    return gpu_resource.rpartition("/")[2] not in {"", "gpu"} and gpu_resource not in _WHOLE_DEVICES


_WHOLE_DEVICES: Final = frozenset(
    {
        "habana.ai/gaudi", "google.com/tpu", "aws.amazon.com/neuron", "aws.amazon.com/neurondevice",
        "gpu.intel.com/i915", "gpu.intel.com/xe", "enflame.com/gcu", "qualcomm.com/qaic",
    }
)  # fmt: skip


def classes_of(nodes: Iterable[tuple[str, Hardware]], rules: ClassRules = RULES) -> NodeClasses:
    """The classes of these nodes."""
    known = NodeClasses(rules)
    for name, hardware in nodes:
        known.put(name, hardware)
    return known
