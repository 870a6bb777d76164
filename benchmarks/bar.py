"""Bars: what a benchmark's figures must reach. A command that measures says whether they do, and ends with 1 if not."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A figure and the range in which it has to lie."""

    what: str
    value: float
    least: float = -math.inf
    most: float = math.inf

    def holds(self) -> bool:
        """Whether it does; what is no number does not."""
        return self.least <= self.value <= self.most

    def text(self) -> str:
        """For people."""
        limits = [f"at least {self.least:g}"] if math.isfinite(self.least) else []
        limits += [f"at most {self.most:g}"] if math.isfinite(self.most) else []
        return f"{'holds ' if self.holds() else 'MISSED'}  {self.what}: {self.value:.4g} ({', '.join(limits)})"


def judge(bars: Sequence[Bar]) -> None:
    """Say on the standard error which bars hold; ends with 1 if one does not."""
    for bar in bars:
        sys.stderr.write(bar.text() + "\n")
    if not all(bar.holds() for bar in bars):
        raise SystemExit(1)
