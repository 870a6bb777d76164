"""How fast accelerators are before anybody has run anything on them: relative speeds of common products.

A run time is taken to fall with memory bandwidth to the power of .5 and half-precision throughput to the power of .1:
a task does not use all that a machine has. For the products that Gavel measured (Narayanan et al., OSDI 2020) that is
off by a factor of up to 1.3 in the mean of the six job types, and of 2 for a single type: a guess, which the first runs
on a class replace. With powers of .6 and .2 more deadlines are missed before anything is learned (15.1 instead of
14.1 % at load .90 of the reference workload, 6 seeds).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BANDWIDTH_POWER: Final = 0.5
THROUGHPUT_POWER: Final = 0.1


@dataclass(frozen=True, slots=True)
class Product:
    """One accelerator by its vendor's data sheet: memory in GB/s, dense half-precision throughput in TFLOPS."""

    bandwidth: float
    throughput: float


PRODUCTS: Final[Mapping[str, Product]] = {
    "K80": Product(240, 4.1),
    "P4": Product(192, 5.5),
    "P40": Product(346, 12),
    "P100": Product(732, 21),
    "V100": Product(900, 125),
    "T4": Product(320, 65),
    "A10": Product(600, 125),
    "A10G": Product(600, 70),
    "A30": Product(933, 165),
    "A40": Product(696, 150),
    "A100": Product(1555, 312),
    "A100-80GB": Product(2039, 312),
    "L4": Product(300, 121),
    "L40": Product(864, 181),
    "L40S": Product(864, 362),
    "H100": Product(3350, 989),
    "H200": Product(4800, 989),
    "B200": Product(8000, 2250),
    "GB200": Product(8000, 2250),
    "MI210": Product(1638, 181),
    "MI250X": Product(3277, 383),
    "MI300X": Product(5300, 1307),
    "MI325X": Product(6000, 1307),
    "Gaudi2": Product(2450, 432),
    "Gaudi3": Product(3700, 1835),
}
"""Data sheets of NVIDIA (of the K80 one of its two GPUs, of GPUs without tensor cores their FP16 or FP32 rate), AMD
(Instinct) and Intel (Gaudi); the SXM or OAM variant where there are several."""
_BY_TOKEN: Final = {name.upper(): product for name, product in PRODUCTS.items()}
_BASE: Final = PRODUCTS["V100"]
_PART: Final = re.compile(r"-MIG-|-SHARED\b|\bGRID-|\bvGPU\b", re.IGNORECASE)
_LARGE_MEMORY: Final = re.compile(r"80G", re.IGNORECASE)


def product_of(node_class: str) -> Product | None:
    """The product that a class of nodes is named after, such as `NVIDIA-A100-SXM4-80GB`; None for others and slices.

    Where all of a node is sliced or shared in one way, the device plug-in's label says so: `...-MIG-1g.10gb`,
    `...-SHARED`; a virtual GPU's is `GRID-...`.
    """
    if "/" in node_class or _PART.search(node_class):
        return None
    for token in re.split(r"[^A-Za-z0-9]+", node_class.upper()):
        if token in _BY_TOKEN:
            large = f"{token}-80GB"
            return _BY_TOKEN[large if large in _BY_TOKEN and _LARGE_MEMORY.search(node_class) else token]
    return None


def log_factor(node_class: str) -> float | None:
    """ln of the run time against a V100's; None where the product is not known."""
    product = product_of(node_class)
    if product is None:
        return None
    by_bandwidth = BANDWIDTH_POWER * math.log(_BASE.bandwidth / product.bandwidth)
    return by_bandwidth + THROUGHPUT_POWER * math.log(_BASE.throughput / product.throughput)
