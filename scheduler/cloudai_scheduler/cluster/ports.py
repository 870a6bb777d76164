"""Which host ports are taken where: looked up by port, so that a pod with thousands of them costs others nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloudai_kube.demand import ANY_IP, HostPort


@dataclass(slots=True)
class HostPorts:
    """Host ports in use: by protocol and port how many pods hold it, by slot and IP."""

    _holders: dict[tuple[str, int], dict[tuple[int, str], int]] = field(default_factory=dict)

    def occupy(self, slot: int, ports: frozenset[HostPort], sign: int = 1) -> None:
        """Count a pod's ports on a node (`sign=-1`: give them back)."""
        for protocol, ip, port in ports:
            holders = self._holders.get((protocol, port))
            if holders is None:
                holders = self._holders[protocol, port] = {}
            count = holders.get((slot, ip), 0) + sign
            if count > 0:
                holders[slot, ip] = count
                continue
            holders.pop((slot, ip), None)
            if not holders:
                del self._holders[protocol, port]

    @property
    def tally(self) -> Mapping[tuple[str, int], Mapping[tuple[int, str], int]]:
        """By protocol and port how many pods hold it, by slot and IP."""
        return self._holders

    def conflicts(self, ports: frozenset[HostPort]) -> set[int]:
        """Slots on which one of these ports is taken: same protocol and port, same IP or 0.0.0.0 on either side."""
        return {
            slot
            for protocol, ip, port in ports
            for slot, taken in self._holders.get((protocol, port), ())
            if ANY_IP in {ip, taken} or ip == taken
        }
