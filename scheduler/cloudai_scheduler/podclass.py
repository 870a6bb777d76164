"""Classes of pods: pods that ask the same of nodes and of other pods share an answer until something changes.

A class is the static part of the spec (its verdicts are shared more widely still), the requests, the host ports, and
for pods that require neighbours who they are themselves.
"""

import hashlib
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import msgspec

from cloudai_kube.demand import Amounts, HostPort, host_ports_of, requests_of
from cloudai_kube.objects import Affinity, Container, Meta, Pod, PodAffinity, PodSpec
from cloudai_rts.arrays import BoolArray, FloatArray
from cloudai_scheduler.cluster.selector import Selection
from cloudai_scheduler.cluster.state import ClusterState
from cloudai_scheduler.filters import inter_pod_affinity, node_declared_features, pod_topology_spread
from cloudai_scheduler.filters.inter_pod_affinity import Wishes
from cloudai_scheduler.filters.pod_topology_spread import Constraint, Inclusion
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

    `spread` and `wishes` are what its pods require of their neighbours, `features` what of the kubelet. `failed_at` is
    the state's version, and what it saw of neighbours, when no node could take a pod of it.
    """

    key: bytes
    amounts: Amounts
    ports: frozenset[HostPort]
    verdicts: Verdicts
    size_bytes: int = 0
    spread: tuple[Constraint, ...] = ()
    wishes: Wishes = inter_pod_affinity.NONE
    features: frozenset[str] = frozenset()
    failed_at: tuple[int, ...] = ()
    _failed_mark: tuple[int, ...] = ()

    @property
    def allowed(self) -> BoolArray:
        """Slots that no static filter is against."""
        return self.verdicts.allowed

    @property
    def reasons(self) -> list[str | None]:
        """The static filter against each slot."""
        return self.verdicts.reasons

    @property
    def preference(self) -> FloatArray | None:
        """Wishes by slot, in 0..1; None without any."""
        return self.verdicts.preference

    @property
    def classes(self) -> tuple[str, ...]:
        """Node classes that it is meant for; empty: all."""
        return self.verdicts.classes

    @property
    def inclusion(self) -> Inclusion:
        """Nodes that its spread constraints count."""
        return Inclusion(self.verdicts.affine, self.verdicts.tolerated)

    def is_fresh(self, state: ClusterState) -> bool:
        """Whether the verdicts are those of the nodes as they are now."""
        return self.verdicts.is_fresh(state)

    def refresh(self, state: ClusterState, until: float = math.inf) -> bool:
        """Bring the verdicts up to date, until a moment at the latest. True once they are."""
        return self.verdicts.refresh(state, until)

    @property
    def selections(self) -> tuple[Selection, ...]:
        """Other pods whose coming and going may change the verdicts."""
        spread = tuple(one.selection for one in self.spread if one.selection is not None)
        return (*spread, *self.wishes.selections())

    def note_failure(self, state: ClusterState, for_all: bool, by_neighbours: bool) -> None:
        """No node could take a pod; `for_all`: nor any of this class. `by_neighbours`: other pods are a reason."""
        mark = state.neighbours.mark(self.selections)
        self.failed_at = (state.version, *mark) if for_all else ()
        self._failed_mark = mark if by_neighbours else ()

    def has_failed(self, state: ClusterState) -> bool:
        """Whether nothing that could help has happened since no node could take any pod of it."""
        return bool(self.failed_at) and self.failed_at == (state.version, *state.neighbours.mark(self.selections))

    def neighbours_changed(self, state: ClusterState) -> bool:
        """Whether pods that stood in the way have gone, or those that were missed have come: the hint to look again."""
        return bool(self._failed_mark) and self._failed_mark != state.neighbours.mark(self.selections)


@dataclass(slots=True)
class ClassTable:
    """All classes in use and their verdicts, the least recently used ones dropped."""

    _classes: OrderedDict[bytes, PodClass] = field(default_factory=OrderedDict)
    _verdicts: OrderedDict[bytes, Verdicts] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def of(self, pod: Pod) -> PodClass:
        """Return the class of an unbound pod. Raises `FormatError` if its requests cannot be read."""
        sample = _relevant(pod)
        features = node_declared_features.asks(pod)
        spec = _encode((sample, sorted(features)))
        key = _short(spec)
        known = self._classes.get(key)
        if known is not None:
            self._classes.move_to_end(key)
            return known
        amounts, ports = requests_of(sample), host_ports_of(sample)
        spread, wishes = pod_topology_spread.asks(sample), inter_pod_affinity.asks(sample)
        new = PodClass(key, amounts, ports, self._verdicts_of(sample), len(spec), spread, wishes, features)
        self._classes[key] = new
        self._bytes += new.size_bytes
        while len(self._classes) > REMEMBERED or (self._bytes > REMEMBERED_BYTES and len(self._classes) > 1):
            self._bytes -= self._classes.popitem(last=False)[1].size_bytes
        return new

    def _verdicts_of(self, sample: Pod) -> Verdicts:
        """The verdicts for all pods that ask the same of a node's static side."""
        static = _static(sample)
        spec = _encode(static.spec)
        key = _short(spec)
        known = self._verdicts.get(key)
        if known is None:
            known = self._verdicts[key] = Verdicts(static, len(spec))
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

    Images, commands and volumes are not: every pod has a volume of its own with a drawn name (its service account's
    token), and a class of its own costs a judgement of every node.
    """
    spec = pod.spec
    affinity = spec.affinity and Affinity(
        nodeAffinity=spec.affinity.nodeAffinity,
        podAffinity=_required(spec.affinity.podAffinity),
        podAntiAffinity=_required(spec.affinity.podAntiAffinity),
    )
    spread = [one for one in spec.topologySpreadConstraints if one.whenUnsatisfiable == pod_topology_spread.HARD]
    kept = PodSpec(
        nodeSelector=spec.nodeSelector,
        affinity=affinity,
        tolerations=spec.tolerations,
        containers=[_asking(container) for container in spec.containers],
        initContainers=[_asking(container) for container in spec.initContainers],
        overhead=spec.overhead,
        resources=spec.resources,
        topologySpreadConstraints=spread,
    )
    has_neighbours = bool(spread or (affinity and (affinity.podAffinity or affinity.podAntiAffinity)))
    meta = Meta(namespace=pod.metadata.namespace, labels=pod.metadata.labels) if has_neighbours else Meta()
    return Pod(metadata=meta, spec=kept)


def _required(wish: PodAffinity | None) -> PodAffinity | None:
    """The terms that must hold; None where there are only preferred ones."""
    terms = wish.requiredDuringSchedulingIgnoredDuringExecution if wish is not None else []
    return PodAffinity(requiredDuringSchedulingIgnoredDuringExecution=terms) if terms else None


def _asking(container: Container) -> Container:
    """What a container asks for."""
    return Container(resources=container.resources, ports=container.ports, restartPolicy=container.restartPolicy)
