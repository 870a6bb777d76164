"""How to reach a server with Prometheus' API: address, credentials, and which of its series are ours."""

import re
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from cloudai_kube.errors import ConfigurationError
from cloudai_kube.redaction import redacted

_SELECTOR: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\b((?:node|DCGM|container|kube)_\w+)(\{[^{}]*\})?')
"""A series in one of our own queries, and its matchers; or a quoted text, in which no name is a series."""
_MATCHERS: Final = re.compile(
    r'[a-zA-Z_]\w*(?:=|!=|=~|!~)"(?:[^"\\]|\\.)*"(?:,\s*[a-zA-Z_]\w*(?:=|!=|=~|!~)"(?:[^"\\]|\\.)*")*'
)


class PrometheusSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of every process that asks Prometheus."""

    prometheus_url: Annotated[str, Meta(description="node and GPU metrics, also $PROMETHEUS_URL; empty: none")] = ""
    prometheus_matchers: Annotated[
        str, Meta(description='label matchers of every query, such as cluster="east"; empty: none')
    ] = ""
    prometheus_token_file: Annotated[str, Meta(description="file with a bearer token, read again each time")] = ""
    prometheus_ca_file: Annotated[str, Meta(description="certificate authority of an https address")] = ""

    def access(self) -> "Access | None":
        """How to reach it, None without an address. Raises `ConfigurationError`."""
        if not self.prometheus_url:
            return None
        return Access(
            self.prometheus_url, self.prometheus_matchers, self.prometheus_token_file, self.prometheus_ca_file
        )


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one server. `matchers` (`cluster="east"`) go into every query; files are read again when needed.

    Credentials in the URL are used, and never shown: `shown` is what messages say.
    """

    url: str
    matchers: str = ""
    token_file: str = ""
    ca_file: str = ""

    def __post_init__(self) -> None:
        if self.matchers and not _MATCHERS.fullmatch(self.matchers):
            raise ConfigurationError(
                f"prometheus_matchers = {redacted(self.matchers)!r} is no list of label matchers; write for example "
                'cluster="east",env=~"prod.*"'
            )

        try:
            urlsplit(self.url)
        except ValueError as error:
            raise ConfigurationError(f"prometheus_url = {self.shown!r}: {error}; write http://HOST:PORT") from None
        host = self.url.partition("://")[2].partition("/")[0]
        if (
            host.count("@") != self.url.count("@") or host.count("@") > 1
        ):  # half of a password would be taken for a host
            raise ConfigurationError(
                f"prometheus_url = {self.shown!r}: write %40 for @ and %2F for / in user and password"
            )

    @property
    def shown(self) -> str:
        """The address without credentials."""
        return redacted(self.url.rstrip("/"))

    def query(self, text: str) -> str:
        """The query with the matchers in each of its selectors."""
        return _SELECTOR.sub(self._narrowed, text) if self.matchers else text

    def _narrowed(self, selector: re.Match[str]) -> str:
        if selector.group(1) is None:
            return selector.group()
        own = (selector.group(2) or "").strip("{}")
        return f"{selector.group(1)}{{{own}{',' if own else ''}{self.matchers}}}"
