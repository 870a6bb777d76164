"""Settings of the scheduler."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from cloudai_kube.prometheus_access import PrometheusSettings
from cloudai_rts import contract
from cloudai_rts.nodeclass import ACCELERATORS, PRODUCT_LABELS
from cloudai_scheduler.cluster.shares import HALF_LIFE_SECONDS
from cloudai_scheduler.profile import Profile

OBSERVE: Final = "observe"
MOST_BINDING: Final = 200
"""Bindings under way at once: the API server and etcd work in larger batches then, and take less for each. More than
245 of one account would queue at an API server with its default limits.
"""


class Settings(PrometheusSettings, frozen=True, forbid_unknown_fields=True):
    """What can be set; every field has a flag and an environment twin."""

    kubeconfig: Annotated[str, Meta(description="kubeconfig file; empty: $KUBECONFIG or in-cluster")] = ""
    scheduler_name: Annotated[
        str, Meta(pattern=contract.NAME_PATTERN, max_length=63, description="pods that name it are served")
    ] = contract.SCHEDULER_NAME
    scheduler_names: Annotated[
        tuple[Annotated[str, Meta(pattern=contract.NAME_PATTERN, max_length=63)], ...],
        Meta(description="further names that are served, comma-separated; default-scheduler replaces kube-scheduler"),
    ] = ()
    profiles: Annotated[
        dict[Annotated[str, Meta(pattern=contract.NAME_PATTERN, max_length=63)], Profile],
        Meta(description="by scheduler name: added_affinity, ignored_resources, ignored_resource_groups, weights"),
    ] = msgspec.field(default_factory=dict)
    mode: Annotated[
        str,
        Meta(pattern="^(schedule|observe)$", description="schedule, or observe: judge what others do"),
    ] = "schedule"
    namespace: Annotated[str, Meta(min_length=1, description="namespace of the Lease and the parameters")] = (
        contract.NAMESPACE
    )
    policy: Annotated[str, Meta(pattern="^(rts|round-robin)$", description="rts, or round-robin for comparison")] = (
        "rts"
    )
    sla_multiplier: Annotated[
        float, Meta(ge=1, le=100, description="deadline = arrival + this x declared run time")
    ] = 2.0
    telemetry_seconds: Annotated[float, Meta(ge=1, description="pause between questions to Prometheus")] = 15.0
    packed_resources: Annotated[
        tuple[str, ...],
        Meta(description="patterns of resources (*/gpu) whose nodes plain pods fill one by one, comma-separated"),
    ] = ()
    fair_share_half_life_seconds: Annotated[
        float,
        Meta(ge=0, description="at equal priority namespaces that had less lately go first; 0: deadlines alone decide"),
    ] = HALF_LIFE_SECONDS
    preemption: Annotated[bool, Meta(description="evict pods of lower priority for one that fits nowhere")] = True
    preemption_min_runtime_seconds: Annotated[
        float, Meta(ge=0, description="pods that have run less are not evicted for others")
    ] = 0.0
    leader_elect: Annotated[bool, Meta(description="hold a Lease while scheduling")] = True
    lease_duration_seconds: Annotated[float, Meta(gt=0, description="how long a Lease lasts")] = 15.0
    lease_renew_deadline_seconds: Annotated[float, Meta(gt=0, description="not renewed for so long: exit")] = 10.0
    lease_retry_seconds: Annotated[float, Meta(gt=0, description="pause between Lease requests")] = 2.0
    bind_connections: Annotated[int, Meta(ge=1, le=512, description="Bindings under way at once")] = MOST_BINDING
    health_host: Annotated[str, Meta(description="address of /livez, /readyz and /metrics")] = "127.0.0.1"
    health_port: Annotated[int, Meta(ge=0, le=65535, description="its port; 0 picks a free one")] = 10361
    compare_seconds: Annotated[
        float, Meta(ge=0, description="pause between comparisons of our state with the API server; 0: on SIGUSR2 only")
    ] = 600.0
    watch_silence_seconds: Annotated[float, Meta(ge=1, description="a watch silent for so long is dead")] = 75.0
    product_labels: Annotated[
        tuple[str, ...],
        Meta(min_length=1, description="node labels that name the accelerator, comma-separated"),
    ] = PRODUCT_LABELS
    accelerators: Annotated[
        tuple[str, ...], Meta(min_length=1, description="patterns of resources that are accelerators, comma-separated")
    ] = ACCELERATORS
    log_level: Annotated[str, Meta(pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least severe logged")] = "INFO"

    @property
    def names(self) -> frozenset[str]:
        """Scheduler names of the pods that are served."""
        return frozenset() if self.mode == OBSERVE else frozenset((self.scheduler_name, *self.scheduler_names))

    @property
    def evicts(self) -> bool:
        """Whether pods may be evicted for others."""
        return self.preemption and self.mode != OBSERVE

    def __post_init__(self) -> None:
        strange = sorted(set(self.profiles) - {self.scheduler_name, *self.scheduler_names})
        if strange:
            raise ValueError(
                f"profiles: {strange[0]} is no scheduler name that is served; add it to scheduler_names or remove it"
            )
        if not self.lease_duration_seconds > self.lease_renew_deadline_seconds > 1.2 * self.lease_retry_seconds:
            raise ValueError(
                f"lease_duration_seconds ({self.lease_duration_seconds}) must be above lease_renew_deadline_seconds "
                f"({self.lease_renew_deadline_seconds}), and that above 1.2 x lease_retry_seconds "
                f"({self.lease_retry_seconds})"
            )
