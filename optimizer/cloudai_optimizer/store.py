"""History from MongoDB: what finished in a window, and the statistics of nodes that the optimizer writes back.

Only calls that every server with MongoDB's protocol knows: find, sort, update_one with upsert, delete_many.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from cloudai_optimizer.errors import HistoryError
from cloudai_optimizer.window import Machine
from cloudai_rts import contract, history
from cloudai_rts.contract import TASK_HISTORY, WORKER_REGISTRY, WORKER_STATS
from cloudai_rts.history import Record

LONGEST_WINDOW: Final = 50_000


def connect(uri: str) -> Database[dict[str, Any]]:
    """The database; gives up after seconds, not after the driver's half minute."""
    client: MongoClient[dict[str, Any]] = MongoClient(
        uri, appname="cloudai-optimizer", serverSelectionTimeoutMS=3_000, connectTimeoutMS=3_000, timeoutMS=20_000
    )
    return client[contract.MONGODB_DATABASE]


def read(database: Database[dict[str, Any]], since: float) -> tuple[list[Record], int]:
    """Records that finished since (epoch seconds), the newest 50,000, and how many could not be read.

    Raises `HistoryError`.
    """
    try:
        cursor = database[TASK_HISTORY].find({"finish": {"$gte": since}}).sort("finish", -1).limit(LONGEST_WINDOW)
        found = [history.decode(raw) for raw in cursor]
    except PyMongoError as error:
        raise HistoryError(f"MongoDB does not answer: {error}") from error
    records = [record for record in found if record is not None]
    return records, len(found) - len(records)


def write_workers(
    database: Database[dict[str, Any]],
    machines: Sequence[Machine],
    stats: Mapping[str, Mapping[str, float]],
    now: float,
) -> None:
    """Bring WORKER_REGISTRY up to date and add one document a node to WORKER_STATS. Raises `HistoryError`."""
    minute = int(now // 60) * 60
    try:
        for machine in machines:
            node = machine.node
            registered = {
                "node_class": machine.node_class,
                "cpu": node.cpu,
                "memory": node.memory_bytes,
                "gpu": node.gpu,
                "gpu_product": node.gpu_product,
                "seen": now,
            }
            database[WORKER_REGISTRY].update_one({"_id": node.node}, {"$set": registered}, upsert=True)
            measured = dict(stats.get(node.node, {}))
            if measured:
                key = f"{node.node}/{minute}"
                body = {"node": node.node, "from": minute, **measured}
                database[WORKER_STATS].update_one({"_id": key}, {"$set": body}, upsert=True)
    except PyMongoError as error:
        raise HistoryError(f"MongoDB does not answer: {error}") from error


def prune(database: Database[dict[str, Any]], now: float) -> int:
    """Delete what is older than the retention; in code, because not every server has TTL indexes. Returns how many."""
    limit = now - contract.RETENTION_SECONDS
    try:
        deleted = database[TASK_HISTORY].delete_many({"finish": {"$lt": limit}}).deleted_count
        database[WORKER_STATS].delete_many({"from": {"$lt": limit}})
    except PyMongoError as error:
        raise HistoryError(f"MongoDB does not answer: {error}") from error
    return int(deleted)
