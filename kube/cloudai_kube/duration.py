"""Durations as Go writes them (`2h30m`, `1.5h`, `90s`), to seconds and back."""

import re
from typing import Final

from cloudai_kube.errors import FormatError

_UNIT_SECONDS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_WHOLE: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")


def parse(text: str) -> float:
    """Seconds of a positive duration. Raises `FormatError`."""
    if not _WHOLE.fullmatch(text) or len(text) > 32:
        raise FormatError(f"{text[:40]!r} is no duration; write for example 90s, 45m or 2h30m")
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(text))
    if not 0 < seconds <= 31_536_000:
        raise FormatError(f"{text!r} is not more than 0 and at most 8760h")
    return seconds


def human(seconds: float) -> str:
    """A duration for people: the two largest units, such as `2h30m` or `45s`."""
    whole = round(abs(seconds))
    sign = "-" if seconds < 0 and whole else ""
    parts = [(whole // 86400, "d"), (whole % 86400 // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s")]
    shown = [f"{count}{unit}" for count, unit in parts if count][:2]
    return sign + ("".join(shown) or "0s")
