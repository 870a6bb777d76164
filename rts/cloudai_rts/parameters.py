"""The parameter document (`ga_output.json`): every key, its default and its bounds, and the refusal of anything else.

A document is taken whole or not at all. Bounds stand in code, not in the cluster, so that nobody who can write a
ConfigMap can push the scheduler out of them.
"""

import base64
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable
from typing import Annotated, Any, Final, NoReturn

import msgspec
from msgspec import Meta

from cloudai_rts.errors import ParameterError

HINGE: Final = "hinge"
LATENESS: Final = "lateness"
MAX_DOCUMENT_BYTES: Final = 900 * 1024
MAX_EVIDENCE_BYTES: Final = 16 * 1024
MAX_VERSION_STEP: Final = 1_000_000
MAX_FREE_NUMBER: Final = 1e15
"""Of numbers in free JSON (Evidence): people read them, and metrics show them."""
MAX_FREE_DEPTH: Final = 32
SIX_KEYS: Final = frozenset({"Theta", "Risk", "AffinityW", "PenaltyW", "AffinityMatrix", "PenaltyVector"})

_Theta = Annotated[float, Meta(ge=0, le=5)]
_Weight = Annotated[float, Meta(ge=0, le=10)]
_Affinity = Annotated[float, Meta(ge=-5, le=5)]
_Penalty = Annotated[float, Meta(ge=-10, le=10)]
_Seconds = Annotated[float, Meta(ge=0.001, le=31_536_000)]
_U = Annotated[float, Meta(ge=-5, le=5)]
_V = Annotated[float, Meta(ge=-3, le=3)]
_Sd = Annotated[float, Meta(ge=0.05, le=2)]
_Band = Annotated[str, Meta(pattern=r"^(0\.2|0\.4|0\.8|more)$")]
_Level = Annotated[str, Meta(pattern=r"^0\.(02|1|25|5|75|9|98)$")]
_Offset = Annotated[float, Meta(ge=-3, le=3)]
_Count = Annotated[float, Meta(ge=0, le=1e12)]


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group of keys: unknown ones are refused."""


class ThetaTerms(_Group, frozen=True):
    """EDD 3.5: weights of the request ratios and of the load in the `hinge` run time."""

    Theta1: _Theta
    Theta2: _Theta
    Theta3: _Theta
    Theta4: _Theta


class RiskTerms(_Group, frozen=True):
    """EDD 3.7: weights of the expected delay (per second) and of the load."""

    Alpha: Annotated[float, Meta(ge=0, le=1000)]
    Beta: Annotated[float, Meta(ge=0, le=100)]


class AffinityTerms(_Group, frozen=True):
    """EDD 5.3: weights of speed, reliability and overload in the affinity; A2 > A1 > A3 (EDD 6)."""

    A1: _Weight
    A2: _Weight
    A3: _Weight


class PenaltyTerms(_Group, frozen=True):
    """EDD 5.4: weights of failures, overload and energy in the penalty; G1 > G2 > G3 (EDD 6)."""

    G1: _Weight
    G2: _Weight
    G3: _Weight
    G4: _Weight = 0.0


class LatenessTerms(_Group, frozen=True):
    """Weights of the `lateness` rule, every one without a unit.

    The defaults were chosen on 20 seeds of the reference workload on which no published figure rests.
    """

    Alpha: Annotated[float, Meta(ge=0, le=200)] = 20.0
    Psi: Annotated[float, Meta(ge=0, le=5)] = 1.0
    Beta: Annotated[float, Meta(ge=0, le=10)] = 0.5
    Eta: Annotated[float, Meta(ge=0, le=10)] = 1.0
    Zeta: Annotated[float, Meta(ge=0, le=10)] = 0.1
    Delta: Annotated[float, Meta(ge=0.02, le=1)] = 0.25
    Rho: Annotated[float, Meta(ge=0, le=5)] = 0.5
    LoadScale: Annotated[float, Meta(ge=0, le=5)] = 1.5


EVERYBODY: Final = ""
"""The key of what users' words are worth of whom nothing is known."""


class Indication(_Group, frozen=True):
    """What one user's words, run times declared or time allowed, say of run times, in log space.

    ln said + Bias (and the type's) is wrong by `Sd`; it knows the `Share` of the variance that is left without it.
    """

    Bias: _U
    Sd: _Sd
    N: _Count
    Share: Annotated[float, Meta(ge=0, le=1)] = 1.0


class IdentityRecord(_Group, frozen=True):
    """Tasks of one identity: mean and sd of log run time, and how many were seen."""

    LogTau: Annotated[float, Meta(ge=-7, le=18)]
    Sd: _Sd
    N: _Count


