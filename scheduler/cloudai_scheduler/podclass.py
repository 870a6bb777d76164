"""Classes of pods: pods that ask the same of nodes and of other pods share an answer until something changes.

A class is the static part of the spec (its verdicts are shared more widely still), the requests, the host ports, and
for pods that require neighbours who they are themselves.
"""

import hashlib
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from cloudai_kube.demand import Amounts, Demand, HostPort, host_ports_of, requests_of
from cloudai_kube.objects import Affinity, Container, Meta, Pod, PodAffinity, PodSpec
from cloudai_rts.arrays import BoolArray
from cloudai_scheduler.cluster.pod_volumes import PLACED_BY
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.cluster.usage import Usual, usual_requests
from cloudai_scheduler.filters import FILTERS, node_declared_features, plugin_of, pod_topology_spread
from cloudai_scheduler.filters.base import Filter
from cloudai_scheduler.profile import STOCK, Profile, Profiles
from cloudai_scheduler.verdicts import SMALL_BYTES, Verdicts

REMEMBERED: Final = 2048
REMEMBERED_VERDICTS: Final = 512
"""Each has an entry for every node."""
REMEMBERED_BYTES: Final = 64 << 20
"""Of the specs of all remembered classes: a spec may have 1.5 MB."""
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class PodClass:
    """Pods with one spec, as far as nodes and other pods go.

    `amounts` are what a node must have room for, `held` what the pod then has of it: more, where its profile ignores
    resources. `usual` is what the default scheduler's scores count of it. `asks` are the filters that have something to
    say of it, each with what it reads of the pod. `failed_at` is the state's version, and what those filters went by,
    when no node could take any pod of it, nor evictions make room; `failure` is what is said then.
    """

    key: bytes
    amounts: Amounts
    held: Amounts
    ports: frozenset[HostPort]
    verdicts: Verdicts
    usual: Usual = (0, 0)
    size_bytes: int = 0
    asks: tuple[tuple[Filter[Any], Any], ...] = ()
    priority: int = 0
    may_preempt: bool = True
    failed_at: tuple[int, ...] = ()
    failure: str = ""
    _blamed: tuple[tuple[Filter[Any], Any], ...] = ()
    _blamed_mark: tuple[int, ...] = ()

    @property
    def allowed(self) -> BoolArray:
        """Slots that no static filter is against."""
        return self.verdicts.allowed

    @property
    def reasons(self) -> list[str | None]:
        """The static filter against each slot."""
        return self.verdicts.reasons

    @property
    def classes(self) -> tuple[str, ...]:
        """Node classes that it is meant for; empty: all."""
        return self.verdicts.classes

    def is_fresh(self, state: ClusterState) -> bool:
        """Whether the verdicts are those of the nodes as they are now."""
        return self.verdicts.is_fresh(state)

    def refresh(self, state: ClusterState, until: float = math.inf) -> bool:
        """Bring the verdicts up to date, until a moment at the latest. True once they are."""
        return self.verdicts.refresh(state, until)

    def note_failure(self, state: ClusterState, blamed: tuple[tuple[Filter[Any], Any], ...], for_all: str) -> None:
        """No node could take a pod because of these filters; `for_all` says so of every pod of this class, "" not."""
        self._blamed, self._blamed_mark = blamed, _mark(blamed, state)
        self.failed_at = (state.version, *_mark(self.asks, state)) if for_all else ()
        self.failure = for_all

    @property
    def kept_out_by(self) -> tuple[str, ...]:
        """Names of the filters that were against nodes when a pod of it found none."""
        static = {plugin_of(reason) for reason in self.verdicts.against}
        return (*sorted(static), *(filter_.name for filter_, _ in self._blamed))

    def has_failed(self, state: ClusterState) -> bool:
        """Whether nothing that could help has happened since no node could take any pod of it."""
        return bool(self.failed_at) and self.failed_at == (state.version, *_mark(self.asks, state))

    def surroundings_changed(self, state: ClusterState) -> bool:
        """Whether what stood in the way has gone, or what was missed has come: the hint to look again."""
        return self._blamed_mark != _mark(self._blamed, state)


def _mark(asks: tuple[tuple[Filter[Any], Any], ...], state: ClusterState) -> tuple[int, ...]:
    return tuple(number for filter_, ask in asks for number in filter_.mark(ask, state))


