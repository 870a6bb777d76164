"""The ledgers that filters read, counted anew from the pods on nodes: what each pod adds, and nothing else.

A ledger that is brought up to date with every event can drift; one that is counted anew cannot. All pods are counted in
slices, during which others come and go; what differs then is counted once more in one go.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cloudai_kube.listing import Breath
from cloudai_scheduler.cluster.neighbours import Neighbours
from cloudai_scheduler.cluster.pod_volumes import ClaimKey
from cloudai_scheduler.cluster.ports import HostPorts
from cloudai_scheduler.cluster.shares import Shares
from cloudai_scheduler.cluster.state import ClusterState, PlacedPod

MOST_AT_ONCE: Final = 2_000
"""Pods that are counted in one go. Where more are in doubt nothing is said: next time it may be quieter."""
_Key = TypeVar("_Key")


@dataclass(slots=True)
class _Doubts:
    """What may be counted wrongly: host ports, namespaces (their neighbours, their shares), slots (their claims)."""

    ports: list[tuple[str, int]]
    neighbours: list[str]
    shares: list[str]
    slots: list[int]

    def concern(self, placed: PlacedPod, slot: int) -> bool:
        """Whether a pod is part of it."""
        if placed.namespace in self.neighbours or placed.namespace in self.shares or slot in self.slots:
            return True
        return any((protocol, port) in self.ports for protocol, _, port in placed.ports)


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

    def doubts(self, state: ClusterState) -> _Doubts:
        """What the state has otherwise."""
        return _Doubts(
            _differing(self.ports.tally, state.ports.tally),
            _differing(self.neighbours.tally, state.neighbours.tally),
            _differing(self.shares.tally, state.shares.tally),
            _differing(self.claims, state.storage.on_slot),
        )

    def differences(self, state: ClusterState, doubts: _Doubts) -> Iterator[str]:
        """Which of the doubts are differences; all pods that they concern have been counted."""
        for protocol, port in _still(doubts.ports, self.ports.tally, state.ports.tally):
            yield f"host port {port}/{protocol} is held by others than the pods say"
        for namespace in _still(doubts.neighbours, self.neighbours.tally, state.neighbours.tally):
            yield f"the neighbours counted in namespace {namespace} are not its pods"
        for namespace in _still(doubts.shares, self.shares.tally, state.shares.tally):
            yield f"namespace {namespace} holds other amounts than its pods do"
        for slot in _still(doubts.slots, self.claims, state.storage.on_slot):
            yield f"the claims in use on {state.fleet.names[slot]} are not those of its pods"


async def differences(state: ClusterState) -> list[str]:
    """What the ledgers say otherwise than the pods."""
    whole, breath = Recount(), Breath()
    for placed, slot in _on_nodes(state):
        whole.add(placed, slot)
        await breath.take()
    doubts = whole.doubts(state)
    concerned = [(placed, slot) for placed, slot in _on_nodes(state) if doubts.concern(placed, slot)]
    if len(concerned) > MOST_AT_ONCE:
        return []
    exact = Recount()
    for placed, slot in concerned:
        exact.add(placed, slot)
    return list(exact.differences(state, doubts))


def _on_nodes(state: ClusterState) -> list[tuple[PlacedPod, int]]:
    return [(placed, state.nodes[placed.node].slot) for placed in state.pods.values() if placed.node in state.nodes]


def _differing(anew: Mapping[_Key, object], kept: Mapping[_Key, object]) -> list[_Key]:
    return [key for key in anew.keys() | kept.keys() if anew.get(key) != kept.get(key)]


def _still(doubtful: Iterable[_Key], anew: Mapping[_Key, object], kept: Mapping[_Key, object]) -> list[_Key]:
    return [key for key in doubtful if anew.get(key) != kept.get(key)]