class RuntimeModel(_Group, frozen=True):
    """The learned run-time model: u by type and node class, v by node, sigma by type, and the load curve's terms.

    Declared and Allowed are what users' words are worth, by user, `...Of` what they are off by in each type. Shape is
    where quantiles of run times really lie (`calibration`).
    """

    ReferenceClass: Annotated[str, Meta(max_length=253)] = ""
    Kappa: Annotated[float, Meta(ge=0, le=5)] = 0.3
    Mu: Annotated[float, Meta(ge=0, le=20)] = 2.0
    U: dict[str, dict[str, _U]] = {}
    V: dict[str, _V] = {}
    Sigma: dict[str, _Sd] = {}
    Counts: dict[str, dict[str, _Count]] = {}
    Declared: dict[str, Indication] = {}
    DeclaredOf: dict[str, _U] = {}
    Allowed: dict[str, Indication] = {}
    AllowedOf: dict[str, _U] = {}
    Identity: dict[str, IdentityRecord] = {}
    Shape: dict[_Band, dict[_Level, _Offset]] = {}


class CanaryShare(_Group, frozen=True):
    """A candidate that a share of the tasks is already placed by."""

    Version: Annotated[int, Meta(ge=1)]
    Since: str
    Share: Annotated[float, Meta(ge=0, le=0.5)] = 0.2


class HistoryWindow(_Group, frozen=True):
    """The stretch of history that the parameters were learned from."""

    From: str
    To: str
    Tasks: Annotated[int, Meta(ge=0)]


class Document(_Group, frozen=True):
    """One whole parameter document. The defaults are the built-in parameters, in force while none is published."""

    Theta: ThetaTerms = ThetaTerms(0.1, 0.1, 0.3, 0.2)
    Risk: RiskTerms = RiskTerms(10.0, 1.0)
    AffinityW: AffinityTerms = AffinityTerms(1.0, 2.0, 0.5)
    PenaltyW: PenaltyTerms = PenaltyTerms(2.0, 1.0, 0.5)
    AffinityMatrix: dict[str, dict[str, _Affinity]] = {}
    PenaltyVector: dict[str, _Penalty] = {}
    schemaVersion: Annotated[int, Meta(ge=1, le=1)] = 1
    version: Annotated[int, Meta(ge=0, le=2**53)] = 0
    createdAt: str = ""
    checksum: str = ""
    model: str = LATENESS
    Tau: dict[str, _Seconds] = {}
    Lateness: LatenessTerms = LatenessTerms()
    Runtime: RuntimeModel = RuntimeModel()
    Canary: CanaryShare | None = None
    Window: HistoryWindow | None = None
    Evidence: dict[str, Any] = {}


_REQUIRED_IN: Final[dict[str, tuple[str, ...]]] = {
    "Lateness": LatenessTerms.__struct_fields__,
    "Runtime": ("ReferenceClass", "Kappa", "Mu"),
}


def defaults() -> Document:
    """Return the built-in parameters: version 0, the `lateness` rule, nothing learned."""
    return Document()


def parse(text: bytes | str) -> Document:
    """Read a document and check everything about it that it can show alone.

    Raises `ParameterError` that names the key, what is there and what would be right. Nothing is ever clipped:
    a value out of bounds means that its author is wrong about more than this value.
    """
    raw = _load(text)
    six_only = set(raw) <= SIX_KEYS
    for key in sorted(SIX_KEYS - set(raw)):
        raise ParameterError(key, "is missing; a document always has " + ", ".join(sorted(SIX_KEYS)))
    if not six_only:
        _check_completeness(raw)
        _check_checksum(raw)
    document = _convert(raw)
    _check_rules(document)
    return msgspec.structs.replace(document, version=0, model=HINGE) if six_only else document


def check_successor(current: Document, new: Document) -> None:
    """Refuse a document that is older than the one in force, or that re-uses its version for other content.

    Two documents without a version (the six keys only) may follow each other: they have no order.
    """
    if new.version > current.version + MAX_VERSION_STEP:
        raise ParameterError(
            "version",
            f"{new.version} is more than {MAX_VERSION_STEP} above {current.version}, which is in force; publish it as "
            f"version {current.version + 1}, or no version would be left for those that follow",
        )
    if new.version < current.version:
        raise ParameterError(
            "version",
            f"{new.version} is lower than {current.version}, which is in force; publish it "
            f"again as version {current.version + 1} or delete the ConfigMap first",
        )
    if new.version == current.version and new.version > 0 and new != current:
        raise ParameterError(
            "version", f"{new.version} is in force with other content; publish as {current.version + 1}"
        )


