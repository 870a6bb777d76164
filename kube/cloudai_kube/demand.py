"""What a pod asks of a node: resources (with init containers, sidecars, overhead, in-place resizes) and host ports.

Upstream semantics: component-helpers `resource/helpers.go` PodRequests, v1.36. Amounts are integers: millicores, bytes,
devices; every pod also asks for one of the node's pod slots.
"""

from collections.abc import Iterable

from cloudai_kube import quantity
from cloudai_kube.objects import Container, ContainerStatus, Pod, Quantities
from cloudai_rts.contract import PODS

Amounts = dict[str, int]
HostPort = tuple[str, str, int]
"""Protocol, host IP (0.0.0.0 = all of them), port."""

_POD_LEVEL = ("cpu", "memory")
_ANY_IP = "0.0.0.0"  # noqa: S104  the wildcard that Kubernetes itself uses, compared and never bound


def amounts_of(quantities: Quantities) -> Amounts:
    """Read resource amounts. Raises `FormatError` that names the value."""
    return {name: quantity.resource(name, str(value)) for name, value in quantities.items()}


def requests_of(pod: Pod) -> Amounts:
    """All that the pod asks for, as the scheduler and the kubelet count it."""
    statuses = {status.name: status for status in pod.status.containerStatuses}
    init_statuses = {status.name: status for status in pod.status.initContainerStatuses}
    infeasible = any(c.type == "PodResizePending" and c.reason == "Infeasible" for c in pod.status.conditions)
    total: Amounts = {}
    for container in pod.spec.containers:
        _add(total, _container_requests(container, statuses.get(container.name), infeasible))
    total = _with_init_containers(total, pod.spec.initContainers, init_statuses, infeasible)
    if pod.spec.resources is not None:
        for name, amount in amounts_of(pod.spec.resources.requests).items():
            if name in _POD_LEVEL or name.startswith("hugepages-"):
                total[name] = amount
        for reported in (pod.status.allocatedResources, _pod_level_actual(pod)):
            _raise(total, {name: amount for name, amount in amounts_of(reported).items() if name in _POD_LEVEL})
    _add(total, amounts_of(pod.spec.overhead))
    total = {name: amount for name, amount in total.items() if amount > 0}
    total[PODS] = 1
    return total


def host_ports_of(pod: Pod) -> frozenset[HostPort]:
    """Host ports of containers and of sidecars; plain init containers are gone before the others start."""
    sidecars = (container for container in pod.spec.initContainers if container.restartPolicy == "Always")
    return frozenset(
        (port.protocol or "TCP", port.hostIP or _ANY_IP, port.hostPort)
        for container in (*pod.spec.containers, *sidecars)
        for port in container.ports
        if port.hostPort > 0
    )


def ports_conflict(wanted: Iterable[HostPort], used: Iterable[HostPort]) -> bool:
    """Same protocol and port, and the same IP or 0.0.0.0 on either side."""
    taken: dict[tuple[str, int], set[str]] = {}
    for protocol, ip, port in used:
        taken.setdefault((protocol, port), set()).add(ip)
    for protocol, ip, port in wanted:
        ips = taken.get((protocol, port))
        if ips and (ip == _ANY_IP or _ANY_IP in ips or ip in ips):
            return True
    return False


def _container_requests(container: Container, status: ContainerStatus | None, infeasible: bool) -> Amounts:
    """Spec, or more where a resize is under way: the largest of spec, allocated and actual resources counts.

    A resize that the kubelet calls infeasible will not happen: then what was asked for does not count.
    """
    if infeasible and status is not None and status.allocatedResources:
        requests = amounts_of(status.allocatedResources)
        if status.resources is not None:
            _raise(requests, amounts_of(status.resources.requests))
        return requests
    requests = amounts_of(container.resources.requests)
    for name, amount in amounts_of(container.resources.limits).items():
        requests.setdefault(name, amount)
    if status is not None:
        _raise(requests, amounts_of(status.allocatedResources))
        if status.resources is not None:
            _raise(requests, amounts_of(status.resources.requests))
    return requests


def _with_init_containers(
    total: Amounts, init_containers: list[Container], statuses: dict[str, ContainerStatus], infeasible: bool
) -> Amounts:
    """Sidecars run beside everything after them; a plain init container runs beside the sidecars before it."""
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in init_containers:
        requests = _container_requests(container, statuses.get(container.name), infeasible)
        if container.restartPolicy == "Always":
            _add(sidecars, requests)
            _raise(peak, sidecars)
        else:
            beside = dict(sidecars)
            _add(beside, requests)
            _raise(peak, beside)
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
