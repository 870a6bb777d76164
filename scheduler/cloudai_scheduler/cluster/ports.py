"""Which host ports are taken where: looked up by port, so that a pod with thousands of them costs others nothing."""

from collections import Counter
from dataclasses import dataclass, field

from cloudai_kube.demand import ANY_IP, HostPort


@dataclass(slots=True)
class HostPorts:
    """Host ports in use by slot: how many pods hold each IP of a protocol and port."""

    _taken: dict[tuple[str, int], dict[int, Counter[str]]] = field(default_factory=dict)

    def occupy(self, slot: int, ports: frozenset[HostPort], sign: int = 1) -> None:
        """Count a pod's ports on a node (`sign=-1`: give them back)."""
        for protocol, ip, port in ports:
            slots = self._taken.setdefault((protocol, port), {})
            ips = slots.setdefault(slot, Counter())
            ips[ip] += sign
            if ips[ip] <= 0:
                del ips[ip]
            if not ips:
                del slots[slot]
            if not slots:
                del self._taken[protocol, port]

    def conflicts(self, ports: frozenset[HostPort]) -> set[int]:
        """Slots on which one of these ports is taken: same protocol and port, same IP or 0.0.0.0 on either side."""
        found: set[int] = set()
        for protocol, ip, port in ports:
            for slot, ips in self._taken.get((protocol, port), {}).items():
                if ip == ANY_IP or ANY_IP in ips or ip in ips:
                    found.add(slot)
        return found
