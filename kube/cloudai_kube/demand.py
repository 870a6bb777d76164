"""What a pod asks of a node: resources (with init containers, sidecars, overhead, in-place resizes) and host ports.

Upstream semantics: component-helpers `resource/helpers.go` PodRequests, v1.36. Amounts are integers: millicores, bytes,
devices; every pod also asks for one of the node's pod slots.
"""

from dataclasses import dataclass
from typing import Final

from cloudai_kube import quantity
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import Container, ContainerStatus, Pod, Quantities
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
    """
    statuses = {status.name: status for status in pod.status.containerStatuses}
    init_statuses = {status.name: status for status in pod.status.initContainerStatuses}
    infeasible = any(c.type == "PodResizePending" and c.reason == "Infeasible" for c in pod.status.conditions)
    total: Amounts = {}
    for container in pod.spec.containers:
        _add(total, _container_requests(container, statuses.get(container.name), infeasible, usual))
    total = _with_init_containers(total, pod.spec.initContainers, init_statuses, infeasible, usual)
    if pod.spec.resources is not None:
        for name, amount in amounts_of(pod.spec.resources.requests).items():
            if name in _POD_LEVEL or name.startswith("hugepages-"):
                total[name] = amount
        for reported in (pod.status.allocatedResources, _pod_level_actual(pod)):
            _raise(total, {name: amount for name, amount in amounts_of(reported).items() if name in _POD_LEVEL})
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


def _container_requests(
    container: Container, status: ContainerStatus | None, infeasible: bool, usual: Amounts | None
) -> Amounts:
    """Spec, or more where a resize is under way: the largest of spec, allocated and actual resources counts.

    A resize that the kubelet calls infeasible will not happen: then what was asked for does not count.
    """
    if infeasible and status is not None and status.allocatedResources:
        requests = amounts_of(status.allocatedResources)
        if status.resources is not None:
            _raise(requests, amounts_of(status.resources.requests))
        return requests
    asked = container.resources
    if status is None and not asked.requests and not asked.limits:
        return usual or {}
    if usual is None:
        requests = amounts_of({**asked.limits, **asked.requests})
    else:
        given = {**asked.limits, **asked.requests}
        requests = {**usual, **amounts_of({name: given[name] for name in usual if name in given})}
    if status is not None:
        _raise(requests, amounts_of(status.allocatedResources))
        if status.resources is not None:
            _raise(requests, amounts_of(status.resources.requests))
    return requests


def _with_init_containers(
    total: Amounts,
    init_containers: list[Container],
    statuses: dict[str, ContainerStatus],
    infeasible: bool,
    usual: Amounts | None,
) -> Amounts:
    """Sidecars run beside everything after them; a plain init container runs beside the sidecars before it."""
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in init_containers:
        requests = _container_requests(container, statuses.get(container.name), infeasible, usual)
        # Only what this container names can be a new peak: a pod may name thousands of resources in thousands of them.
        beside = {name: sidecars.get(name, 0) + amount for name, amount in requests.items()}
        _raise(peak, beside)
        if container.restartPolicy == "Always":
            sidecars |= beside
    _add(total, sidecars)
    _raise(total, peak)
    return total


def _pod_level_actual(pod: Pod) -> Quantities:
    return pod.status.resources.requests if pod.status.resources is not None else {}


def _add(total: Amounts, amounts: Amounts) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: Amounts, amounts: Amounts) -> None:
    for name, amount in amounts.items():
        if amount > total.get(name, 0):
            total[name] = amount
