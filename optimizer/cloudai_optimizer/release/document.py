"""Making the next parameter document: what is in force, with some keys replaced. Pure."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from cloudai_rts import parameters
from cloudai_rts.errors import ParameterError
from cloudai_rts.parameters import Document
from cloudai_rts.traces import Speeds

TABLE_RUNS: Final = 10
"""A table of speeds is believed like so many runs."""
_OURS: Final = ("schemaVersion", "version", "createdAt", "checksum")


def successor(current: Document, changes: Mapping[str, Any], speeds: Speeds | None, created_at: str) -> str:
    """Text of the document that follows `current`: `changes` replace whole top-level keys, groups key by key.

    `speeds` becomes Runtime.U: u = ln(run-time factor). Raises `ParameterError` for anything out of bounds.
    """
    raw: dict[str, Any] = {key: value for key, value in msgspec.to_builtins(current).items() if value is not None}
    _check_json(changes)
    for key, value in changes.items():
        if key in _OURS:
            continue  # these are given by publishing
        merge = (
            isinstance(value, dict)
            and isinstance(raw.get(key), dict)
            and key in {"Theta", "Risk", "Lateness", "Runtime"}
        )
        raw[key] = {**raw[key], **value} if merge else value
    if speeds is not None:
        table = factors(speeds)
        counts = {name: dict.fromkeys(row, TABLE_RUNS) for name, row in table.items()}
        raw["Runtime"] = {**raw["Runtime"], "U": table, "Counts": counts}
    raw.pop("Canary", None)  # a person's word ends a trial; its number is not used again
    tried = current.Canary.Version if current.Canary is not None else 0
    raw.update(schemaVersion=1, version=max(current.version, tried) + 1, createdAt=created_at)
    raw.pop("checksum", None)
    raw["checksum"] = parameters.checksum_of(raw)
    text = json.dumps(raw, indent=1, sort_keys=True, ensure_ascii=False)
    parameters.check_successor(current, parameters.parse(text))
    return text


def _check_json(changes: Mapping[str, Any]) -> None:
    """YAML holds more than JSON does: dates, sets, keys that are no text, values that contain themselves."""
    try:
        json.dumps(changes, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(
            "document", f"cannot be written as JSON: {error}; use texts, finite numbers and lists"
        ) from error
    for path, key in _keys(changes, ""):
        if not isinstance(key, str):
            raise ParameterError(path or "document", f"has the key {key!r}, which is no text; put it in quotes")


def _keys(value: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  what YAML has read
    """Every key of nested objects with the path of its object; `json` has refused what contains itself."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    if isinstance(value, Mapping):
        yield from ((path, key) for key in value)
    for part in parts:
        yield from _keys(part, path)


def factors(speeds: Speeds) -> dict[str, dict[str, float]]:
    """u by type and node class from relative run times; classes without a product are the reference."""
    table: dict[str, dict[str, float]] = {}
    for (task_type, product), factor in sorted(speeds.items()):
        if product and factor > 0:
            table.setdefault(task_type, {})[product] = round(math.log(factor), 4)
    return table
