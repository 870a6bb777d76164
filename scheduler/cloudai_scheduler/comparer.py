"""Is what we believe of the cluster what the API server says? Nodes, pods, the queue, and all that filters add up.

Watches have lost events (etcd#17529, #18089), and every ledger can have a bug. A difference counts only if it is there
twice in a row: between a list and our own state there are always events under way. On a timer, and on SIGUSR2.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from cloudai_kube import listing
from cloudai_kube.errors import KubeError
from cloudai_kube.objects import Node, Pod
from cloudai_kube.transport import Transport, pause
from cloudai_scheduler import recount
from cloudai_scheduler.cluster.interned import Interned
from cloudai_scheduler.cluster.state import TERMINAL, ClusterState
from cloudai_scheduler.scheduler import Scheduler

_log = logging.getLogger(__name__)
KINDS: Final = ("node", "pod", "sum", "ledger")
AGAIN_SECONDS: Final = 3.0
AT_ONCE: Final = 200
"""Nodes that are added up before others have their turn."""
MOST_NAMED: Final = 20
"""Differences that one log line names."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A pod as the API server lists it, no more of it than is compared: there may be fifty thousand."""

    uid: str
    namespace: str
    name: str
    node: str
    amounts: tuple[tuple[str, int], ...]
    waits: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as the API server says, or as it adds up. `kind` is one of `KINDS`."""

    kind: str
    text: str


@dataclass(slots=True)
class Comparer:
    """Compares on demand (`ask`) and every `interval_seconds`; 0: on demand only. Reads, and changes nothing."""

    transport: Transport
    scheduler: Scheduler
    interval_seconds: float
    again_seconds: float = AGAIN_SECONDS
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self) -> None:
        """Compare now."""
        self._asked.set()

    async def run(self) -> None:
        """Compare for ever."""
        while True:
            self._asked.clear()
            if self.interval_seconds > 0:
                await pause(self.interval_seconds, self._asked)
            else:
                await self._asked.wait()
            try:
                lasting = await self.compare()
            except KubeError as error:
                _log.info("comparison with the API server: %s", error)
                continue
            self._tell(lasting)

    async def compare(self) -> list[Difference]:
        """Differences that last."""
        first = set(await self._differences())
        if not first:
            return []
        await asyncio.sleep(self.again_seconds)
        return [difference for difference in await self._differences() if difference in first]

    def _tell(self, lasting: list[Difference]) -> None:
        for kind in KINDS:
            self.scheduler.metrics.cache_mismatches.labels(kind).inc(
                sum(difference.kind == kind for difference in lasting)
            )
        if lasting:
            named = "; ".join(difference.text for difference in lasting[:MOST_NAMED])
            _log.error("cache mismatch, %d differences: %s", len(lasting), named)
        else:
            state = self.scheduler.state
            _log.info("no cache mismatch: %d nodes, %d pods", len(state.nodes), len(state.pods))

    async def _differences(self) -> list[Difference]:
        state, strings = self.scheduler.state, Interned[tuple[tuple[str, int], ...]]()
        nodes = await listing.read(self.transport, "/api/v1/nodes", _node, {})
        pods = await listing.read(self.transport, "/api/v1/pods", lambda raw: self._pod(raw, strings), {})
        differences = [*self._nodes(nodes.items), *self._pods(pods.items)]
        slots = list(state.by_slot)
        for begin in range(0, len(slots), AT_ONCE):
            differences += sums(state, slots[begin : begin + AT_ONCE])
            await asyncio.sleep(0)
        return differences + [Difference("ledger", text) for text in await recount.differences(state)]

    def _nodes(self, listed: list[Node]) -> Iterator[Difference]:
        state, names = self.scheduler.state, {node.metadata.name for node in listed}
        for name in sorted(names - state.nodes.keys()):
            yield Difference("node", f"node {name} is not known")
        for name in sorted(state.nodes.keys() - names):
            yield Difference("node", f"node {name} does not exist")
        for node in listed:
            if node.metadata.name in state.nodes and not state.is_as_told(node):
                yield Difference("node", f"node {node.metadata.name} has other labels, taints or amounts than we know")

    def _pods(self, listed: list[_Seen]) -> Iterator[Difference]:
        known, uids = self.scheduler.state.pods, {seen.uid for seen in listed}
        for seen in listed:
            placed, name = known.get(seen.uid), f"pod {seen.namespace}/{seen.name}"
            if seen.waits and not self.scheduler.intake.knows(seen.uid):
                yield Difference("pod", f"{name} waits, and is not in the queue")
            if not seen.node:
                continue
            if placed is None or placed.node != seen.node:
                where = "nowhere" if placed is None else f"on {placed.node}"
                yield Difference("pod", f"{name} is on {seen.node}, and we count it {where}")
            elif not placed.assumed and tuple(sorted(placed.amounts.items())) != seen.amounts:
                yield Difference("pod", f"{name} holds other amounts than we count")
        on_nodes, under_way = {seen.uid for seen in listed if seen.node}, self.scheduler.commit.under_way
        for uid, placed in known.items():
            name = f"pod {placed.namespace}/{placed.name}"
            if uid not in on_nodes and not placed.assumed:
                yield Difference("pod", f"{name} is counted on {placed.node}, and is not there")
            if placed.assumed and uid not in uids and uid not in under_way:
                yield Difference("pod", f"{name} is assumed on {placed.node}, and does not exist")

    def _pod(self, raw: listing.Json, strings: Interned[tuple[tuple[str, int], ...]]) -> _Seen | None:
        try:
            pod = _decode_pod(raw)
        except (msgspec.DecodeError, RecursionError):
            return None
        meta, is_over = pod.metadata, pod.status.phase in TERMINAL
        is_ours = pod.spec.schedulerName in self.scheduler.intake.names and meta.deletionTimestamp is None
        amounts = tuple(sorted(self.scheduler.state.amounts_of(pod).items())) if pod.spec.nodeName else ()
        return _Seen(
            meta.uid,
            meta.namespace,
            meta.name,
            "" if is_over else pod.spec.nodeName,
            strings.of(amounts, amounts),
            is_ours and not is_over and not pod.spec.nodeName,
        )


def sums(state: ClusterState, slots: Iterable[int] | None = None) -> Iterator[Difference]:
    """Sums of nodes (all, or those in these slots) that are not those of the pods that we count there."""
    width = len(state.fleet)
    kept = {resource: state.fleet.requested(resource) for resource in state.fleet.resources}
    usual = {what: state.usage.of(index, width) for index, what in enumerate(("usual cpu", "usual memory"))}
    for slot in state.by_slot if slots is None else slots:
        if slot not in state.by_slot:
            continue
        wanted: Counter[str] = Counter()
        for placed in state.pods_on(slot):
            wanted.update(placed.amounts)
            wanted.update(dict(zip(usual, placed.usual, strict=True)))
        for what, row in {**kept, **usual}.items():
            if int(row[slot]) != wanted[what]:
                text = f"{what} of {state.fleet.names[slot]}: {row[slot]} instead of {wanted[what]}"
                yield Difference("sum", text)


_decode_node = msgspec.json.Decoder(Node).decode
_decode_pod = msgspec.json.Decoder(Pod).decode


def _node(raw: listing.Json) -> Node | None:
    try:
        return _decode_node(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
