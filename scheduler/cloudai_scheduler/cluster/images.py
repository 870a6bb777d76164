"""Images that nodes report to have: sizes by name and slot."""

from dataclasses import dataclass, field
from typing import Any, Final

from cloudai_kube.objects import Image

MOST_IMAGES: Final = 100
"""Of one node: kubelets report 50 by default."""
MOST_NAMES: Final = 8
"""Of one image."""
_NONE: Final[dict[Any, int]] = {}


@dataclass(slots=True)
class Images:
    """All of them, in bytes."""

    _sizes: dict[str, dict[int, int]] = field(default_factory=dict)
    _of_slot: dict[int, dict[str, int]] = field(default_factory=dict)

    def put(self, slot: int, images: list[Image]) -> None:
        """Take what a node reports now."""
        new = {
            name: max(0, image.sizeBytes) for image in images[:MOST_IMAGES] for name in (image.names or ())[:MOST_NAMES]
        }
        if new == self._of_slot.get(slot, _NONE):
            return
        for name in self._of_slot.pop(slot, ()):
            del self._sizes[name][slot]
            if not self._sizes[name]:
                del self._sizes[name]
        if new:
            self._of_slot[slot] = new
        for name, size in new.items():
            self._sizes.setdefault(name, {})[slot] = size

    def of(self, name: str) -> dict[int, int]:
        """Size of an image by the slots that have it."""
        return self._sizes.get(name, _NONE)
