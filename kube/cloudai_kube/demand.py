"""What a pod asks of a node: resources (with init containers, sidecars, overhead, in-place resizes) and host ports.

Upstream semantics: component-helpers `resource/helpers.go` PodRequests, v0.37. Amounts are integers: millicores, bytes,
devices; every pod also asks for one of the node's pod slots.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloudai_kube import quantity
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Container, Pod, Quantities
from cloudai_rts.contract import PODS

Amounts = dict[str, int]
HostPort = tuple[str, str, int]
"""Protocol, host IP (0.0.0.0 = all of them), port."""
MOST_RESOURCES: Final = 128
"""Of one node. Real ones name a dozen; every name that any node has costs a row of all nodes."""
MOST_OF_A_POD: Final = 1 << 47
"""128 TiB, or as many devices: 65,536 such pods on one node still add up within int64."""
_POD_LEVEL = ("cpu", "memory")
ANY_IP: Final = "0.0.0.0"  # noqa: S104  the wildcard that Kubernetes itself uses, compared and never bound


@dataclass(frozen=True, slots=True)
class Demand:
    """What a pod asks of its node: amounts of resources, and host ports."""

    amounts: Amounts
    ports: frozenset[HostPort]


def amounts_of(quantities: Quantities) -> Amounts:
    """Read resource amounts. Raises `FormatError` that names the value."""
    return {name: quantity.resource(name, str(value)) for name, value in quantities.items()}


def capacity_of(quantities: Quantities) -> tuple[Amounts, list[str]]:
    """What a node offers, and what is wrong with it: one resource that cannot be read costs that resource only.

    More than `MOST_RESOURCES` names are left out, the standard ones and then the first by name kept.
    """
    amounts: Amounts = {}
    problems: list[str] = []
    names = sorted(quantities, key=lambda name: ("/" in name, name))
    if len(names) > MOST_RESOURCES:
        problems.append(f"{len(names) - MOST_RESOURCES} of its {len(names)} resources are left out")
    for name in names[:MOST_RESOURCES]:
        try:
            amounts[name] = quantity.resource(name, str(quantities[name]))
        except FormatError as error:
            problems.append(f"{name} counts as 0: {error}")
    return amounts, problems


def countable(amounts: Amounts) -> Amounts:
    """What a pod that is on a node already counts there, so that sums stay within int64 whatever strangers ask for.

    An amount that no machine has was not given to it: its kubelet will refuse it.
    """
    if max(amounts.values(), default=0) <= MOST_OF_A_POD:
        return amounts
    return {name: amount for name, amount in amounts.items() if amount <= MOST_OF_A_POD}


def requests_of(pod: Pod, usual: Amounts | None = None) -> Amounts:
    """All that the pod asks for, as the scheduler and the kubelet count it.

    With `usual` only the resources that it names are read, and it is what a container counts as that does not say.
    While a resize is under way, the largest of three totals counts: what is asked, what the kubelet has granted, and
    what the containers have. What was asked does not count if the kubelet says that it will never be.
    """
    is_infeasible = _is_infeasible(pod)
    total = _total(pod, _asked, usual)
    reported = _reported(pod, is_infeasible, usual)
    if reported:
        total = {} if is_infeasible else total
        for amounts in reported:
            _raise(total, amounts)
    total |= _pod_level(pod, is_infeasible)
    _add(total, amounts_of(pod.spec.overhead))
    total = {name: min(amount, quantity.MAX_VALUE) for name, amount in total.items() if amount > 0}
    total[PODS] = 1
    return total


def host_ports_of(pod: Pod) -> frozenset[HostPort]:
    """Host ports of containers and of sidecars; plain init containers are gone before the others start."""
    sidecars = (container for container in pod.spec.initContainers if container.restartPolicy == "Always")
    return frozenset(
        (port.protocol or "TCP", port.hostIP or ANY_IP, port.hostPort)
        for container in (*pod.spec.containers, *sidecars)
        for port in container.ports
        if port.hostPort > 0
    )


def _is_infeasible(pod: Pod) -> bool:
    """Whether the kubelet says that the resize which waits will never be."""
    pending = next((condition for condition in pod.status.conditions if condition.type == "PodResizePending"), None)
    return pending is not None and pending.reason == "Infeasible"


def _asked(container: Container) -> Quantities:
    asked = container.resources
    return {**asked.limits, **asked.requests} if asked.limits else asked.requests


def _reported(pod: Pod, is_infeasible: bool, usual: Amounts | None) -> list[Amounts]:
    """What has been granted, and what the containers have; nothing where no kubelet says anything."""
    status = pod.status
    if status.allocatedResources and status.resources is not None and status.resources.requests:
        return [amounts_of(status.allocatedResources), amounts_of(status.resources.requests)]
    statuses = {container.name: container for container in (*status.initContainerStatuses, *status.containerStatuses)}
    if not is_infeasible and not any(said.allocatedResources or said.resources for said in statuses.values()):
        return []

    def granted(container: Container) -> Quantities:
        said = statuses.get(container.name)
        if said is not None and said.allocatedResources:
            return said.allocatedResources
        return {} if is_infeasible else _asked(container)

    def given(container: Container) -> Quantities:
        said = statuses.get(container.name)
        if said is not None and said.resources is not None and said.resources.requests:
            return said.resources.requests
        return granted(container)

    return [_total(pod, granted, usual), _total(pod, given, usual)]


def _total(pod: Pod, requests: Callable[[Container], Quantities], usual: Amounts | None) -> Amounts:
    """All containers together, by what each counts as.

    Sidecars run beside everything after them; a plain init container runs beside the sidecars before it.
    """
    total: Amounts = {}
    for container in pod.spec.containers:
        _add(total, _amounts(requests(container), usual))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in pod.spec.initContainers:
        is_sidecar = container.restartPolicy == "Always"
        # Only what this container names can be a new peak: a pod may name thousands of resources in thousands of them.
        for name, amount in _amounts(requests(container), usual).items():
            beside = sidecars.get(name, 0) + amount
            if beside > peak.get(name, 0):
                peak[name] = beside
            if is_sidecar:
                sidecars[name] = beside
    _add(total, sidecars)
    _raise(total, peak)
    return total


def _amounts(given: Quantities, usual: Amounts | None) -> Amounts:
    """Of one container."""
    if usual is None:
        return amounts_of(given)
    named = {name: given[name] for name in usual if name in given} if given else None
    return {**usual, **amounts_of(named)} if named else usual


def _pod_level(pod: Pod, is_infeasible: bool) -> Amounts:
    """What the pod asks for as a whole, or has: it stands in the place of its containers' sum."""
    if pod.spec.resources is None or not any(map(_is_pod_level, pod.spec.resources.requests)):
        return {}
    total = amounts_of(pod.spec.resources.requests)
    if pod.status.resources is not None:
        total = {} if is_infeasible else total
        _raise(total, amounts_of(pod.status.resources.requests))
        _raise(total, amounts_of(pod.status.allocatedResources))
    return {name: amount for name, amount in total.items() if _is_pod_level(name)}


def _is_pod_level(resource: str) -> bool:
    return resource in _POD_LEVEL or resource.startswith("hugepages-")


def _add(total: Amounts, amounts: Amounts) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: Amounts, amounts: Amounts) -> None:
    for name, amount in amounts.items():
        if amount > total.get(name, 0):
            total[name] = amount
