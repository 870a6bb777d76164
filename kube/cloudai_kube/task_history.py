"""TASK_HISTORY in MongoDB, for those who look back: what finished in a window.

Only calls that every server with MongoDB's protocol knows: find, sort, limit.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pymongo
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError as MongoConfigurationError
from pymongo.errors import InvalidURI, PyMongoError

from cloudai_kube.errors import ConfigurationError, DatabaseError
from cloudai_kube.redaction import keep_secrets_of, redacted
from cloudai_rts import contract, history
from cloudai_rts.contract import TASK_HISTORY
from cloudai_rts.history import RUNNING, Record

LONGEST_WINDOW: Final = 50_000
ANSWER_SECONDS: Final = 3.0
"""A server that says nothing for so long is away."""


@contextmanager
def connected(uri: str, application: str, ca_file: str = "") -> Iterator[Database[dict[str, Any]]]:
    """The database, once it has answered; gives up after seconds, not after the driver's half minute.

    Raises `ConfigurationError` for a bad URI or certificate authority, `DatabaseError` if it does not answer.
    """
    keep_secrets_of(uri, has_plain_query=True)
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(
            uri,
            appname=application,
            serverSelectionTimeoutMS=3_000,
            connectTimeoutMS=3_000,
            timeoutMS=20_000,
            **tls(ca_file),
        )
    except (MongoConfigurationError, InvalidURI, ValueError, OSError) as error:
        raise ConfigurationError(f"--mongodb-uri: {redacted(str(error))}; write mongodb://HOST:PORT/") from None
    with client:
        try:
            with pymongo.timeout(ANSWER_SECONDS):  # or a refused handshake is tried again as long as a query may take
                client.admin.command("ping")
        except PyMongoError as error:
            raise DatabaseError(f"MongoDB does not answer: {redacted(str(error))}") from None
        yield client[contract.MONGODB_DATABASE]


def tls(ca_file: str) -> dict[str, Any]:
    """Options of a client that trusts this certificate authority alone; none without one."""
    return {"tls": True, "tlsCAFile": ca_file} if ca_file else {}


def read(database: Database[dict[str, Any]], since: float) -> tuple[list[Record], int]:
    """Records that finished since (epoch seconds), the newest 50,000, and how many could not be read.

    Raises `DatabaseError`.
    """
    try:
        cursor = database[TASK_HISTORY].find({"finish": {"$gte": since}}).sort("finish", -1).limit(LONGEST_WINDOW)
        decoded = [history.decode(raw) for raw in cursor]
    except PyMongoError as error:
        raise DatabaseError(f"MongoDB does not answer: {error}") from error
    records = [record for record in decoded if record is not None]
    return records, len(decoded) - len(records)


def with_running(ended: Sequence[Record], attempts: Sequence[Record]) -> list[Record]:
    """What has ended, and what of the attempts that are there still runs; what ended meanwhile counts as that."""
    known = {record.pod_uid for record in ended}
    return [*ended, *(record for record in attempts if record.outcome == RUNNING and record.pod_uid not in known)]
