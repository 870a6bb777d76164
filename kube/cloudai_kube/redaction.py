"""Secrets cut out of texts: the one rule for whatever is logged, shown, written to an object or told in an error."""

import re
from typing import Final

HIDDEN: Final = "***"
_USER_INFO: Final = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s'\"]*@")
"""`scheme://user:password@`, up to the last @: passwords hold @ and / too."""
_PARAMETERS: Final = re.compile(
    r"(?P<name>(?:[?&;]|\b)(?:[\w-]*(?:token|password|passwd|secret|api[_-]?key|access[_-]?key|signature|credential)[\w-]*)"
    r"(?:=|%3D))[^&\s'\"#;,)]+",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"(?P<word>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)


def redacted(text: str) -> str:
    """The text without the credentials of URLs, secret parameters and authorization headers."""
    if "@" in text:
        text = _USER_INFO.sub(rf"\g<scheme>{HIDDEN}@", text)
    if "=" in text or "%3" in text:  # the pattern is slow, and nearly no text of ours has any
        text = _PARAMETERS.sub(rf"\g<name>{HIDDEN}", text)
    return _BEARER.sub(rf"\g<word>{HIDDEN}", text)
