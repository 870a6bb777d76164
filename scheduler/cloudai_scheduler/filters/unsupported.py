"""Constraints that this version does not read: nothing is placed as if they were not there.

A pod with a hard one stays unbound, with a condition that names the field and is not `Unschedulable` (autoscalers act
on that word). A mere wish is told of once. Fields that Kubernetes has added since count as hard.
"""

import re
from collections.abc import Iterator
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec

from cloudai_kube import nesting
from cloudai_kube.listing import Json
from cloudai_kube.objects import Container, Pod, PodSpec, Resources, TopologySpreadConstraint
from cloudai_scheduler.cluster.pod_volumes import MOST_CLAIMS, PLACED_BY
from cloudai_scheduler.cluster.selector import (
    MOST_REQUIREMENTS,
    MOST_TERMS,
    affordable,
    size_of_selector,
    size_of_term,
    size_of_wish,
)
from cloudai_scheduler.filters import pod_topology_spread

EVENT: Final = "ConstraintNotSupported"
PLACELESS_VOLUMES: Final = frozenset(
    {
        "emptyDir", "configMap", "secret", "downwardAPI", "projected", "hostPath", "nfs", "image", "csi", "gitRepo",
        "cephfs", "glusterfs", "fc", "flexVolume", "flocker", "quobyte", "scaleIO", "storageos", "photonPersistentDisk",
        "azureFile",
    }
)  # fmt: skip
"""Volumes that kube-scheduler 1.37 lets any node mount. Filters read `PLACED_BY`; all others are new or translated."""
IRRELEVANT: Final = frozenset(
    {
        "activeDeadlineSeconds", "automountServiceAccountToken", "dnsConfig", "dnsPolicy", "enableServiceLinks",
        "ephemeralContainers", "evictionResponders", "hostAliases", "hostIPC", "hostPID", "hostname",
        "hostnameOverride", "imagePullSecrets", "os", "priorityClassName", "readinessGates", "runtimeClassName",
        "securityContext", "serviceAccount", "serviceAccountName", "setHostnameAsFQDN", "shareProcessNamespace",
        "subdomain",
    }
)  # fmt: skip
"""Fields of a pod's spec (core/v1, 1.37) that ask nothing of a node that its admission has not turned into others."""
IRRELEVANT_IN_CONTAINERS: Final = frozenset(
    {
        "env", "envFrom", "imagePullPolicy", "lifecycle", "livenessProbe", "readinessProbe", "resizePolicy",
        "securityContext", "startupProbe", "stdin", "stdinOnce", "terminationMessagePath", "terminationMessagePolicy",
        "tty", "volumeDevices", "workingDir",
    }
)  # fmt: skip
"""Fields of a container (core/v1, 1.37) that ask nothing of a node."""
MOST_CONTAINERS: Final = 256
"""A pod with more of one kind waits: their fields are read a second time, and no kubelet can run so many."""
_TOO_MUCH: Final = f"more than {MOST_REQUIREMENTS} requirements, values and namespaces"
_UNKNOWN: Final = re.compile(r"unknown field `(?P<field>[^`]*)`(?: - at `\$(?P<path>[^`]*)`)?")


class _RawPod(msgspec.Struct):
    spec: dict[str, msgspec.Raw] = {}


def _strict(kind: Any) -> Any:  # noqa: ANN401  a type hint
    """The same type, but a field that it does not know is an error in it, and in everything that is part of it."""
    if get_origin(kind) in {Union, UnionType}:
        return Union[tuple(_strict(part) for part in get_args(kind))]  # noqa: UP007  put together at run time
    if get_origin(kind) is list:
        return list[_strict(get_args(kind)[0])]  # type: ignore[misc]  # as above
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return kind
    hints = get_type_hints(kind)
    fields = [(name, _strict(hints[name]) | None, None) for name in kind.__struct_fields__]
    return msgspec.defstruct(kind.__name__, fields, forbid_unknown_fields=True, gc=False)


_HINTS: Final = get_type_hints(PodSpec)
_STRICT: Final = {
    name: msgspec.json.Decoder(_strict(_HINTS[name]))
    for name in ("affinity", "tolerations", "topologySpreadConstraints", "resources", "schedulingGroup")
}
"""Parts of the spec in which an unknown field may ask something of a node."""
_resources = msgspec.json.Decoder(_strict(Resources))
_containers = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_shallow = msgspec.json.Decoder(_RawPod)
_decode_pod = msgspec.json.Decoder(Pod)


class Decode:
    """Reads a pod from JSON. Raises `msgspec.DecodeError`, and `RecursionError` never."""

    def __init__(self, names: frozenset[str] | None) -> None:
        """`names` are those of the schedulers whose pods are looked at; None: of all."""
        self._names = names

    def __call__(self, raw: Json) -> Pod:
        """The pod."""
        try:
            pod = _decode_pod.decode(raw)
            if not pod.spec.nodeName and (self._names is None or pod.spec.schedulerName in self._names):
                counts = {"containers": len(pod.spec.containers), "initContainers": len(pod.spec.initContainers)}
                pod.unread = tuple(unknown_fields(_shallow.decode(raw).spec, counts))
        except RecursionError:
            return self(nesting.cut(bytes(raw)))
        return pod


