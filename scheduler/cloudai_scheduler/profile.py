"""What differs between the scheduler names that one process serves: the parts of kube-scheduler's profiles we have.

Upstream: `KubeSchedulerProfile` with NodeAffinityArgs, NodeResourcesFitArgs and the score plugins' weights.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from cloudai_kube.objects import Container, NodeAffinity, Pod, Resources

_Resource = Annotated[str, Meta(pattern=r"^[^/]+/[^/]+$", max_length=317)]
_Group = Annotated[str, Meta(pattern=r"^[^/]+$", max_length=253)]
Score = Literal[
    "NodeResourcesFit",
    "NodeResourcesBalancedAllocation",
    "TaintToleration",
    "NodeAffinity",
    "VolumeBinding",
    "PodTopologySpread",
    "InterPodAffinity",
    "ImageLocality",
]
_Weight = Annotated[int, Meta(ge=0, le=100)]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How pods of one scheduler name are placed.

    `added_affinity` holds for all of them beside their own (a NodeAffinity as in a pod). Of extended resources in
    `ignored_resources`, or in one of the `ignored_resource_groups` (what stands before the slash), no node has to have
    room. `weights` by upstream's name of a score plugin; 0 switches it off.
    """

    added_affinity: dict[str, Any] = {}
    ignored_resources: tuple[_Resource, ...] = ()
    ignored_resource_groups: tuple[_Group, ...] = ()
    weights: dict[Score, _Weight] = {}

    def __post_init__(self) -> None:
        """Refuse an affinity of another form: what cannot be read would be ignored in silence."""
        try:
            affinity = self.affinity
        except msgspec.ValidationError as error:
            problem = str(error).replace(" - at `$.", ", at `")
            raise ValueError(f"added_affinity: {problem}; write a NodeAffinity as in a pod") from None
        unknown = sorted(_unknown(self.added_affinity, affinity))
        if unknown:
            raise ValueError(f"added_affinity: unknown field {unknown[0]}; write a NodeAffinity as in a pod")

    @property
    def affinity(self) -> NodeAffinity:
        """The added affinity as it is read."""
        return msgspec.convert(self.added_affinity, NodeAffinity)

    def ignores(self, resource: str) -> bool:
        """Whether nodes need no room for it."""
        return resource in self.ignored_resources or resource.partition("/")[0] in self.ignored_resource_groups

    def seen(self, pod: Pod) -> Pod:
        """The pod without what it asks for of ignored resources; the same object where it asks for none."""
        if not (self.ignored_resources or self.ignored_resource_groups):
            return pod
        spec = pod.spec
        containers = [*spec.containers, *spec.initContainers]
        if not any(
            self.ignores(name)
            for container in containers
            for name in (*container.resources.requests, *container.resources.limits)
        ):
            return pod
        kept = msgspec.structs.replace(
            spec,
            containers=[self._seen(container) for container in spec.containers],
            initContainers=[self._seen(container) for container in spec.initContainers],
        )
        return msgspec.structs.replace(pod, spec=kept)

    def _seen(self, container: Container) -> Container:
        requests, limits = (
            {name: amount for name, amount in asked.items() if not self.ignores(name)}
            for asked in (container.resources.requests, container.resources.limits)
        )
        return msgspec.structs.replace(container, resources=Resources(requests, limits))


def _unknown(given: Any, read: Any, path: str = "") -> set[str]:  # noqa: ANN401  JSON and what became of it
    """Paths of what was given and not read."""
    if isinstance(given, list) and isinstance(read, list):
        return {name for left, right in zip(given, read, strict=True) for name in _unknown(left, right, f"{path}[]")}
    if not isinstance(given, dict) or not isinstance(read, msgspec.Struct):
        return set()
    known = {key for key in given if key in read.__struct_fields__}
    deeper = (_unknown(given[key], getattr(read, key), f"{path}.{key}") for key in known)
    return {f"{path}.{key}".lstrip(".") for key in given if key not in known}.union(*deeper)


STOCK: Final = Profile()
"""That of kube-scheduler without any configuration."""
Profiles = Mapping[str, Profile]
"""By scheduler name; a name that is not there has the stock profile."""
