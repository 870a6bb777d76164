"""Settings of the operator."""

from typing import Annotated

import msgspec
from msgspec import Meta

from cloudai_rts import contract


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set; every field has a flag and an environment twin."""

    kubeconfig: Annotated[str, Meta(description="kubeconfig file; empty: $KUBECONFIG or in-cluster")] = ""
    scheduler_name: Annotated[
        str, Meta(pattern=contract.NAME_PATTERN, max_length=63, description="scheduler of the pods")
    ] = contract.SCHEDULER_NAME
    namespace: Annotated[str, Meta(min_length=1, description="namespace of the Lease and the parameters")] = (
        contract.NAMESPACE
    )
    watch_namespaces: Annotated[
        tuple[str, ...], Meta(description="namespaces whose Tasks are handled, comma-separated; empty: all")
    ] = ()
    sla_multiplier: Annotated[float, Meta(ge=1, le=100, description="deadline = arrival + this x run time")] = 2.0
    retry_first_seconds: Annotated[float, Meta(gt=0, description="pause before the first retry, then doubled")] = 10.0
    retry_longest_seconds: Annotated[float, Meta(gt=0, description="longest pause between retries")] = 360.0
    node_gone_seconds: Annotated[float, Meta(ge=0, description="a node missing so long is gone")] = 30.0
    start_deadline_seconds: Annotated[
        float,
        Meta(gt=0, description="tried elsewhere after so long without a start; pulling an image does not count"),
    ] = 600.0
    break_glass_minutes: Annotated[
        float,
        Meta(ge=0, description="the scheduler silent for so long: Task pods go to default-scheduler; 0: never"),
    ] = 0.0
    mongodb_uri: Annotated[str, Meta(description="database of the history; empty: none is kept")] = ""
    mongodb_ca_file: Annotated[str, Meta(description="certificate authority of the database; makes TLS a must")] = ""
    workers: Annotated[int, Meta(ge=1, le=256, description="Tasks worked on at once")] = 16
    relist_seconds: Annotated[float, Meta(ge=5, description="full comparison with the API server")] = 300.0
    leader_elect: Annotated[bool, Meta(description="hold a Lease while working")] = True
    lease_duration_seconds: Annotated[float, Meta(gt=0, description="how long a Lease lasts")] = 15.0
    lease_renew_deadline_seconds: Annotated[float, Meta(gt=0, description="not renewed for so long: exit")] = 10.0
    lease_retry_seconds: Annotated[float, Meta(gt=0, description="pause between Lease requests")] = 2.0
    health_host: Annotated[str, Meta(description="address of /livez, /readyz and /metrics")] = "127.0.0.1"
    health_port: Annotated[int, Meta(ge=0, le=65535, description="its port; 0 picks a free one")] = 10362
    watch_silence_seconds: Annotated[float, Meta(ge=1, description="a watch silent for so long is dead")] = 75.0
    log_level: Annotated[str, Meta(pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least severe logged")] = "INFO"

    def __post_init__(self) -> None:
        if not self.lease_duration_seconds > self.lease_renew_deadline_seconds > 1.2 * self.lease_retry_seconds:
            raise ValueError(
                f"lease_duration_seconds ({self.lease_duration_seconds}) must be above lease_renew_deadline_seconds "
                f"({self.lease_renew_deadline_seconds}), and that above 1.2 x lease_retry_seconds "
                f"({self.lease_retry_seconds})"
            )
