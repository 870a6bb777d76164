"""Requests to the API server by verb and answer, for Prometheus: client-go's `rest_client_requests_total`, ours."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from cloudai_kube.transport import Transport


class RequestCounts(Collector):
    """What the transports of a process were answered; `<error>` where no answer came. Costs nothing between scrapes."""

    def __init__(self, transports: Iterable[Transport]) -> None:
        self._transports = tuple(transports)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The one family."""
        family = CounterMetricFamily(
            "cloudai_rest_client_requests", "Requests to the API server by verb and answer", labels=("method", "code")
        )
        for transport in self._transports:
            for (method, code), count in sorted(transport.answers.items()):
                family.add_metric((method, code), count)
        yield family
