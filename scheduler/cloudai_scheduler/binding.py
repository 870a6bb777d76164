"""Binding a pod to its node, and finding out what happened when no answer came.

The Binding carries the pod's UID, so that a decision about a deleted pod can never bind its namesake. It also carries
the decision and our label: the API server merges both into the pod at no extra request.
"""

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from cloudai_kube.errors import (
    ApiError,
    ConflictError,
    FencedError,
    KubeError,
    NotFoundError,
    OutcomeUnknownError,
    OverloadedError,
)
from cloudai_kube.objects import Pod
from cloudai_kube.transport import Transport
from cloudai_rts import contract

_log = logging.getLogger(__name__)
REREAD_FIRST_SECONDS: Final = 0.5
REREAD_LONGEST_SECONDS: Final = 10.0
FENCED_SECONDS: Final = 1.0
_encode = msgspec.json.Encoder().encode


class BindOutcome(Enum):
    """What became of a bind."""

    BOUND = "bound"
    GONE = "gone"
    ELSEWHERE = "elsewhere"
    REFUSED = "refused"
    OVERLOADED = "overloaded"


@dataclass(frozen=True, slots=True)
class BindResult:
    """Outcome, the server's words, and how long it asks to be left alone (seconds)."""

    outcome: BindOutcome
    message: str = ""
    retry_after_seconds: float = 0.0


@dataclass(slots=True)
class Binder:
    """Sends Bindings in the name of one scheduler."""

    transport: Transport
    scheduler_name: str

    async def bind(self, pod: Pod, node: str, decision: str) -> BindResult:
        """Bind a pod. Returns only when it is known whether the pod is bound."""
        meta = pod.metadata
        body = _encode(
            {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {
                    "name": meta.name,
                    "namespace": meta.namespace,
                    "uid": meta.uid,
                    "annotations": {contract.ANNOTATION_DECISION: decision},
                    "labels": {contract.LABEL_BOUND_BY: self.scheduler_name},
                },
                "target": {"apiVersion": "v1", "kind": "Node", "name": node},
            }
        )
        path = f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}"
        try:
            await self.transport.request("POST", path + "/binding", body)
        except NotFoundError as error:
            return BindResult(BindOutcome.GONE, error.message)
        except FencedError as error:  # it was not sent
            return BindResult(BindOutcome.OVERLOADED, str(error), FENCED_SECONDS)
        except OverloadedError as error:
            if error.status == 429:  # refused before it was looked at
                return BindResult(BindOutcome.OVERLOADED, error.message, error.retry_after_seconds or 1.0)
            return await self._find_out(path, meta.uid, node, error)
        except (ConflictError, OutcomeUnknownError) as error:
            return await self._find_out(path, meta.uid, node, error)
        except ApiError as error:
            return BindResult(BindOutcome.REFUSED, error.message)
        except Exception as error:  # noqa: BLE001  whatever broke, the Binding may have arrived
            _log.exception("bind of %s", path)
            return await self._find_out(path, meta.uid, node, error)
        return BindResult(BindOutcome.BOUND)

    async def _find_out(self, path: str, uid: str, node: str, cause: Exception) -> BindResult:
        """Read the pod until the API server says where it is: a lost answer must neither bind twice nor leak room."""
        pause = REREAD_FIRST_SECONDS
        while True:
            try:
                seen = await self.transport.get(path, Pod)
            except NotFoundError as error:
                return BindResult(BindOutcome.GONE, error.message)
            except KubeError as error:
                _log.info("%s: outcome of a bind still unknown: %s", path, error)
                await asyncio.sleep(pause)
                pause = min(REREAD_LONGEST_SECONDS, pause * 2)
                continue
            if seen.metadata.uid != uid:
                return BindResult(BindOutcome.GONE, "the pod was deleted and created again")
            if seen.spec.nodeName == node:
                return BindResult(BindOutcome.BOUND)
            if seen.spec.nodeName:
                return BindResult(BindOutcome.ELSEWHERE, f"bound to {seen.spec.nodeName} by someone else")
            return BindResult(BindOutcome.REFUSED, str(cause))