def checksum_of(raw: dict[str, Any]) -> str:
    """Sha256 (hex) of the JSON with sorted keys and no spaces, without `checksum` itself."""
    body = {key: value for key, value in raw.items() if key != "checksum"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def dump(document: Document) -> str:
    """Write a document with its checksum, ready to be published."""
    raw = {key: value for key, value in msgspec.to_builtins(document).items() if value is not None}
    raw["checksum"] = checksum_of(raw)
    return json.dumps(raw, indent=1, sort_keys=True, ensure_ascii=False)


def pack(text: str) -> str:
    """A document's text as it lies under a key of binaryData: gzip, base64; the same text gives the same bytes."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def unpack(packed: str) -> Document:
    """Read what `pack` wrote. Raises `ParameterError`; never unpacks more than a document may have."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(base64.b64decode(packed, validate=True))) as stream:
            text = stream.read(MAX_DOCUMENT_BYTES + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ParameterError("document", f"is not gzip in base64: {error}") from error
    return parse(text)


def _load(text: bytes | str) -> dict[str, Any]:
    if len(text) > MAX_DOCUMENT_BYTES:
        raise ParameterError("document", f"has {len(text)} bytes; at most {MAX_DOCUMENT_BYTES} are read")
    try:
        raw = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ParameterError("document", f"is not JSON: {error}") from error
    try:
        json.dumps(raw, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ParameterError("document", "holds half a character or is nested too deeply") from error
    if not isinstance(raw, dict):
        raise ParameterError("document", f"is a JSON {type(raw).__name__}; an object is expected")
    return raw


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise ParameterError(ascii(key)[1:-1], "stands twice in one object; which one is meant cannot be known")
        members[key] = value
    return members


def _no_constant(name: str) -> NoReturn:
    raise ParameterError("document", f"contains {name}, which is no number; write a finite one")


def _check_completeness(raw: dict[str, Any]) -> None:
    for key in ("schemaVersion", "version", "model", "checksum"):
        if key not in raw:
            raise ParameterError(key, "is missing; it is required beside any key but " + ", ".join(sorted(SIX_KEYS)))
    for group, names in _REQUIRED_IN.items():
        body = raw.get(group)
        if not isinstance(body, dict):
            continue  # absent means the defaults; a wrong type is reported with its path below
        for name in names:
            if name not in body:
                raise ParameterError(f"{group}.{name}", f"is missing; {group} is given whole or not at all")


def _check_checksum(raw: dict[str, Any]) -> None:
    try:
        expected = checksum_of(raw)
    except ValueError as error:  # a number such as 1e999 has become infinite
        raise ParameterError("document", f"holds a number that is too large: {error}") from error
    if raw["checksum"] != expected:
        raise ParameterError(
            "checksum",
            f"is {raw['checksum']!r} but the content gives {expected}; the document was "
            "edited by hand or cut short: publish it with cloudai-optimizer publish",
        )


def _convert(raw: dict[str, Any]) -> Document:
    try:
        return msgspec.convert(raw, Document)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        key = path.rstrip("`").lstrip(".") or "document"
        raise ParameterError(key, f"{problem[:1].lower()}{problem[1:]}{_value_at(raw, key)}") from error


def _value_at(raw: Any, key: str) -> str:  # noqa: ANN401  the value of free JSON has any type
    for part in key.split("."):
        if not isinstance(raw, dict) or part not in raw:
            return ""
        raw = raw[part]
    return f", got {str(raw)[:60]!r}"


def _check_rules(document: Document) -> None:
    if document.model not in {HINGE, LATENESS}:
        raise ParameterError("model", f"is {document.model!r}; write {HINGE!r} or {LATENESS!r}")
    weights = document.AffinityW
    if not weights.A2 > weights.A1 > weights.A3:
        raise ParameterError("AffinityW", f"needs A2 > A1 > A3, got A1={weights.A1}, A2={weights.A2}, A3={weights.A3}")
    penalties = document.PenaltyW
    if not penalties.G1 > penalties.G2 > penalties.G3:
        raise ParameterError(
            "PenaltyW", f"needs G1 > G2 > G3, got G1={penalties.G1}, G2={penalties.G2}, G3={penalties.G3}"
        )
    lowest = -10.0 if penalties.G4 > 0 else 0.0
    for node, score in document.PenaltyVector.items():
        if score < lowest:
            raise ParameterError(f"PenaltyVector.{node}", f"is {score}; at least {lowest} (negative only where G4 > 0)")
    _check_free(document.Evidence, "Evidence")
    if len(json.dumps(document.Evidence)) > MAX_EVIDENCE_BYTES:
        raise ParameterError("Evidence", f"is longer than {MAX_EVIDENCE_BYTES} bytes; keep what a person reads")


def _check_free(value: Any, path: str, depth: int = 0) -> None:  # noqa: ANN401  free JSON
    """Free JSON is for people: its numbers have an end, and so has its nesting."""
    if depth > MAX_FREE_DEPTH:
        raise ParameterError(path, f"is nested more than {MAX_FREE_DEPTH} levels deep; flatten it")
    if isinstance(value, dict):
        for key, part in value.items():
            _check_free(part, f"{path}.{key}"[:100], depth + 1)
    elif isinstance(value, list):
        for part in value:
            _check_free(part, path, depth + 1)
    elif isinstance(value, int | float) and not abs(value) < MAX_FREE_NUMBER:
        raise ParameterError(
            path, f"holds {str(value)[:40]}, a number of {MAX_FREE_NUMBER:g} or more; write a finite one"
        )
