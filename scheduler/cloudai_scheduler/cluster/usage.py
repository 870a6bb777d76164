"""CPU and memory of the pods on each node as the default scheduler's scores count them: none takes nothing."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from cloudai_kube.demand import countable, requests_of
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Pod
from cloudai_rts.arrays import IntArray
from cloudai_rts.contract import CPU, MEMORY

USUAL: Final = {CPU: 100, MEMORY: 200 * 1024 * 1024}
"""Of a container that does not say: millicores and bytes (upstream's `DefaultMilliCPURequest` and its like)."""
Usual = tuple[int, int]


def usual_requests(pod: Pod) -> Usual:
    """CPU (millicores) and memory (bytes) of a pod; of containers that ask for neither what such ones usually take."""
    try:
        amounts = countable(requests_of(pod, USUAL))
    except FormatError:
        return USUAL[CPU], USUAL[MEMORY]
    return amounts.get(CPU, 0), amounts.get(MEMORY, 0)


@dataclass(slots=True)
class Usage:
    """Sums by slot."""

    _sums: IntArray = field(default_factory=lambda: np.zeros((2, 64), np.int64))

    def occupy(self, slot: int, usual: Usual, sign: int = 1) -> None:
        """Count a pod (`sign=-1`: take it back)."""
        while slot >= self._sums.shape[1]:
            self._sums = np.pad(self._sums, ((0, 0), (0, self._sums.shape[1])))
        self._sums[0, slot] += sign * usual[0]
        self._sums[1, slot] += sign * usual[1]

    def of(self, index: int, width: int) -> IntArray:
        """CPU (0) or memory (1) on each of the first `width` slots."""
        if width > self._sums.shape[1]:
            self._sums = np.pad(self._sums, ((0, 0), (0, width - self._sums.shape[1])))
        return self._sums[index, :width]
