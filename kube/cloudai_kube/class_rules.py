"""The rules that several processes must read alike, published by the scheduler in ConfigMap `cloudai-rules`.

Which labels and resources make a node's class, and what a deadline is where nobody set one: with two settings of it
the optimizer would learn classes that the scheduler never asks for.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from cloudai_kube import nesting
from cloudai_kube.errors import KubeError, NotFoundError
from cloudai_kube.objects import ConfigMap
from cloudai_kube.transport import MERGE_PATCH, Transport
from cloudai_rts import contract
from cloudai_rts.nodeclass import ACCELERATORS, PRODUCT_LABELS, ClassRules

_Name = Annotated[str, Meta(min_length=1, max_length=317)]
_Names = Annotated[tuple[_Name, ...], Meta(max_length=64)]
DEFAULT_MULTIPLIER: Final = 2.0


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`slaMultiplier`: deadline = arrival + so many expected run times, where the user said nothing else."""

    productLabels: _Names = PRODUCT_LABELS
    accelerators: _Names = ACCELERATORS
    slaMultiplier: Annotated[float, Meta(ge=1, le=100)] = DEFAULT_MULTIPLIER

    def classes(self) -> ClassRules:
        """The part about node classes."""
        return ClassRules(self.productLabels, self.accelerators)


async def read(transport: Transport, namespace: str) -> Rules | None:
    """The published rules; None where there are none, or none that can be read. Raises `KubeError`."""
    try:
        config_map = await transport.get(_path(namespace, contract.RULES_CONFIG_MAP), ConfigMap)
    except NotFoundError:
        return None
    try:
        return nesting.decode(config_map.data.get(contract.RULES_KEY, "").encode(errors="replace"), Rules)
    except msgspec.DecodeError:
        return None


async def publish(transport: Transport, namespace: str, rules: Rules) -> None:
    """Put the rules where the other processes read them. Raises `KubeError`."""
    meta = {"name": contract.RULES_CONFIG_MAP, "namespace": namespace}
    body = {"metadata": meta, "data": {contract.RULES_KEY: msgspec.json.encode(rules).decode()}}
    try:
        await transport.request("PATCH", _path(namespace, meta["name"]), body, content_type=MERGE_PATCH)
    except NotFoundError:
        await transport.request("POST", _path(namespace), {"apiVersion": "v1", "kind": "ConfigMap", **body})


async def read_or_default(transport: Transport, namespace: str) -> Rules:
    """The published rules, the built-in ones where they cannot be had."""
    try:
        return await read(transport, namespace) or Rules()
    except KubeError:
        return Rules()


def _path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")
