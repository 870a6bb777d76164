"""Where the API server is and who we are there.

The official `kubernetes` package reads kubeconfig files and in-cluster credentials, with all their variants (exec
plug-ins, token files, client certificates); this module turns what it found into what an HTTP session needs.
"""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cloudai_kube.errors import ConfigurationError

TOKEN_REFRESH_SECONDS: Final = 60.0
_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(slots=True)
class Connection:
    """Address, TLS and credentials of one API server. `authorization()` follows tokens that are rotated."""

    server: str
    ssl_context: ssl.SSLContext | None
    authority_file: str | None
    certificate_file: str | None
    key_file: str | None
    _token: Callable[[], str | None]
    _cached: str | None = None
    _read_at: float = field(default=-1e9)

    def authorization(self) -> str | None:
        """Return the Authorization header's value, read again every minute; None with client certificates only."""
        if time.monotonic() - self._read_at > TOKEN_REFRESH_SECONDS:
            self._cached = self._token()
            self._read_at = time.monotonic()
        return self._cached


def load(kubeconfig: str = "", context: str = "") -> Connection:
    """Connection from a kubeconfig (empty: $KUBECONFIG or ~/.kube/config), else from inside a cluster.

    Raises `ConfigurationError` where neither is usable.
    """
    from kubernetes import client, config

    loaded = client.Configuration()
    try:
        if not kubeconfig and _SERVICE_ACCOUNT.exists():
            config.load_incluster_config(client_configuration=loaded)
        else:
            config.load_kube_config(kubeconfig or None, context or None, client_configuration=loaded)
    except (config.ConfigException, OSError, ValueError) as error:
        where = kubeconfig or "$KUBECONFIG, ~/.kube/config or the pod's service account"
        raise ConfigurationError(f"no usable cluster configuration in {where}: {error}; set KUBECONFIG") from error
    return Connection(
        server=loaded.host,
        ssl_context=_ssl_context(loaded),
        authority_file=loaded.ssl_ca_cert,
        certificate_file=loaded.cert_file,
        key_file=loaded.key_file,
        _token=lambda: loaded.get_api_key_with_prefix("BearerToken", "authorization"),
    )


def _ssl_context(loaded: Any) -> ssl.SSLContext | None:  # noqa: ANN401  the package ships no types
    if not loaded.host.startswith("https"):
        return None
    context = ssl.create_default_context(cafile=loaded.ssl_ca_cert)
    if not loaded.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if loaded.cert_file:
        context.load_cert_chain(loaded.cert_file, loaded.key_file)
    return context
