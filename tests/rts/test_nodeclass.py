"""Classes of nodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_rts.nodeclass import RULES, ClassRules, Hardware, NodeClasses, class_for, classes_of, replicas

PRODUCT, SHARING = "nvidia.com/gpu.product", "nvidia.com/gpu.sharing-strategy"
TYPE, ARCH = "node.kubernetes.io/instance-type", "kubernetes.io/arch"


def class_of(labels: dict[str, str], has_accelerator: bool = False) -> str:
    """Class of the only node there is: eight cores, 32 GiB."""
    return classes_of([("n", Hardware(labels, 8000, 32 << 30, has_accelerator))]).of("n")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({PRODUCT: "NVIDIA-V100"}, "NVIDIA-V100"),
        ({PRODUCT: "NVIDIA-V100", SHARING: "none"}, "NVIDIA-V100"),
        ({PRODUCT: "NVIDIA-V100", SHARING: "time-slicing"}, "NVIDIA-V100/time-slicing"),
        ({PRODUCT: "NVIDIA-V100", TYPE: "n1-standard-8"}, "NVIDIA-V100"),
        ({"cloud.google.com/gke-accelerator": "nvidia-tesla-t4", TYPE: "n1-standard-8"}, "nvidia-tesla-t4"),
        ({"k8s.amazonaws.com/accelerator": "nvidia-a10g"}, "nvidia-a10g"),
        ({TYPE: "m5.large"}, "m5.large"),
        ({}, "8c-32g"),
        ({ARCH: "amd64"}, "8c-32g"),
        ({ARCH: "arm64"}, "8c-32g-arm64"),
    ],
)
def test_node_class(labels: dict[str, str], expected: str) -> None:
    """The accelerator's model with its sharing, else instance type, else size."""
    assert class_of(labels) == expected


def test_a_type_that_stands_for_several_machines() -> None:
    """k3s calls every node k3s, GKE one with a T4 and one with none n1-standard-8: the shape tells them apart."""
    known = NodeClasses()
    assert known.put("pi", Hardware({TYPE: "k3s", ARCH: "arm64"}, 4000, 8 << 30)) == set()
    assert known.of("pi") == "k3s"
    assert known.put("server", Hardware({TYPE: "k3s"}, 64_000, 512 << 30, True)) == {"pi"}
    assert (known.of("pi"), known.of("server")) == ("k3s/4c-8g-arm64", "k3s/64c-512g-gpu")
    assert known.put("twin", Hardware({TYPE: "k3s"}, 64_000, 511 << 30, True)) == set()
    assert known.of("twin") == known.of("server")
    assert known.remove("pi") == {"server", "twin"}
    assert known.of("server") == "k3s"
    assert known.put("thin", Hardware({TYPE: "k3s"}, 64_000, 30 << 30, True)) == {"server", "twin"}
    assert (known.of("thin"), known.of("server")) == ("k3s/64c-32g-gpu", "k3s/64c-512g-gpu")
    assert known.put("thinner", Hardware({TYPE: "k3s"}, 64_000, 29 << 30, True)) == set()


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "t", "u"]), st.sampled_from([4, 8]), st.booleans()),
        max_size=30,
    )
)
def test_classes_do_not_depend_on_the_order(steps: list[tuple[str, str, int, bool]]) -> None:
    """After any sequence of events they are those of a cluster that was looked at once."""
    known, there = NodeClasses(), dict[str, Hardware]()
    for name, kind, cores, removed in steps:
        if removed:
            known.remove(name)
            there.pop(name, None)
        else:
            there[name] = Hardware({TYPE: kind} if kind else {}, cores * 1000, 8 << 30)
            known.put(name, there[name])
    afresh = classes_of(there.items())
    assert {name: known.of(name) for name in there} == {name: afresh.of(name) for name in there}


def test_a_slice_is_another_machine() -> None:
    """The class depends on the resource that is asked for, unless it is the whole device."""
    assert class_for("A100", "nvidia.com/gpu") == "A100"
    assert class_for("A100", "nvidia.com/mig-1g.5gb") == "A100/mig-1g.5gb"
    assert class_for("Gaudi", "habana.ai/gaudi") == "Gaudi"
    assert class_for("MI300", "amd.com/gpu") == "MI300"


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("nvidia.com/gpu", True),
        ("nvidia.com/mig-1g.5gb", True),
        ("nvidia.com/gpu.shared", True),
        ("amd.com/gpu", True),
        ("habana.ai/gaudi", True),
        ("google.com/tpu", True),
        ("aws.amazon.com/neuroncore", True),
        ("huawei.com/Ascend910", True),
        ("volcano.sh/vgpu-number", True),
        ("nvidia.com/gpumem", False),
        ("nvidia.com/gpucores", False),
        ("volcano.sh/vgpu-memory", False),
        ("huawei.com/Ascend310P-memory", False),
        ("example.com/fpga", False),
        ("smarter-devices/fuse", False),
        ("cpu", False),
    ],
)
def test_accelerators(resource: str, expected: bool) -> None:
    """Devices with a speed of their own; memory and per cent of one are none."""
    assert RULES.is_accelerator(resource) is expected


def test_which_accelerator_is_asked_for() -> None:
    """What the Task names before nvidia.com/gpu, that before slices and others, and none at all."""
    assert RULES.accelerator_of({"cpu": 1, "nvidia.com/gpu": 1, "nvidia.com/mig-1g.5gb": 1}) == "nvidia.com/gpu"
    assert RULES.accelerator_of({"nvidia.com/mig-1g.5gb": 1}) == "nvidia.com/mig-1g.5gb"
    assert RULES.accelerator_of({"example.com/npu": 1, "nvidia.com/gpu": 1}, "example.com/npu") == "example.com/npu"
    assert RULES.accelerator_of({"cpu": 1}, "example.com/npu") == ""
    assert RULES.accelerator_of({"cpu": 1, "example.com/fpga": 1}) == ""
    assert ClassRules(accelerators=("example.com/*",)).accelerator_of({"example.com/fpga": 1}) == "example.com/fpga"


@pytest.mark.parametrize(
    ("text", "expected"), [("4", 4), ("0", 1), ("", 1), ("-2", 1), ("four", 1), ("\u0664", 1), ("9" * 20, 1)]
)
def test_units_of_a_shared_gpu(text: str, expected: int) -> None:
    """A text that is no number of units counts as one."""
    assert replicas({"nvidia.com/gpu.replicas": text}) == expected
