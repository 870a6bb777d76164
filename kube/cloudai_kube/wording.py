"""Errors in words that a person who runs a cluster can use: no names of Python's classes and types.

Our own errors say what to do already. What comes from elsewhere is either about an object that cannot be read, which is
put into words, or a fault of ours, whose details only the log has.
"""

import re
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor
from typing import Final

import msgspec

UNKNOWN: Final = "internal error; the log has the details, please report it"
_OURS: Final = "cloudai_"
_TYPES: Final[Mapping[str, str]] = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_MISMATCH: Final = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<given>[^`]*)`")
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_PATH: Final = re.compile(r" - at `\$?\.?(?P<path>[^`]*)`")


def sentence(error: BaseException) -> str:
    """What an Event, a condition or a report says of an error."""
    if type(error).__module__.startswith(_OURS):
        return str(error)
    if isinstance(error, msgspec.DecodeError):
        return _unreadable(str(error))
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OverflowError):
        return "a number in it is out of range"
    if isinstance(error, BrokenExecutor):
        return "a worker process died, as it does where memory is short"
    if isinstance(error, TimeoutError):
        return "no answer came in time"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return UNKNOWN


def told(error: BaseException) -> str:
    """The same, with what its owner may do about an object that cannot be handled."""
    said = sentence(error)
    return said if said == UNKNOWN else f"{said}; correct or delete it"


def _unreadable(text: str) -> str:
    """msgspec's words in ours."""
    path = _PATH.search(text)
    where = path["path"] if path is not None and path["path"] else "the object"
    if (match := _MISMATCH.search(text)) is not None:
        wanted = " or ".join(_TYPES.get(name.strip(), name.strip()) for name in match["wanted"].split("|"))
        return f"{where} is {_TYPES.get(match['given'], match['given'])} where {wanted} belongs"
    if (match := _MISSING.search(text)) is not None:
        return f"{where} lacks {match['field']}"
    return f"{where} cannot be read: {_PATH.sub('', text)}"
