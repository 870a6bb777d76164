"""Secrets cut out of texts: the one rule for whatever is logged, shown, written to an object or told in an error.

What this process was given as a secret is known by its letters (`keep_secrets_of`); others are known by where they
stand: in the address of a URL, as a parameter with a telling name, behind `Bearer`.
"""

import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

HIDDEN: Final = "***"
LEAST_LETTERS: Final = 8
"""Shorter secrets are looked for where they stand only: they may be parts of words."""
LONG_SEGMENT: Final = 16
"""So long a part of a path may be a token."""
_USER_INFO: Final = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s'\"]*@")
"""`scheme://user:password@`, up to the last @: passwords hold @ and / too."""
_PARAMETERS: Final = re.compile(
    r"(?P<name>(?:(?:[?&;]|\b)(?:[\w-]*(?:token|password|passwd|secret|api[_-]?key|access[_-]?key|signature|credential)"
    r"[\w-]*)|[?&;](?:key|auth|sig|pwd|pass|jwt|sas))(?:=|%3D))[^&\s'\"#;,)]+",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"(?P<word>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)
_kept: set[str] = set()
"""Of this process, from its settings."""


def redacted(text: str) -> str:
    """The text without the credentials of URLs, secret parameters and authorization headers."""
    for secret in sorted(_kept, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    if "@" in text:
        text = _USER_INFO.sub(rf"\g<scheme>{HIDDEN}@", text)
    if "=" in text or "%3" in text:  # the pattern is slow, and nearly no text of ours has any
        text = _PARAMETERS.sub(rf"\g<name>{HIDDEN}", text)
    return _BEARER.sub(rf"\g<word>{HIDDEN}", text)


def keep_secrets_of(address: str, has_plain_query: bool = False) -> None:
    """Never show the secrets of an address again, however it is written: with a scheme or without.

    `has_plain_query`: its parameters are no secrets, as those of a MongoDB URI.
    """
    begin, _, parameters = address.partition("?")
    rest = begin.partition("://")[2] or begin
    user_info, at, place = rest.rpartition("@")
    user, _, password = user_info.lstrip("/").partition(":")
    secrets = {password or (user if len(user) >= LONG_SEGMENT else "")} if at else set()
    secrets |= {part for part in place.split("/")[1:] if len(part) >= LONG_SEGMENT}
    if not has_plain_query:
        secrets |= {value for _, value in parse_qsl(parameters)}
    for secret in secrets:
        _kept.update(each for each in (secret, unquote(secret), quote(secret)) if len(each) >= LEAST_LETTERS)