@dataclass(slots=True)
class ClassTable:
    """All classes in use and their verdicts, the least recently used ones dropped."""

    profiles: Profiles = field(default_factory=dict)
    _classes: OrderedDict[bytes, PodClass] = field(default_factory=OrderedDict)
    _verdicts: OrderedDict[bytes, Verdicts] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def of(self, pod: Pod) -> PodClass:
        """Return the class of an unbound pod. Raises `FormatError` if its requests cannot be read."""
        profile = self.profiles.get(pod.spec.schedulerName, STOCK)
        held, pod = pod, profile.seen(pod)
        sample = _relevant(pod)
        features = node_declared_features.needed_by(pod)
        given = () if profile is STOCK else (profile.added_affinity, _relevant(held))
        spec = _encode((sample, sorted(features), given))
        key = _short(spec)
        known = self._classes.get(key)
        if known is not None:
            self._classes.move_to_end(key)
            return known
        amounts, ports = requests_of(sample), host_ports_of(sample)
        without_status = Pod(
            metadata=pod.metadata, spec=pod.spec
        )  # what it reports is no part of what its like ask for
        asked = ((filter_, filter_.asks(without_status, Demand(amounts, ports))) for filter_ in FILTERS)
        asks = tuple((filter_, ask) for filter_, ask in asked if ask is not None)
        usual = usual_requests(sample)
        verdicts = self._verdicts_of(sample, profile)
        whole = amounts if pod is held else requests_of(_relevant(held))
        may_preempt = sample.spec.preemptionPolicy != "Never"
        parts = (key, amounts, whole, ports, verdicts, usual, len(spec), asks)
        new = PodClass(*parts, sample.spec.priority, may_preempt)
        self._classes[key] = new
        self._bytes += new.size_bytes
        while len(self._classes) > REMEMBERED or (self._bytes > REMEMBERED_BYTES and len(self._classes) > 1):
            self._bytes -= self._classes.popitem(last=False)[1].size_bytes
        return new

    def _verdicts_of(self, sample: Pod, profile: Profile) -> Verdicts:
        """The verdicts for all pods that ask the same of a node's static side."""
        static = _static(sample)
        spec = _encode((static.spec, profile.added_affinity))
        key = _short(spec)
        known = self._verdicts.get(key)
        if known is None:
            known = self._verdicts[key] = Verdicts(static, len(spec), profile.affinity)
            if len(self._verdicts) > REMEMBERED_VERDICTS:
                self._verdicts.popitem(last=False)
        else:
            self._verdicts.move_to_end(key)
        return known


def _short(spec: bytes) -> bytes:
    return spec if len(spec) <= SMALL_BYTES else hashlib.sha256(spec).digest()


def _static(sample: Pod) -> Pod:
    """What the static filters read of a pod."""
    spec = sample.spec
    affinity = Affinity(nodeAffinity=spec.affinity.nodeAffinity) if spec.affinity else None
    if affinity is not None and affinity.nodeAffinity is None:
        affinity = None
    kept = PodSpec(nodeSelector=spec.nodeSelector, affinity=affinity, tolerations=spec.tolerations)
    return Pod(metadata=Meta(), spec=kept)


def _relevant(pod: Pod) -> Pod:
    """The pod with nothing but what filters and requests rest on; who it is matters if it requires neighbours.

    Images, commands and most volumes are not: every pod has a volume of its own with a drawn name (its service
    account's token). Only those that bind it to nodes count.
    """
    spec = pod.spec
    affinity = spec.affinity and Affinity(
        nodeAffinity=spec.affinity.nodeAffinity,
        podAffinity=_required(spec.affinity.podAffinity),
        podAntiAffinity=_required(spec.affinity.podAntiAffinity),
    )
    spread = [
        constraint
        for constraint in spec.topologySpreadConstraints
        if constraint.whenUnsatisfiable == pod_topology_spread.HARD
    ]
    kept = PodSpec(
        nodeSelector=spec.nodeSelector,
        affinity=affinity,
        tolerations=spec.tolerations,
        containers=[_asking(container) for container in spec.containers],
        initContainers=[_asking(container) for container in spec.initContainers],
        overhead=spec.overhead,
        resources=spec.resources,
        topologySpreadConstraints=spread,
        priority=spec.priority,
        preemptionPolicy=spec.preemptionPolicy,
    )
    volumes = [volume for volume in spec.volumes if not PLACED_BY.isdisjoint(volume)]
    kept.volumes = [{key: volume[key] for key in ("name", *PLACED_BY) if key in volume} for volume in volumes]
    has_neighbours = bool(spread or (affinity and (affinity.podAffinity or affinity.podAntiAffinity)))
    meta = Meta()
    if has_neighbours or volumes:
        meta.namespace = pod.metadata.namespace
    if has_neighbours:
        meta.labels = pod.metadata.labels
    if any("ephemeral" in volume for volume in volumes):  # those claims are named after the pod, and belong to it
        meta.name, meta.uid = pod.metadata.name, pod.metadata.uid
    return Pod(metadata=meta, spec=kept)


def _required(wish: PodAffinity | None) -> PodAffinity | None:
    """The terms that must hold; None where there are only preferred ones."""
    terms = wish.requiredDuringSchedulingIgnoredDuringExecution if wish is not None else []
    return PodAffinity(requiredDuringSchedulingIgnoredDuringExecution=terms) if terms else None


def _asking(container: Container) -> Container:
    """What a container asks for."""
    return Container(resources=container.resources, ports=container.ports, restartPolicy=container.restartPolicy)
