"""The class of a node: machines that run one type of task equally fast share one name, and one learned factor."""

from collections.abc import Mapping
from typing import Final

from cloudai_rts.contract import (
    DEFAULT_GPU_RESOURCE,
    LABEL_GPU_PRODUCT,
    LABEL_GPU_REPLICAS,
    LABEL_GPU_SHARING,
    LABEL_INSTANCE_TYPE,
)

MAX_DIGITS: Final = 4
"""Of the number of units: a GPU is shared by some tens of pods, not by ten thousand."""
_GIB: Final = 1 << 30
_NOT_SHARED: Final = frozenset({"", "none"})


def node_class(
    labels: Mapping[str, str], cpu_millicores: int, memory_bytes: int, product_label: str = LABEL_GPU_PRODUCT
) -> str:
    """GPU product (and sharing strategy), else instance type, else `<cores>c-<GiB>g`."""
    product = labels.get(product_label)
    if product:
        sharing = labels.get(LABEL_GPU_SHARING, "")
        return product if sharing in _NOT_SHARED else f"{product}/{sharing}"
    instance_type = labels.get(LABEL_INSTANCE_TYPE)
    return instance_type or f"{cpu_millicores // 1000}c-{round(memory_bytes / _GIB)}g"


def is_shared(labels: Mapping[str, str]) -> bool:
    """Whether several pods share one GPU of this node, so that its use counts for the node's load."""
    return labels.get(LABEL_GPU_SHARING, "") not in _NOT_SHARED


def replicas(labels: Mapping[str, str]) -> int:
    """Into how many units of its resource each shared GPU of this node is divided."""
    text = labels.get(LABEL_GPU_REPLICAS, "")
    usable = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    return max(1, int(text)) if usable else 1


def is_gpu_resource(name: str) -> bool:
    """Whether an extended resource is a GPU or a slice of one: `nvidia.com/gpu`, `amd.com/gpu`, `nvidia.com/mig-*`."""
    return "/" in name and ("gpu" in name or "/mig-" in name)


def gpu_resource_of(amounts: Mapping[str, int]) -> str:
    """The GPU resource that is asked for: nvidia.com/gpu before its slices, before other vendors' GPUs; else empty."""
    if amounts.get(DEFAULT_GPU_RESOURCE):
        return DEFAULT_GPU_RESOURCE
    return min(filter(is_gpu_resource, amounts), default="")


def class_for(node_class_name: str, gpu_resource: str) -> str:
    """Name the class for a task: a slice (`nvidia.com/mig-1g.5gb`) of a product is another machine than the product."""
    if gpu_resource in {"", DEFAULT_GPU_RESOURCE}:
        return node_class_name
    return f"{node_class_name}/{gpu_resource.rpartition('/')[2]}"
