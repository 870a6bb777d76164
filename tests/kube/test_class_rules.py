"""Rules that several processes read: published whole, read whole, and never a reason to fail."""

import pytest
from tests.api_server import running

from cloudai_kube import class_rules
from cloudai_kube.class_rules import Rules

PATH = "/api/v1/configmaps"
METADATA = {"name": "cloudai-rules", "namespace": "cloudai-system"}


async def test_what_is_published_is_read() -> None:
    """Created, then changed in place; other keys of the ConfigMap stay."""
    async with running() as (server, transport):
        assert await class_rules.read(transport, "cloudai-system") is None
        for rules in (Rules(slaMultiplier=3.0), Rules(accelerators=("example.com/npu",))):
            await class_rules.publish(transport, "cloudai-system", rules)
            assert await class_rules.read(transport, "cloudai-system") == rules
        assert len(server.objects[PATH]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[" * 50_000,
        '{"slaMultiplier": 0.5}',
        '{"slaMultiplier": 1e999}',
        '{"productLabels": [""]}',
        '{"surprise": 1}',
        '{"accelerators": ' + str(["x"] * 65).replace("'", '"') + "}",
    ],
)
async def test_rules_that_cannot_be_read(text: str) -> None:
    """Whole or not at all: the built-in ones hold."""
    async with running() as (server, transport):
        server.put(PATH, {"metadata": METADATA, "data": {"rules.json": text}})
        assert await class_rules.read(transport, "cloudai-system") is None
        assert await class_rules.read_or_default(transport, "cloudai-system") == Rules()
        assert server.requests[-1] == "GET /api/v1/namespaces/cloudai-system/configmaps/cloudai-rules"
