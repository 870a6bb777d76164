"""Events on the ConfigMap of the parameters, so that `kubectl describe` says what happened to it and why."""

import asyncio
import contextlib
import logging
from typing import Final

from cloudai_kube.errors import KubeError, NotFoundError
from cloudai_kube.events import Recorder, Subject
from cloudai_kube.objects import ConfigMap, Meta
from cloudai_kube.transport import Transport
from cloudai_rts import contract

FLUSH_SECONDS: Final = 5.0
FITTED: Final = "ParametersFitted"
TUNED: Final = "ParametersTuned"
CANARY_BEGUN: Final = "CanaryBegun"
CANARY_PROMOTED: Final = "CanaryPromoted"
CANARY_ROLLED_BACK: Final = "CanaryRolledBack"
PUBLISHED: Final = "ParametersPublished"
ROLLED_BACK: Final = "ParametersRolledBack"
FROZEN: Final = "ParametersFrozen"
THAWED: Final = "ParametersThawed"
EPOCH_FAILED: Final = "EpochFailed"
EPOCH_UNCHANGED: Final = "EpochUnchanged"
WARNINGS: Final = frozenset({CANARY_ROLLED_BACK, ROLLED_BACK, EPOCH_FAILED})
_log = logging.getLogger(__name__)


async def announce(transport: Transport, namespace: str, reason: str, message: str) -> None:
    """Record one event, also where nothing has been published yet: the first epochs are those that fail.

    Where that fails it is only logged, what happened has happened.
    """
    name = contract.PARAMETERS_CONFIG_MAP
    try:
        config_map = await transport.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}", ConfigMap)
    except NotFoundError:
        config_map = ConfigMap(metadata=Meta(name=name, namespace=namespace))
    except KubeError as error:
        _log.info("event %s: %s", reason, error)
        return
    recorder = Recorder(transport, contract.OPTIMIZER_NAME, senders=1)
    sending = asyncio.create_task(recorder.run())
    recorder.record(
        Subject.of("v1", "ConfigMap", config_map.metadata),
        "Warning" if reason in WARNINGS else "Normal",
        reason,
        message,
    )
    await recorder.flush(FLUSH_SECONDS)
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending
