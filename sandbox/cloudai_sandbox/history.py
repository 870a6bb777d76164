"""Every version that any pod or node ever had, read from etcd after the fact.

etcd keeps all revisions until it is told to compact, and a revision is the resource version: a watch from revision 1
shows each state that the API server ever committed, also those that no client happened to see.
"""

import base64
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloudai_kube.objects import Node, Pod
from cloudai_sandbox.errors import StartError

APISERVER_ARGUMENTS: Final = ("--storage-media-type=application/json", "--etcd-compaction-interval=0")
"""What the API server must be started with: objects that can be read in etcd, and none of them thrown away."""
TIMEOUT_SECONDS: Final = 60.0
FIRST_REVISION: Final = 1
_PREFIX: Final = "/registry/"
_PODS: Final = "/registry/pods/"
_NODES: Final = "/registry/minions/"
_END: Final = "/registry/~end-of-history"


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change: the object afterwards, None where it was deleted. `key` is its place in etcd."""

    revision: int
    key: str
    pod: Pod | None = None
    node: Node | None = None

    @property
    def is_pod(self) -> bool:
        """Whether it is about a pod (else about a node)."""
        return self.key.startswith(_PODS)


def read(etcd: str) -> Iterator[Change]:
    """All changes of pods and nodes until now, oldest first. `etcd` is its client URL. Raises `StartError`."""
    end = _put_end(etcd)
    request = {
        "create_request": {
            "key": _encoded(_PREFIX),
            "range_end": _encoded(_PREFIX[:-1] + "0"),
            "start_revision": FIRST_REVISION,
        }
    }
    try:
        with urllib.request.urlopen(_post(f"{etcd}/v3/watch", request), timeout=TIMEOUT_SECONDS) as stream:  # noqa: S310  our own etcd
            for line in stream:
                result = json.loads(line).get("result", {})
                if result.get("canceled"):
                    raise StartError(f"etcd has no full history: {result.get('cancel_reason', 'it was compacted')}")
                for event in result.get("events", []):
                    if int(event["kv"]["mod_revision"]) >= end:
                        return
                    key = base64.b64decode(event["kv"]["key"]).decode()
                    if key.startswith((_PODS, _NODES)):
                        yield _change(key, event)
    except (OSError, ValueError) as error:
        raise StartError(f"the history cannot be read from {etcd}: {error}") from error


def _change(key: str, event: dict[str, Any]) -> Change:
    pair = event["kv"]
    revision = int(pair["mod_revision"])
    if event.get("type") == "DELETE":
        return Change(revision, key)
    text = base64.b64decode(pair["value"])
    if key.startswith(_PODS):
        return Change(revision, key, pod=msgspec.json.decode(text, type=Pod))
    return Change(revision, key, node=msgspec.json.decode(text, type=Node))


def _put_end(etcd: str) -> int:
    """Write a mark where the history ends now. Returns its revision: marks of earlier readings lie before it."""
    body = {"key": _encoded(_END), "value": ""}
    try:
        with urllib.request.urlopen(_post(f"{etcd}/v3/kv/put", body), timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  our own etcd
            return int(json.load(answer)["header"]["revision"])
    except (OSError, ValueError, KeyError) as error:
        raise StartError(f"etcd at {etcd} does not answer: {error}") from error


def _post(url: str, body: dict[str, Any]) -> urllib.request.Request:
    return urllib.request.Request(url, data=json.dumps(body).encode(), method="POST")  # noqa: S310  our own etcd


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
