"""WORKER_REGISTRY in MongoDB, for those who look back: machines that were there."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pymongo.database import Database
from pymongo.errors import PyMongoError

from cloudai_kube.errors import DatabaseError
from cloudai_rts.contract import WORKER_REGISTRY
from cloudai_rts.machine import Machine
from cloudai_rts.traces import FleetNode

SEEN_SECONDS: Final = 3_600.0
"""How old `seen` may be of a node that has not changed: thousands of writes an epoch say nothing."""


def gone_machines(database: Database[dict[str, Any]], machines: Iterable[Machine], since: float) -> list[Machine]:
    """Machines of WORKER_REGISTRY that were seen since (seconds since the epoch) and are there no more.

    Raises `DatabaseError`.
    """
    present = {machine.node.node for machine in machines}
    try:
        rows = list(database[WORKER_REGISTRY].find({"seen": {"$gte": since}}))
    except PyMongoError as error:
        raise DatabaseError(f"MongoDB does not answer: {error}") from error
    return [machine for row in rows if row["_id"] not in present and (machine := _machine(row)) is not None]


def _machine(row: Mapping[str, Any]) -> Machine | None:
    """A machine as it was registered; None if that cannot be read."""
    try:
        node = FleetNode(
            str(row["_id"]),
            float(row["cpu"]),
            int(row["memory"]),
            int(row["gpu"]),
            str(row["gpu_product"]),
            int(row["storage"]),
            int(row["pods"]),
        )
        devices = {str(device["resource"]): int(device["count"]) for device in row["devices"]}
        machine = Machine(
            node, str(row["node_class"]), devices, {}, float(row["since"]), float(row["seen"]) + SEEN_SECONDS
        )
    except (KeyError, TypeError, ValueError):
        return None
    return machine if node.cpu > 0 else None
