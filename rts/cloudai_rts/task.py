"""What a task is to the model: its type, what it asks for, when it came and when it must be finished (EDD 2.2)."""

import math
from dataclasses import dataclass
from typing import Final

from cloudai_rts import calibration
from cloudai_rts.calibration import NORMAL_SHAPE, Shape

CPU_LIGHT: Final = "cpu-light"
CPU_HEAVY: Final = "cpu-heavy"
MEMORY_HEAVY: Final = "memory-heavy"
GPU_INFERENCE: Final = "gpu-inference"
GPU_TRAINING: Final = "gpu-training"
MIXED: Final = "mixed"


GIB: Final = 1 << 30
MEMORY_HEAVY_BYTES_PER_CORE: Final = 8 * GIB
CPU_HEAVY_CORES: Final = 4.0
MIXED_CORES_PER_GPU: Final = 8.0
INFERENCE_MAX_CORES: Final = 4.0
INFERENCE_MAX_BYTES: Final = 16 * GIB

COLD_LOG_SD: Final = 0.5
MIN_LOG_SD: Final = 0.05
MAX_LOG_SD: Final = 2.0
SURE_SDS: Final = 1.645
"""A normal quantity exceeds its mean minus so many standard deviations with probability .95."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task as the model sees it.

    `cpu` in cores, `memory` and `storage` in bytes, `gpu` in devices of `gpu_resource`; `arrival` and `deadline` in
    seconds since the epoch (float64: in float32 epoch seconds step by 128 s); `reference_runtime` in seconds on the
    reference class at load 0 (tau_i); `log_sd` is the spread of its logarithm (sigma_i). `deadline` is None for a
    pod that promised nothing to anybody, `deadline_source` says who gave it (contract.DEADLINE_SOURCES).
    """

    type: str
    cpu: float
    memory: float
    gpu: float = 0.0
    storage: float = 0.0
    gpu_resource: str = ""
    arrival: float = 0.0
    reference_runtime: float = 600.0
    log_sd: float = COLD_LOG_SD
    deadline: float | None = None
    deadline_source: str = ""

    def slack(self, now: float) -> float:
        """Seconds left until the deadline; infinite without one."""
        return math.inf if self.deadline is None else self.deadline - now

    def least_runtime(self, shape: Shape = NORMAL_SHAPE) -> float:
        """Seconds that it takes at least with probability .95, on the reference class at load 0.

        With heavy tails most tasks are much shorter than tau, which is a mean; `shape` says how they scatter (2b).
        """
        return self.reference_runtime * math.exp(calibration.log_quantile(-SURE_SDS, self.log_sd, shape))


def deadline_of(arrival: float, sla_multiplier: float, tau: float) -> float:
    """D_i = A_i + k tau_i (EDD 3.4), seconds since the epoch."""
    return arrival + sla_multiplier * tau


def infer_type(cpu: float, memory: float, gpu: float) -> str:
    """Name one of the six standard types from the requests (cores, bytes, devices).

    Used only where the user named no type: a name that the user wrote is kept whatever it says.
    """
    if gpu > 0:
        if cpu / gpu >= MIXED_CORES_PER_GPU:
            return MIXED
        small = gpu <= 1 and cpu <= INFERENCE_MAX_CORES and memory <= INFERENCE_MAX_BYTES
        return GPU_INFERENCE if small else GPU_TRAINING
    if memory >= MEMORY_HEAVY_BYTES_PER_CORE * max(cpu, 0.5):
        return MEMORY_HEAVY
    return CPU_HEAVY if cpu >= CPU_HEAVY_CORES else CPU_LIGHT


def clip_type(name: str) -> str:
    """A type's name as far as it is used: at most 63 characters, as a label value."""
    return name[:63]
