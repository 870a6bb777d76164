"""docs/metrics.md: what the scheduler and the operator tell Prometheus, as it stands in the code."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cloudai_kube.request_counts import RequestCounts
from cloudai_operator.metrics import OperatorMetrics
from cloudai_scheduler.metrics import SchedulerMetrics

PAGE: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
_HEADER: Final = """# Metrics

`/metrics` of the scheduler (port 10361) and of the operator (10362), written by `make chart` from the code. Names are
those of kube-scheduler under our prefix where the meaning is the same.
"""


def page() -> str:
    """The page as the code is now."""
    registry = CollectorRegistry()
    shared = next(iter(RequestCounts(()).collect()))
    both = f"| `{shared.name}_total` | counter | `method`, `code` | {shared.documentation} |\n"
    parts = [_HEADER]
    for title, metrics in (
        ("Scheduler", SchedulerMetrics(registry)),
        ("Operator, and what the optimizer left behind", OperatorMetrics(registry)),
    ):
        parts.append(f"\n## {title}\n\n| name | kind | labels | what it is |\n| --- | --- | --- | --- |\n")
        parts += [f"| `{name}` | {kind} | {labels} | {text} |\n" for name, kind, labels, text in _rows(metrics)]
        parts.append(both)
    return "".join(parts)


def _rows(metrics: SchedulerMetrics | OperatorMetrics) -> Iterator[tuple[str, str, str, str]]:
    """Name, kind, labels and meaning of each."""
    for field in dataclasses.fields(metrics):
        metric = getattr(metrics, field.name)
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001  no other way to read them
            name = f"{family.name}_total" if isinstance(metric, Counter) else family.name
            yield name, family.type, labels, family.documentation
