"""Slots in the order in which something about them changed, for those who keep answers and bring them up to date."""

from dataclasses import dataclass, field
from typing import Final

REMEMBERED: Final = 4096
"""And twice as many as there are nodes: readers that have not looked for longer begin anew."""


@dataclass(slots=True)
class Journal:
    """The last changes; `forgotten` counts those that were dropped from its beginning."""

    slots: list[int] = field(default_factory=list)
    forgotten: int = 0

    def __len__(self) -> int:
        """How many changes there have been."""
        return self.forgotten + len(self.slots)

    def note(self, slot: int, width: int) -> None:
        """A slot of `width` has changed."""
        self.slots.append(slot)
        if len(self.slots) > REMEMBERED + 2 * width:
            self.forgotten += len(self.slots)
            self.slots.clear()

    def since(self, seen: int) -> list[int] | None:
        """What has changed after so many changes, with repetitions; None: too much to say."""
        return None if seen < self.forgotten else self.slots[seen - self.forgotten :]
