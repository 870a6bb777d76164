"""Relative speeds of accelerators that nobody has run anything on yet."""

import csv
import math
import statistics
from itertools import pairwise
from pathlib import Path

import pytest

from cloudai_rts.products import PRODUCTS, log_factor, product_of

MEASURED = Path(__file__).parents[2] / "benchmarks/data/gavel-speeds.csv"


@pytest.mark.parametrize(
    ("node_class", "product"),
    [
        ("NVIDIA-A100-SXM4-40GB", "A100"),
        ("NVIDIA-A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA-A100-80GB-PCIe", "A100-80GB"),
        ("NVIDIA-H100-80GB-HBM3", "H100"),
        ("Tesla-V100-SXM2-16GB", "V100"),
        ("nvidia-tesla-t4", "T4"),
        ("nvidia-l4", "L4"),
        ("NVIDIA-L40S", "L40S"),
        ("l40s", "L40S"),
        ("AMD_Instinct_MI300X_OAM", "MI300X"),
        ("NVIDIA-GB200", "GB200"),
    ],
)
def test_names_as_clouds_and_vendors_write_them(node_class: str, product: str) -> None:
    """The product is a word of the label's value, whatever stands around it."""
    assert product_of(node_class) is PRODUCTS[product]


@pytest.mark.parametrize(
    "node_class",
    [
        "", "64c-256g", "m5.xlarge", "NVIDIA-Q9999", "NVIDIA-A100-SXM4-40GB/mig-1g.5gb",
        "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", "NVIDIA-H100-80GB-HBM3-SHARED", "Tesla-T4-SHARED", "GRID-A100-4C",
    ],
)  # fmt: skip
def test_nothing_is_made_up(node_class: str) -> None:
    """Of other machines, and of slices, nothing is expected."""
    assert product_of(node_class) is None
    assert log_factor(node_class) is None


def expected(node_class: str) -> float:
    """ln of the run time against a V100's, of a product that is known."""
    factor = log_factor(node_class)
    assert factor is not None
    return factor


@pytest.mark.parametrize(
    "names", [("K80", "P100", "V100", "A100", "A100-80GB", "H100", "H200", "B200"), ("T4", "L4", "L40", "L40S")]
)
def test_newer_generations_are_faster(names: tuple[str, ...]) -> None:
    """Of a line of products a run time falls from one to the next, or stays; a V100 is as fast as itself."""
    factors = [expected(f"NVIDIA-{name}") for name in names]
    assert all(later <= earlier + 0.05 for earlier, later in pairwise(factors))
    assert factors[-1] < factors[0] - 0.3
    assert expected("NVIDIA-V100") == 0.0


def test_against_measured_speeds() -> None:
    """Gavel's job types: the mean of the six is met within a factor of 1.3, a single one is a guess."""
    rows = list(csv.DictReader(MEASURED.read_text(encoding="utf-8").splitlines()))
    speeds = {(row["type"], row["gpu_product"]): float(row["factor"]) for row in rows if row["gpu_product"]}
    jobs = {job for job, _ in speeds if not job.startswith(("cpu", "memory"))}
    for product in ("NVIDIA-K80", "NVIDIA-P100"):
        measured = statistics.fmean(math.log(speeds[job, product] / speeds[job, "NVIDIA-V100"]) for job in jobs)
        assert abs(expected(product) - measured) < math.log(1.3)
