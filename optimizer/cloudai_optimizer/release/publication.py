"""From an epoch's outcome, or a person's wish, to what the ConfigMap holds next. Pure: documents in, texts out.

Tuned weights go to a share of the tasks first (the canary), whose control are the others in the same period. Every
change has a new version, a rollback too.
"""

import json
from typing import Any, Final

import msgspec

from cloudai_optimizer.errors import PublishError
from cloudai_optimizer.judge.canary import PROMOTED, ROLLED_BACK, Verdict
from cloudai_optimizer.release import capacity, reach
from cloudai_optimizer.release.config_map import Change, Published
from cloudai_optimizer.release.reach import Reach
from cloudai_rts import contract, parameters
from cloudai_rts.parameters import CanaryShare, Document

SHARE: Final = 0.2
SEARCHED_AT: Final = "SearchedAt"
"""Evidence: when weights were searched last."""


def release(
    before: Published,
    document: Document,
    weights_from: Document | None,
    created_at: str,
    share: float,
    evidence: dict[str, Any],
) -> Change:
    """Publish a document. Where `weights_from` is given (tuned weights) they go to a canary first, if `share` > 0.

    `document` holds what was fitted; its weights are those in force. Raises `PublishError` if it fits no ConfigMap.
    """
    for kept, only_named in [(capacity.SHARES[0], False), *((share, True) for share in capacity.SHARES)]:
        said = (
            evidence if kept >= 1.0 else {**evidence, "Trimmed": f"{kept:.0%} of users, identities and types are kept"}
        )
        smaller = capacity.trimmed(document, kept)
        size = len(parameters.dump(smaller).encode())
        if size <= capacity.MAX_BYTES:
            tried = None if weights_from is None else capacity.trimmed(weights_from, kept)
            change = _composed(before, smaller, tried, created_at, share, said, only_named)
            size = change.size_bytes()
        if size <= capacity.MAX_BYTES:
            return change
    raise PublishError(
        f"the document takes {size} bytes, a ConfigMap holds {capacity.MAX_BYTES}; the parameters in force stay; "
        "read fewer --hours of history"
    )


def _composed(
    before: Published,
    document: Document,
    weights_from: Document | None,
    created_at: str,
    share: float,
    evidence: dict[str, Any],
    is_trimmed: bool,
) -> Change:
    version = before.document.version + 1
    active = document if weights_from is None or share > 0 else weights_from
    canary, candidate = None, None
    if weights_from is not None and share > 0:
        canary = CanaryShare(version + 1, created_at, share)
        candidate = dumped(weights_from, version + 1, created_at, None, evidence)
    text = dumped(active, version, created_at, canary, evidence)
    texts: dict[str, str | None] = {
        contract.PARAMETERS_KEY: text,
        contract.CANDIDATE_KEY: candidate,
        contract.PREVIOUS_KEY: before.text or None,
    }
    released = [active] if weights_from is None else [active, weights_from]
    return Change({**texts, **_lately(reach.noted(before.reach, before.document, released, created_at, is_trimmed))})


def _lately(noted: Reach) -> dict[str, str | None]:
    """Texts of what values were lately."""
    texts: dict[str, str | None] = {}
    for keys, span in zip(contract.REACH_KEYS, (noted.current, noted.before), strict=True):
        for key, document in zip(keys, (None, None) if span is None else (span.low, span.high), strict=True):
            texts[key] = None if document is None else parameters.dump(document)
    return texts


FORGOTTEN: Final[dict[str, str | None]] = {key: None for keys in contract.REACH_KEYS for key in keys}
"""After a person's choice values may go where that leads them."""


def end_canary(before: Published, verdict: Verdict, created_at: str) -> Change:
    """Promote the candidate, or go on with its control. Raises `PublishError` if there is no candidate."""
    version = max(before.document.version, before.document.Canary.Version if before.document.Canary else 0) + 1
    evidence = {**before.document.Evidence, "Result": verdict.result, "Canary": verdict.text()}
    keeps = before.document
    if verdict.result == PROMOTED:
        if before.candidate is None:
            raise PublishError("the candidate cannot be read; roll back with: cloudai-optimizer rollback")
        keeps = before.candidate
    text = dumped(keeps, version, created_at, None, evidence)
    return Change({contract.PARAMETERS_KEY: text, contract.CANDIDATE_KEY: None, contract.PREVIOUS_KEY: before.text})


def rollback(before: Published, created_at: str) -> Change:
    """The last good document again, under a new version. Raises `PublishError` if there is none."""
    if before.previous is None:
        raise PublishError("there is no previous document; delete the ConfigMap to go back to the built-in defaults")
    version = max(before.document.version, before.document.Canary.Version if before.document.Canary else 0) + 1
    reason = f"rolled back to the content of version {before.previous.version}"
    evidence = {"Result": ROLLED_BACK, "Reason": reason}
    known = before.document if before.text else before.previous  # a document that nobody can read says nothing
    if SEARCHED_AT in known.Evidence:  # or the next epoch could find the same weights again at once
        evidence[SEARCHED_AT] = known.Evidence[SEARCHED_AT]
    # What has finished so far stays read: the next epoch must not bring back at once what was taken away.
    old = msgspec.structs.replace(before.previous, Window=known.Window)
    text = dumped(old, version, created_at, None, evidence)
    return Change(
        {contract.PARAMETERS_KEY: text, contract.CANDIDATE_KEY: None, contract.PREVIOUS_KEY: None, **FORGOTTEN}
    )


def dumped(
    document: Document, version: int, created_at: str, canary: CanaryShare | None, evidence: dict[str, Any]
) -> str:
    """Text of a document under a version; checked as every reader will check it. Raises `ParameterError`."""
    whole = msgspec.structs.replace(
        document, schemaVersion=1, version=version, createdAt=created_at, Canary=canary, Evidence=evidence or {}
    )
    text = parameters.dump(whole)
    parameters.parse(text)
    return text


def version_of(change: Change) -> int:
    """Version that a change puts in force."""
    return int(json.loads(change.texts[contract.PARAMETERS_KEY] or "{}")["version"])


def difference(old: Document, new: Document) -> dict[str, tuple[Any, Any]]:
    """Keys (dotted) whose values differ, with both values."""
    left, right = _flat(msgspec.to_builtins(old)), _flat(msgspec.to_builtins(new))
    keys = sorted({*left, *right})
    ignored = ("checksum", "createdAt", "version", "Evidence", "Window", "Canary")
    return {
        key: (left.get(key), right.get(key))
        for key in keys
        if left.get(key) != right.get(key) and not key.startswith(ignored)
    }


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401  JSON
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, part in value.items():
        flat |= _flat(part, f"{prefix}.{key}" if prefix else key)
    return flat
