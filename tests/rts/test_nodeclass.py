"""Classes of nodes."""

import pytest

from cloudai_rts.nodeclass import class_for, gpu_resource_of, node_class, replicas

PRODUCT, SHARING = "nvidia.com/gpu.product", "nvidia.com/gpu.sharing-strategy"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({PRODUCT: "NVIDIA-V100"}, "NVIDIA-V100"),
        ({PRODUCT: "NVIDIA-V100", SHARING: "none"}, "NVIDIA-V100"),
        ({PRODUCT: "NVIDIA-V100", SHARING: "time-slicing"}, "NVIDIA-V100/time-slicing"),
        ({"node.kubernetes.io/instance-type": "m5.large"}, "m5.large"),
        ({}, "8c-32g"),
    ],
)
def test_node_class(labels: dict[str, str], expected: str) -> None:
    """GPU product with its sharing, else instance type, else size."""
    assert node_class(labels, 8000, 32 << 30) == expected


def test_a_slice_is_another_machine() -> None:
    """The class depends on the resource that is asked for."""
    assert class_for("A100", "nvidia.com/gpu") == "A100"
    assert class_for("A100", "nvidia.com/mig-1g.5gb") == "A100/mig-1g.5gb"


def test_gpu_resources() -> None:
    """The full GPU before slices, other vendors too, and no GPU at all."""
    assert gpu_resource_of({"cpu": 1, "nvidia.com/gpu": 1, "nvidia.com/mig-1g.5gb": 1}) == "nvidia.com/gpu"
    assert gpu_resource_of({"nvidia.com/mig-1g.5gb": 1}) == "nvidia.com/mig-1g.5gb"
    assert gpu_resource_of({"amd.com/gpu": 2}) == "amd.com/gpu"
    assert gpu_resource_of({"cpu": 1, "example.com/fpga": 1}) == ""


@pytest.mark.parametrize(
    ("text", "expected"), [("4", 4), ("0", 1), ("", 1), ("-2", 1), ("four", 1), ("\u0664", 1), ("9" * 20, 1)]
)
def test_units_of_a_shared_gpu(text: str, expected: int) -> None:
    """What is no number of units is one."""
    assert replicas({"nvidia.com/gpu.replicas": text}) == expected
