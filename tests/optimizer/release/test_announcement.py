"""Events of the optimizer, from whole commands on a real HTTP server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.api_server import running
from tests.cli.test_hostile_files import reaching

from cloudai_optimizer.__main__ import main
from cloudai_rts import parameters
from cloudai_rts.parameters import Document

EVENTS = "/api/v1/events"
MAPS = "/api/v1/configmaps"


async def an_epoch(url: str, tmp_path: Path, *arguments: str) -> Any:
    """Run `cloudai-optimizer epoch`; its exit code."""
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(reaching(url)))

    def run() -> Any:
        try:
            main(["--kubeconfig", str(file), "epoch", *arguments])
        except SystemExit as end:
            return end.code
        return 0

    return await asyncio.to_thread(run)


@pytest.mark.parametrize("is_published", [False, True])
async def test_an_epoch_that_changes_nothing_says_so(is_published: bool, tmp_path: Path) -> None:
    """Also on the first day, when there is no ConfigMap yet to say it on; there is a note where there is one."""
    async with running() as (server, _):
        for path in ("/api/v1/nodes", "/api/v1/pods", "/apis/cloudai.dev/v1alpha1/tasks"):
            server.objects[path] = {}
        if is_published:
            metadata = {"name": "cloudai-parameters", "namespace": "cloudai-system"}
            server.put(MAPS, {"metadata": metadata, "data": {"ga_output.json": parameters.dump(Document())}})
        assert await an_epoch(server.url, tmp_path) == 0
        (event,) = server.objects[EVENTS].values()
        assert (event["reason"], event["involvedObject"]["name"]) == ("EpochUnchanged", "cloudai-parameters")
        assert "unchanged" in event["message"]
        if is_published:
            (kept,) = server.objects[MAPS].values()
            assert "cloudai.dev/last-epoch" in kept["metadata"]["annotations"]


async def test_an_epoch_that_fails_on_the_first_day_says_so(tmp_path: Path) -> None:
    """History cannot be read."""
    async with running() as (server, _):
        assert await an_epoch(server.url, tmp_path, "--mongodb-uri=mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50")
        (event,) = server.objects[EVENTS].values()
        assert (event["reason"], event["type"]) == ("EpochFailed", "Warning")