def unknown_fields(spec: dict[str, msgspec.Raw], counts: dict[str, int]) -> Iterator[str]:
    """Paths of the fields of a pod's spec that may ask something of a node and that nobody here has heard of.

    `counts`: how many containers there are of each kind.
    """
    for name in spec.keys() - PodSpec.__struct_fields__ - IRRELEVANT:
        yield f"spec.{name}"
    for name in _STRICT.keys() & spec.keys():
        yield from _unknown_in(_STRICT[name], spec[name], f"spec.{name}")
    for name in counts.keys() & spec.keys():
        if counts[name] > MOST_CONTAINERS:
            yield f"spec.{name} (more than {MOST_CONTAINERS}: their fields are not looked at)"
        else:
            yield from _unknown_in_containers(spec[name], f"spec.{name}")


def _unknown_in(decoder: "msgspec.json.Decoder[Any]", raw: msgspec.Raw, path: str) -> Iterator[str]:
    try:
        decoder.decode(raw)
    except msgspec.ValidationError as error:
        match = _UNKNOWN.search(str(error))
        if match is not None:
            yield f"{path}{match['path'] or ''}.{match['field']}"


def _unknown_in_containers(raw: msgspec.Raw, path: str) -> Iterator[str]:
    try:
        containers = _containers.decode(raw)
    except msgspec.ValidationError:
        return  # what is no list of containers is told of where requests are read
    for place, container in enumerate(containers):
        for field in container.keys() - Container.__struct_fields__ - IRRELEVANT_IN_CONTAINERS:
            yield f"{path}[{place}].{field}"
        if "resources" in container:
            yield from _unknown_in(_resources, container["resources"], f"{path}[{place}].resources")


def hard(pod: Pod) -> tuple[str, ...]:
    """The pod's constraints that no filter reads, by path; the pod must not be placed while there are any."""
    spec = pod.spec
    paths = list(pod.unread)
    known = {"ScheduleAnyway", pod_topology_spread.HARD}
    actions = {constraint.whenUnsatisfiable for constraint in spec.topologySpreadConstraints} - known
    paths += [f"spec.topologySpreadConstraints (whenUnsatisfiable: {action[:63]})" for action in sorted(actions)]
    paths += _too_many_terms(spec)
    kinds = {kind for volume in spec.volumes for kind in volume.keys() - {"name"}}
    paths += [f"spec.volumes.{kind}" for kind in sorted(kinds - PLACELESS_VOLUMES - PLACED_BY)]
    claims = sum("persistentVolumeClaim" in volume or "ephemeral" in volume for volume in spec.volumes)
    if claims > MOST_CLAIMS:
        paths.append(f"spec.volumes (more than {MOST_CLAIMS} claims)")
    if spec.resourceClaims:
        paths.append("spec.resourceClaims")
    if spec.schedulingGroup is not None:
        paths.append("spec.schedulingGroup")
    return tuple(paths)


def _too_many_terms(spec: PodSpec) -> Iterator[str]:
    """Required terms are read again and again for other pods, so there is a limit that upstream does not have."""
    affinity = spec.affinity
    wishes = (
        ("affinity.podAffinity", affinity.podAffinity if affinity else None),
        ("affinity.podAntiAffinity", affinity.podAntiAffinity if affinity else None),
    )
    for name, wish in wishes:
        required = wish.requiredDuringSchedulingIgnoredDuringExecution if wish is not None else []
        if len(required) > MOST_TERMS:
            yield f"spec.{name} (more than {MOST_TERMS} required terms)"
        elif len(affordable(required, size_of_term)) < len(required):
            yield f"spec.{name} ({_TOO_MUCH} in required terms)"
    spread = spec.topologySpreadConstraints
    if len(spread) > MOST_TERMS:
        yield f"spec.topologySpreadConstraints (more than {MOST_TERMS})"
    elif len(affordable(spread, size_of_constraint)) < len(spread):
        yield f"spec.topologySpreadConstraints ({_TOO_MUCH})"


def size_of_constraint(wish: TopologySpreadConstraint) -> int:
    """What a constraint asks of other pods."""
    return 2 * len(wish.matchLabelKeys) + size_of_selector(wish.labelSelector)


def soft(pod: Pod) -> tuple[str, ...]:
    """The pod's wishes of which only the first ones count, by path."""
    affinity = pod.spec.affinity
    wishes = (("podAffinity", affinity.podAffinity), ("podAntiAffinity", affinity.podAntiAffinity)) if affinity else ()
    paths = []
    for name, wish in wishes:
        preferred = wish.preferredDuringSchedulingIgnoredDuringExecution if wish is not None else []
        count = len(affordable(preferred, size_of_wish))
        if count < len(preferred):
            paths.append(f"spec.affinity.{name} (only the first {count} preferred terms)")
    return tuple(paths)
