"""The ledgers that filters read, counted anew from the pods on nodes: what each pod adds, and nothing else.

A ledger that is brought up to date with every event can drift; one that is counted anew cannot.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from cloudai_scheduler.cluster.neighbours import Neighbours
from cloudai_scheduler.cluster.pod_volumes import ClaimKey
from cloudai_scheduler.cluster.ports import HostPorts
from cloudai_scheduler.cluster.shares import Shares
from cloudai_scheduler.cluster.state import ClusterState, PlacedPod

_Key = TypeVar("_Key")


@dataclass(slots=True)
class Recount:
    """Host ports, neighbours, shares of namespaces, and claims in use."""

    ports: HostPorts = field(default_factory=HostPorts)
    neighbours: Neighbours = field(default_factory=Neighbours)
    shares: Shares = field(default_factory=Shares)
    claims: dict[int, Counter[ClaimKey]] = field(default_factory=dict)

    def add(self, placed: PlacedPod, slot: int) -> None:
        """Count a pod on a node."""
        self.ports.occupy(slot, placed.ports)
        self.neighbours.occupy(slot, placed.neighbour)
        self.shares.hold(placed.namespace, placed.amounts)
        if placed.volumes.keys:
            self.claims.setdefault(slot, Counter()).update(placed.volumes.keys)

    def differences(self, state: ClusterState) -> Iterator[str]:
        """What the state has otherwise."""
        for protocol, port in _differing(self.ports.tally, state.ports.tally):
            yield f"host port {port}/{protocol} is held by others than the pods say"
        for namespace in _differing(self.neighbours.tally, state.neighbours.tally):
            yield f"the neighbours counted in namespace {namespace} are not its pods"
        for namespace in _differing(self.shares.tally, state.shares.tally):
            yield f"namespace {namespace} holds other amounts than its pods do"
        for slot in _differing(self.claims, state.storage.on_slot):
            yield f"the claims in use on {state.fleet.names[slot]} are not those of its pods"


def _differing(anew: Mapping[_Key, object], kept: Mapping[_Key, object]) -> list[_Key]:
    return [key for key in anew.keys() | kept.keys() if anew.get(key) != kept.get(key)]
