"""The ConfigMap of the parameters: read, and replaced whole under the resource version that was read."""

from dataclasses import dataclass

from cloudai_kube.errors import ConflictError, NotFoundError
from cloudai_kube.objects import ConfigMap
from cloudai_kube.transport import Transport
from cloudai_optimizer.errors import PublishError
from cloudai_rts import contract, parameters
from cloudai_rts.errors import ParameterError
from cloudai_rts.parameters import Document


@dataclass(frozen=True, slots=True)
class Published:
    """What lies in the cluster: the document in force, its text, and the version of the object."""

    document: Document
    text: str
    resource_version: str


async def read(transport: Transport, namespace: str) -> Published:
    """Return what is published; the built-in defaults where nothing (or nothing usable) is."""
    path = f"/api/v1/namespaces/{namespace}/configmaps/{contract.PARAMETERS_CONFIG_MAP}"
    try:
        found = await transport.get(path, ConfigMap)
    except NotFoundError:
        return Published(parameters.defaults(), "", "")
    text = found.data.get(contract.PARAMETERS_KEY, "")
    try:
        return Published(parameters.parse(text), text, found.metadata.resourceVersion)
    except ParameterError as error:
        raise PublishError(
            f"the published document is refused by every reader: {error}; delete ConfigMap "
            f"{namespace}/{contract.PARAMETERS_CONFIG_MAP} to go back to the built-in defaults, then publish again"
        ) from error


async def write(transport: Transport, namespace: str, text: str, before: Published) -> None:
    """Replace the document, wholly or not at all. Raises `PublishError` if someone else was faster."""
    metadata = {"name": contract.PARAMETERS_CONFIG_MAP, "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {contract.PARAMETERS_KEY: text}}
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    try:
        if before.resource_version:
            metadata["resourceVersion"] = before.resource_version
            await transport.request("PUT", f"{path}/{contract.PARAMETERS_CONFIG_MAP}", body)
        else:
            await transport.request("POST", path, body)
    except ConflictError as error:
        raise PublishError("someone else published meanwhile; nothing was changed, look at it and try again") from error
