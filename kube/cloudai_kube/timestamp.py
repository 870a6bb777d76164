"""RFC 3339 times, as Kubernetes writes them, to seconds since the epoch and back."""

from datetime import UTC, datetime
from typing import Final

from cloudai_kube.errors import FormatError

_EARLIEST: Final = 0.0
_LATEST: Final = 221_845_392_000.0


def parse(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time with a zone. Raises `FormatError`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise FormatError(f"{text!r} is no RFC 3339 time; write for example 2026-03-01T18:00:00Z") from error
    if moment.tzinfo is None:
        raise FormatError(f"{text!r} has no time zone; append Z for UTC")
    try:
        seconds = moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{text!r} is out of range") from error
    if not _EARLIEST <= seconds <= _LATEST:
        raise FormatError(f"{text!r} is not between the years 1970 and 9000")
    return seconds


def parse_optional(text: str | None) -> float | None:
    """Parse what may be absent; None stays None."""
    return parse(text) if text else None


def millis(seconds: float) -> str:
    """RFC 3339 UTC with milliseconds: what our annotations carry."""
    moment = datetime.fromtimestamp(min(max(seconds, _EARLIEST), _LATEST), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def micros(seconds: float) -> str:
    """RFC 3339 UTC with microseconds: Kubernetes' MicroTime (Leases, event times)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def whole_seconds(seconds: float) -> str:
    """RFC 3339 UTC with seconds: Kubernetes' Time (conditions, core events)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
