"""How to reach a server with Prometheus' API: address, credentials, and which of its series are ours."""

import re
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from cloudai_kube.errors import ConfigurationError
from cloudai_kube.redaction import keep_secrets_of, redacted

_SELECTOR: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\b((?:node|DCGM|container|kube)_\w+)(\{[^{}]*\})?')
"""A series in one of our own queries, and its matchers; or a quoted text, in which no name is a series."""
_MATCHERS: Final = re.compile(
    r'[a-zA-Z_]\w*(?:=|!=|=~|!~)"(?:[^"\\]|\\.)*"(?:,\s*[a-zA-Z_]\w*(?:=|!=|=~|!~)"(?:[^"\\]|\\.)*")*'
)

CLUSTER: Final = "cluster"
_LABEL: Final = "^[a-zA-Z_][a-zA-Z0-9_]*$"
_GROUPED: Final = re.compile(rf"(?<=[(\s,]){CLUSTER}(?=[,)])")
"""The label in the groups of our own queries."""
_NO_HOST: Final = re.compile(r"[\s'\"<>\\^`{|}]")
"""What a user and a password have to write with %."""


class PrometheusSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of every process that asks Prometheus."""

    prometheus_url: Annotated[str, Meta(description="node and GPU metrics, also $PROMETHEUS_URL; empty: none")] = ""
    prometheus_matchers: Annotated[
        str, Meta(description='label matchers of every query, such as cluster="east"; empty: none')
    ] = ""
    prometheus_cluster_label: Annotated[
        str, Meta(pattern=_LABEL, description="label that tells clusters apart in a Prometheus that several share")
    ] = CLUSTER
    prometheus_token_file: Annotated[str, Meta(description="file with a bearer token, read again each time")] = ""
    prometheus_ca_file: Annotated[str, Meta(description="certificate authority of an https address")] = ""

    def access(self) -> "Access | None":
        """How to reach it, None without an address. Raises `ConfigurationError`."""
        if not self.prometheus_url:
            return None
        return Access(
            self.prometheus_url,
            self.prometheus_matchers,
            self.prometheus_token_file,
            self.prometheus_ca_file,
            self.prometheus_cluster_label,
        )


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one server. `matchers` (`cluster="east"`) go into every query; files are read again when needed.

    `cluster_label` is the label that tells clusters apart there; queries and answers are written with `CLUSTER`.

    Credentials in the URL are used, and never shown: `shown` is what messages say.
    """

    url: str
    matchers: str = ""
    token_file: str = ""
    ca_file: str = ""
    cluster_label: str = CLUSTER

    def __post_init__(self) -> None:
        if self.matchers and not _MATCHERS.fullmatch(self.matchers):
            raise ConfigurationError(
                f"prometheus_matchers is no list of label matchers: {redacted(self.matchers)}; write for example "
                'cluster="east",env=~"prod.*"'
            )

        keep_secrets_of(self.url)
        host = self.url.partition("://")[2].partition("/")[0]
        is_ambiguous = host.count("@") != self.url.count("@") or host.count("@") > 1
        if host and is_ambiguous:  # half of a password would be taken for a host
            raise ConfigurationError("prometheus_url: write %40 for @ and %2F for / in user and password")
        if not self.shown:
            raise ConfigurationError(
                "prometheus_url is no address of a server (it is not repeated here, it may hold a password); write "
                "http://HOST:PORT or https://HOST:PORT"
            )

    @property
    def shown(self) -> str:
        """Scheme, host and port, which is what a message may say of it; empty where it has none."""
        try:
            parts = urlsplit(self.url)
            port = "" if parts.port is None else f":{parts.port}"
        except ValueError:
            return ""
        if parts.scheme not in {"http", "https"} or not parts.hostname or _NO_HOST.search(parts.netloc):
            return ""
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{parts.scheme}://{host}{port}"

    def query(self, text: str) -> str:
        """The query with the matchers in each of its selectors, and the label of clusters as it is called there."""
        text = _GROUPED.sub(self.cluster_label, text)
        return _SELECTOR.sub(self._narrowed, text) if self.matchers else text

    def _narrowed(self, selector: re.Match[str]) -> str:
        if selector.group(1) is None:
            return selector.group()
        own = (selector.group(2) or "").strip("{}")
        return f"{selector.group(1)}{{{own}{',' if own else ''}{self.matchers}}}"
