"""Which namespaces a process works for: all of them, or those of one release among several in a cluster."""

from dataclasses import dataclass
from typing import Final

from cloudai_rts import contract


@dataclass(frozen=True, slots=True)
class Scope:
    """Names of namespaces; none means all. Requests go to each namespace alone, so no wider right is needed."""

    namespaces: tuple[str, ...] = ()

    def __contains__(self, namespace: str) -> bool:
        return not self.namespaces or namespace in self.namespaces

    def pods(self) -> dict[str, str]:
        """Path of the pods by namespace; the only key is empty where all namespaces are meant."""
        return self._paths("/api/v1", "pods")

    def tasks(self) -> dict[str, str]:
        """Path of the Tasks, likewise."""
        return self._paths(f"/apis/{contract.API_VERSION}", contract.PLURAL)

    def _paths(self, api: str, plural: str) -> dict[str, str]:
        if not self.namespaces:
            return {"": f"{api}/{plural}"}
        return {name: f"{api}/namespaces/{name}/{plural}" for name in sorted(set(self.namespaces))}


EVERYWHERE: Final = Scope()
