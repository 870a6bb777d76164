"""Equal values once: tens of thousands of pods ask for the same, bear the same labels, and stand on the same nodes."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

V = TypeVar("V")
MOST_KEPT: Final = 20_000
"""Then it begins anew: what is in use stays in use."""


@dataclass(slots=True)
class Interned(Generic[V]):
    """Values by what makes them equal. Nobody may change them."""

    _kept: dict[Hashable, V] = field(default_factory=dict)

    def of(self, key: Hashable, value: V) -> V:
        """The value that is kept for this key."""
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        return self._kept.setdefault(key, value)
