"""The ConfigMap of the parameters: read, and changed as a whole under the resource version that was read.

`ga_output.json` is what is in force; `candidate.json` what a share of the tasks is tried with; `previous.json` the last
good one, `lowest.json` and its like what values were in the last days. All but the first are compressed. Other keys in
the object are not touched.
"""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from cloudai_kube.epoch_note import EpochNote
from cloudai_kube.errors import ConflictError, NotFoundError
from cloudai_kube.objects import ConfigMap
from cloudai_kube.transport import MERGE_PATCH, Transport
from cloudai_optimizer.errors import PublishError
from cloudai_optimizer.release.reach import Reach, Span
from cloudai_rts import contract, parameters
from cloudai_rts.errors import ParameterError
from cloudai_rts.parameters import Document

UNKNOWN_VERSIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Published:
    """What lies in the cluster: the documents (None where there is none), the text in force, the object's version.

    `frozen` holds the reason why nothing may be published, empty if it may.
    """

    document: Document
    text: str
    resource_version: str
    candidate: Document | None = None
    previous: Document | None = None
    frozen: str = ""
    reach: Reach | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The next content: texts; None takes a key away, absent keys stay."""

    texts: dict[str, str | None]
    frozen: str | None = None

    def size_bytes(self) -> int:
        """What the texts take up in the object."""
        active = self.texts.get(contract.PARAMETERS_KEY) or ""
        packed = [text for key, text in self.texts.items() if text and key != contract.PARAMETERS_KEY]
        return len(active.encode()) + sum(len(parameters.pack(text)) for text in packed)


async def read(transport: Transport, namespace: str, *, even_unusable: bool = False) -> Published:
    """Return what is published; the built-in defaults where nothing is. Raises `PublishError` if it is unusable.

    `even_unusable`: a document that every reader refuses stands for the defaults under its version, without a text.
    """
    try:
        config_map = await transport.get(_path(namespace, contract.PARAMETERS_CONFIG_MAP), ConfigMap)
    except NotFoundError:
        return Published(parameters.defaults(), "", "")
    text = config_map.data.get(contract.PARAMETERS_KEY, "")
    candidate, previous = (
        _readable(config_map.binaryData.get(key)) for key in (contract.CANDIDATE_KEY, contract.PREVIOUS_KEY)
    )
    try:
        document = parameters.parse(text)
    except ParameterError as error:
        if not even_unusable:
            remedy = "" if previous is None else "cloudai-optimizer rollback, or "
            raise PublishError(
                f"the published document is refused by every reader: {error}. Remedy: {remedy}delete ConfigMap "
                f"{namespace}/{contract.PARAMETERS_CONFIG_MAP} to go back to the built-in defaults, then publish again"
            ) from error
        document = msgspec.structs.replace(parameters.defaults(), version=_last_version(text, candidate, previous))
        text = ""
    return Published(
        document,
        text,
        config_map.metadata.resourceVersion,
        candidate,
        previous,
        config_map.metadata.annotations.get(contract.ANNOTATION_FROZEN, ""),
        _reach(config_map.binaryData),
    )


async def write(transport: Transport, namespace: str, change: Change, before: Published) -> None:
    """Change the object, wholly or not at all. Raises `PublishError` if someone else was faster.

    A note on how an epoch ended changes nothing of what was read: then it is tried again.
    """
    metadata: dict[str, Any] = {"name": contract.PARAMETERS_CONFIG_MAP, "namespace": namespace}
    if change.frozen is not None:
        metadata["annotations"] = {contract.ANNOTATION_FROZEN: change.frozen or None}
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    if contract.PARAMETERS_KEY in change.texts:
        body["data"] = {contract.PARAMETERS_KEY: change.texts[contract.PARAMETERS_KEY]}
    packed = {
        key: None if text is None else parameters.pack(text)
        for key, text in change.texts.items()
        if key != contract.PARAMETERS_KEY
    }
    if packed:
        body["binaryData"] = packed
    try:
        if before.resource_version:
            metadata["resourceVersion"] = before.resource_version
            path = _path(namespace, contract.PARAMETERS_CONFIG_MAP)
            await transport.request("PATCH", path, body, content_type=MERGE_PATCH)
        else:
            body["binaryData"] = {key: text for key, text in packed.items() if text is not None}
            await transport.request("POST", _path(namespace), body)
    except ConflictError as error:
        now = await read(transport, namespace, even_unusable=not before.text)
        if (
            now.resource_version != before.resource_version
            and replace(now, resource_version=before.resource_version) == before
        ):
            return await write(transport, namespace, change, now)
        raise PublishError("someone else published meanwhile; nothing was changed, look at it and try again") from error


async def note_epoch(transport: Transport, namespace: str, note: EpochNote) -> None:
    """Say on the object how an epoch ended, also one that failed: a job's own metrics are gone with it.

    Where there is no object yet nothing is said.
    """
    short = msgspec.structs.replace(note, reason=note.reason[:500])
    body = {"metadata": {"annotations": {contract.ANNOTATION_LAST_EPOCH: msgspec.json.encode(short).decode()}}}
    path = _path(namespace, contract.PARAMETERS_CONFIG_MAP)
    with contextlib.suppress(NotFoundError):
        await transport.request("PATCH", path, body, content_type=MERGE_PATCH)


def _last_version(text: str, *others: Document | None) -> int:
    """The highest version that a text which cannot be read as a document names, or that lies beside it.

    Where it names none, more than any that may have been in force meanwhile: a version is used once.
    """
    named = [int(number) for number in re.findall(r'"[vV]ersion"\s*:\s*(\d{1,15})\b', text)]
    beside = max([0, *(document.version for document in others if document is not None)])
    return max(beside, *named) if named else beside + UNKNOWN_VERSIONS


def _readable(packed: str | None) -> Document | None:
    """A compressed document; None if there is none or nobody can read it."""
    try:
        return parameters.unpack(packed) if packed else None
    except ParameterError:
        return None


def _reach(packed: Mapping[str, str]) -> Reach | None:
    """What values were lately; None where that cannot be read, and the next release begins anew."""
    current, before = ([_readable(packed.get(key)) for key in keys] for keys in contract.REACH_KEYS)
    spans = [Span(low, high) for low, high in (current, before) if low is not None and high is not None]
    return Reach(*spans) if spans else None


def _path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")
