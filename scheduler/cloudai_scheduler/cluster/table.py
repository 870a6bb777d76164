"""Objects of one kind by namespace and name, as a reflector's store."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cloudai_kube.objects import Meta
from cloudai_kube.reflector import Kind

T = TypeVar("T", bound=Kind)
Key = tuple[str, str]
"""Namespace and name."""


@dataclass(slots=True)
class Table(Generic[T]):
    """Objects of one kind; `changed` is told of what went and of what came, once the table is as it is then."""

    changed: Callable[[T], None] = lambda _item: None
    items: dict[Key, T] = field(default_factory=dict)

    def retain(self, listed: list[Meta]) -> None:
        """Take a list."""
        keys = {(meta.namespace, meta.name) for meta in listed}
        for key in [key for key in self.items if key not in keys]:
            self.changed(self.items.pop(key))

    def apply(self, event: str, item: T) -> None:
        """Take an event."""
        key = (item.metadata.namespace, item.metadata.name)
        before = self.items.pop(key, None)
        if event != "DELETED":
            self.items[key] = item
        if before is not None:
            self.changed(before)
        self.changed(item)

    def get(self, name: str, namespace: str = "") -> T | None:
        """One object, None where there is none."""
        return self.items.get((namespace, name))
