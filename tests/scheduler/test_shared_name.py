"""Names that another scheduler serves, on a real HTTP server."""

import asyncio
import time
from typing import Any

import pytest
from tests.api_server import running, status

from cloudai_kube import timestamp
from cloudai_scheduler import shared_name
from cloudai_scheduler.errors import SharedNameError
from cloudai_scheduler.shared_name import SharedNames

LEASES = "/apis/coordination.k8s.io/v1/leases"
DEFAULT = frozenset({"default-scheduler", "cloudai-scheduler"})


def lease(ago_seconds: float, holder: str | None = "master-1_x") -> dict[str, Any]:
    """kube-scheduler's Lease, renewed so long ago."""
    renewed = timestamp.millis(time.time() - ago_seconds)
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}
    return {"metadata": {"namespace": "kube-system", "name": "kube-scheduler"}, "spec": spec}


@pytest.mark.parametrize(
    ("known", "names", "refused"),
    [
        ((1.0, "master-1_x"), DEFAULT, True),
        ((60.0, "master-1_x"), DEFAULT, False),
        ((1.0, None), DEFAULT, False),
        ((1.0, ""), DEFAULT, False),
        (None, DEFAULT, False),
        ((1.0, "master-1_x"), frozenset({"cloudai-scheduler"}), False),
    ],
)
async def test_a_name_that_is_served_is_refused(
    known: tuple[float, str | None] | None, names: frozenset[str], refused: bool
) -> None:
    """While its Lease is fresh: who holds it, and what to do."""
    async with running() as (server, transport):
        if known is not None:
            server.put(LEASES, lease(*known))
        if refused:
            with pytest.raises(SharedNameError, match=r"served by master-1_x .*stop it first"):
                await SharedNames(transport, names).check_at_start()
        else:
            await SharedNames(transport, names).check_at_start()


async def test_what_cannot_be_found_out_is_refused_at_the_start() -> None:
    """With the right that is missing; later on it is only logged."""
    async with running() as (server, transport):
        server.fail("GET .*leases", lambda _request: status(403, "Forbidden", "no"))
        with pytest.raises(SharedNameError, match="needs the verb get"):
            await SharedNames(transport, DEFAULT).check_at_start()


async def test_another_scheduler_that_comes_later_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that fails in between does not."""
    monkeypatch.setattr(shared_name, "LOOK_SECONDS", 0.02)
    async with running() as (server, transport):
        watching = asyncio.create_task(SharedNames(transport, DEFAULT).watch())
        await asyncio.sleep(0.1)
        assert not watching.done()
        server.fail("GET .*leases", lambda _request: status(500, "InternalError"))
        await asyncio.sleep(0.05)
        assert not watching.done()
        server.put(LEASES, lease(0.0))
        with pytest.raises(SharedNameError):
            await asyncio.wait_for(watching, 5.0)
