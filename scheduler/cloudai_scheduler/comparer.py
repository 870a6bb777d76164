"""Is what we believe of the cluster what the API server says? Nodes, pods, and the sums that filters read.

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
from cloudai_kube.objects import Meta, Record
from cloudai_kube.transport import Transport, pause
from cloudai_scheduler.cluster.state import TERMINAL, ClusterState
from cloudai_scheduler.metrics import SchedulerMetrics

_log = logging.getLogger(__name__)
AGAIN_SECONDS: Final = 3.0
AT_ONCE: Final = 200
"""Nodes that are added up before others have their turn."""
MOST_NAMED: Final = 20
"""Differences that one log line names."""


class _Spec(Record):
    nodeName: str = ""


class _Status(Record):
    phase: str = ""


class _Pod(Record):
    metadata: Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class _Node(Record):
    metadata: Meta


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as the API server says. `kind` is node, pod or sum."""

    kind: str
    text: str


@dataclass(slots=True)
class Comparer:
    """Compares on demand (`ask`) and every `interval_seconds`; 0: on demand only. Reads, and changes nothing."""

    transport: Transport
    state: ClusterState
    metrics: SchedulerMetrics
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
        for kind in ("node", "pod", "sum"):
            self.metrics.cache_mismatches.labels(kind).inc(sum(difference.kind == kind for difference in lasting))
        if lasting:
            named = "; ".join(difference.text for difference in lasting[:MOST_NAMED])
            _log.error("cache mismatch, %d differences: %s", len(lasting), named)
        else:
            _log.info("no cache mismatch: %d nodes, %d pods", len(self.state.nodes), len(self.state.pods))

    async def _differences(self) -> list[Difference]:
        nodes = await listing.read(self.transport, "/api/v1/nodes", _node, {})
        pods = await listing.read(self.transport, "/api/v1/pods", _pod, {})
        differences = [*self._nodes({node.metadata.name for node in nodes.items}), *self._pods(pods.items)]
        slots = list(self.state.by_slot)
        for begin in range(0, len(slots), AT_ONCE):
            differences += sums(self.state, slots[begin : begin + AT_ONCE])
            await asyncio.sleep(0)
        return differences

    def _nodes(self, listed: set[str]) -> Iterator[Difference]:
        for name in sorted(listed - self.state.nodes.keys()):
            yield Difference("node", f"node {name} is not known")
        for name in sorted(self.state.nodes.keys() - listed):
            yield Difference("node", f"node {name} does not exist")

    def _pods(self, listed: list[_Pod]) -> Iterator[Difference]:
        bound = {pod.metadata.uid: pod for pod in listed if pod.spec.nodeName and pod.status.phase not in TERMINAL}
        for uid, pod in bound.items():
            placed = self.state.pods.get(uid)
            if placed is None or placed.node != pod.spec.nodeName:
                where = "nowhere" if placed is None else f"on {placed.node}"
                name = f"{pod.metadata.namespace}/{pod.metadata.name}"
                yield Difference("pod", f"pod {name} is on {pod.spec.nodeName}, and we count it {where}")
        for uid, placed in self.state.pods.items():
            if uid not in bound and not placed.assumed:
                name = f"{placed.namespace}/{placed.name}"
                yield Difference("pod", f"pod {name} is counted on {placed.node}, and is not there")


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


_decode_node = msgspec.json.Decoder(_Node).decode
_decode_pod = msgspec.json.Decoder(_Pod).decode


def _node(raw: listing.Json) -> _Node | None:
    try:
        return _decode_node(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def _pod(raw: listing.Json) -> _Pod | None:
    try:
        return _decode_pod(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
