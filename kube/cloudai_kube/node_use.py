"""What WORKER_STATS in MongoDB says of each node: power, overload, availability."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pymongo.database import Database
from pymongo.errors import PyMongoError

from cloudai_kube.errors import DatabaseError
from cloudai_kube.telemetry import MAX_DEVICE_WATTS
from cloudai_rts.contract import WORKER_STATS

MIN_GPU_MINUTES: Final = 10.0
"""Of busy GPUs, before the power of one of them is believed."""
BUSY_GPU: Final = 0.8
"""As much work of a node's GPUs together makes a minute count: in an idle one power over work says nothing."""


@dataclass(frozen=True, slots=True)
class NodeUse:
    """What was measured of each node, by name; what is not there was not measured.

    `watts` are means, `gpu_watts` those of a busy GPU; `overload` and `available` are shares of the time.
    """

    watts: Mapping[str, float] = field(default_factory=dict)
    gpu_watts: Mapping[str, float] = field(default_factory=dict)
    overload: Mapping[str, float] = field(default_factory=dict)
    available: Mapping[str, float] = field(default_factory=dict)


def read(database: Database[dict[str, Any]], since: float) -> NodeUse:
    """What WORKER_STATS says of each node since a moment (epoch seconds). Raises `DatabaseError`."""
    wanted = {"node": 1, "total_s": 1, "overload_s": 1, "watts": 1, "gpu": 1}
    try:
        return use_of(database[WORKER_STATS].find({"from": {"$gte": since}}, wanted))
    except PyMongoError as error:
        raise DatabaseError(f"MongoDB does not answer: {error}") from error


def use_of(minutes: Iterable[Mapping[str, Any]]) -> NodeUse:
    """Shares and means by node. A node is available in the minutes in which it was measured, as others were."""
    count: Counter[str] = Counter()
    total: defaultdict[str, float] = defaultdict(float)
    overload: defaultdict[str, float] = defaultdict(float)
    watts: defaultdict[str, float] = defaultdict(float)
    powered: Counter[str] = Counter()
    busy: defaultdict[str, float] = defaultdict(float)
    busy_watts: defaultdict[str, float] = defaultdict(float)
    for row in minutes:
        node = str(row.get("node", ""))
        if not row.get("total_s"):  # runs ended in it, and nothing was measured
            continue
        count[node] += 1
        total[node] += row.get("total_s") or 0.0
        overload[node] += row.get("overload_s") or 0.0
        if row.get("watts") is not None:
            watts[node] += row["watts"]
            powered[node] += 1
            if (row.get("gpu") or 0.0) >= BUSY_GPU:
                busy[node] += row["gpu"]
                busy_watts[node] += row["watts"]
    most = max(count.values(), default=1)
    return NodeUse(
        watts={node: watts[node] / powered[node] for node in powered},
        gpu_watts={
            node: min(MAX_DEVICE_WATTS, busy_watts[node] / busy[node]) for node in busy if busy[node] >= MIN_GPU_MINUTES
        },
        overload={node: overload[node] / total[node] for node in total if total[node] > 0},
        available={node: count[node] / most for node in count},
    )
