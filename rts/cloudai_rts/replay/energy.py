"""EDD's energy proxy: what cores, memory and GPUs in use take, where nobody measures watts."""

from dataclasses import dataclass
from typing import Final

from cloudai_rts.arrays import FloatArray

GIB: Final = float(1 << 30)


@dataclass(frozen=True, slots=True)
class EnergyRates:
    """a, b and c of EDD 5.4: watts for each core, GiB and GPU in use.

    Memory counts for nothing by default: its share is within the noise of the other two.
    """

    per_core: float = 8.0
    per_gib: float = 0.0
    per_gpu: float = 250.0

    def watts(self, cores: FloatArray, memory_bytes: FloatArray, gpus: FloatArray) -> FloatArray:
        """Power of tasks that use so much."""
        return cores * self.per_core + memory_bytes / GIB * self.per_gib + gpus * self.per_gpu


USUAL: Final = EnergyRates()
