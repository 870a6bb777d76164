"""Names that another scheduler may serve too: two of them would bind the same pods to different nodes."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from cloudai_kube.errors import KubeError
from cloudai_kube.lease import fresh_holder
from cloudai_kube.transport import Transport
from cloudai_scheduler.errors import SharedNameError

_log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 15.0
LEASES: Final = {"default-scheduler": ("kube-system", "kube-scheduler")}
"""Namespace and name of the Lease of the scheduler that usually serves a name."""


@dataclass(frozen=True, slots=True)
class SharedNames:
    """Looks whether one of our names is served by somebody else."""

    transport: Transport
    names: frozenset[str]

    async def check(self) -> None:
        """Raises `SharedNameError` if one is, `KubeError` if that cannot be found out."""
        for name in sorted(self.names & LEASES.keys()):
            namespace, lease = LEASES[name]
            holder = await fresh_holder(self.transport, namespace, lease)
            if holder is not None:
                raise SharedNameError(
                    f"scheduler name {name} is served by {holder} (Lease {namespace}/{lease}): "
                    "stop it first, or take the name out of scheduler_names"
                )

    async def check_at_start(self) -> None:
        """Raises `SharedNameError` if one is, or if that cannot be found out."""
        try:
            await self.check()
        except KubeError as error:
            raise SharedNameError(
                f"whether another scheduler serves {', '.join(sorted(self.names))} cannot be found out: {error}; "
                "the account needs the verb get on the Lease kube-system/kube-scheduler"
            ) from error

    async def watch(self) -> None:
        """Check for ever. Ends with `SharedNameError`: it is better that nobody binds than that two do."""
        while self.names & LEASES.keys():
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.check()
            except KubeError as error:
                _log.warning("whether another scheduler serves our names is not known: %s", error)
