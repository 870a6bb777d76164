"""How many writes an API server gets of what can wait: texts that change again and again.

A first text always goes out; it is bounded by the number of objects. What repeats is bounded by time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

PER_SECOND: Final = 20.0
BURST: Final = 100.0


@dataclass(slots=True)
class WriteLimit:
    """A token bucket that is full at first: `per_second` writes on average, `burst` at once. `clock` in seconds."""

    per_second: float = PER_SECOND
    burst: float = BURST
    clock: Callable[[], float] = time.monotonic
    _tokens: float = field(init=False)
    _filled: float = field(init=False)

    def __post_init__(self) -> None:
        self._tokens, self._filled = self.burst, self.clock()

    def take(self) -> bool:
        """Whether one more write may be sent now."""
        now = self.clock()
        self._tokens = min(self.burst, self._tokens + self.per_second * max(0.0, now - self._filled))
        self._filled = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def pause_seconds(self) -> float:
        """How long it takes until `take` may succeed again."""
        return max(0.0, 1.0 - self._tokens) / self.per_second
