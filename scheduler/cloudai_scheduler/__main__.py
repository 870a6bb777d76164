"""The command line of the scheduling process."""

import gc

from cloudai_kube import connection, logs
from cloudai_kube.errors import ConfigurationError
from cloudai_kube.settings import parse_command_line
from cloudai_scheduler.settings import Settings


def main() -> None:
    """Run the scheduler until SIGTERM (exit 0) or until the lease is lost (exit 1)."""
    # Long-lived records by the hundred thousand: scanning them all over again is the collector's main cost.
    gc.set_threshold(50_000, 50, 100)
    settings = parse_command_line(
        Settings,
        "cloudai-scheduler",
        "Binds pods that name it to the node with the least risk of finishing late.",
        "cloudai-scheduler --kubeconfig ~/.kube/config --health-port 10361",
        aliases={
            "KUBECONFIG": "kubeconfig",
            "PROMETHEUS_URL": "prometheus_url",
            "SCHED_SLA_MULTIPLIER": "sla_multiplier",
        },
    )
    logs.begin(settings.log_level)
    try:
        server = connection.load(settings.kubeconfig)
        settings.access()
    except ConfigurationError as error:
        logs.complain("cloudai-scheduler", error)
        raise SystemExit(2) from error
    from cloudai_scheduler import process  # most of the time of a start, which nobody else has to wait for

    process.run(settings, server)


if __name__ == "__main__":
    main()
