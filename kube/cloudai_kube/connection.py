"""Where the API server is and who we are there.

The official `kubernetes` package reads kubeconfig files and in-cluster credentials, with all their variants (exec
plug-ins, token files, client certificates); this module turns what it found into what an HTTP session needs. It is the
only reader: kopf gets a session made from the same `Connection`. What kubectl heeds and we do not is refused by name.
"""

import asyncio
import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cloudai_kube.errors import ConfigurationError
from cloudai_kube.redaction import redacted

_log = logging.getLogger(__name__)
TOKEN_REFRESH_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.05
RENEW_SECONDS: Final = 5.0
"""Between two readings of the whole configuration after the API server refused our token."""
_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_UNUSABLE: Final = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What the package raises for files that are no kubeconfig."""
_IMPERSONATION: Final = ("as", "as-uid", "as-groups", "as-user-extra")
_PROXIES: Final = ("http://", "https://")

Token = Callable[[], str | None]
CertificateFiles = tuple[str, str | None]
"""A client certificate and its key, if that is in a file of its own."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The identity of this process: a token that is read when needed, a client certificate, or both."""

    token: Token
    certificate: CertificateFiles | None = None
    context: Callable[[], ssl.SSLContext | None] = lambda: None
    """TLS with the certificate, made where it is another one than before."""


@dataclass(slots=True)
class Connection:
    """Address, TLS and credentials of one API server. `authorization` follows tokens that are rotated.

    Reading a token may open files or run an exec plug-in, so it is done in a thread, never on an event loop.
    `server_name` is the name in the server's certificate where that is not its host; `proxy` a URL.
    """

    server: str
    ssl_context: ssl.SSLContext | None
    token: Token = lambda: None
    reread: Callable[[], Credentials] | None = None
    server_name: str | None = None
    proxy: str | None = None
    authority_file: str | None = None
    certificate: CertificateFiles | None = None
    certificates: int = 0
    _certificate_read: bytes = b""
    _cached: str | None = None
    _read_at: float = field(default=-1e9)
    _renewed_at: float = field(default=-1e9)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._take(self.token())
        self._certificate_read = _content(self.certificate)

    async def authorization(self) -> str | None:
        """Return the Authorization header's value, read again every minute; None with client certificates only."""
        if time.monotonic() - self._read_at > TOKEN_REFRESH_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._take(await asyncio.to_thread(self.token))
            except Exception as error:  # noqa: BLE001  likewise: the token that we have may hold for a while
                self._read_at = time.monotonic()
                _log.warning("the token cannot be read again: %s", redacted(str(error)))
            finally:
                self._lock.release()
        return self._cached

    async def renew(self, refused: str | None, certificates: int = 0) -> bool:
        """Read the configuration anew after a 401, as client-go does. True if there is something else to try.

        `refused` and `certificates` are what the request went with. A new client certificate holds for connections that
        are made from now on.
        """
        end = time.monotonic() + RENEW_SECONDS
        # Somebody reads it, perhaps on another loop: many requests fail at once.
        while self._lock.locked() and time.monotonic() < end:  # noqa: ASYNC110  a lock of threads has no events
            await asyncio.sleep(LOOK_SECONDS)
        if self._cached != refused or self.certificates != certificates:
            return True
        if self.reread is None or time.monotonic() - self._renewed_at < RENEW_SECONDS:
            return False
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._renewed_at = time.monotonic()
            credentials = await asyncio.to_thread(self.reread)
            self.token = credentials.token
            self._take(await asyncio.to_thread(self.token))
            is_other_certificate = await asyncio.to_thread(self._present, credentials)
        except Exception as error:  # noqa: BLE001  somebody is writing the file, or a plug-in is broken: as before
            _log.warning("credentials cannot be renewed: %s", redacted(str(error)))
            return False
        finally:
            self._lock.release()
        return is_other_certificate or self._cached != refused

    def _present(self, credentials: Credentials) -> bool:
        """Show this certificate in handshakes from now on. True if it is another one than before.

        The context in use stays as it is: a pair of which one half is written yet would leave it without any.
        """
        content = _content(credentials.certificate)
        if credentials.certificate is None or self.ssl_context is None or content == self._certificate_read:
            return False
        self.ssl_context = credentials.context()
        self.certificate, self._certificate_read = credentials.certificate, content
        self.certificates += 1
        return True

    def _take(self, token: str | None) -> None:
        self._cached = token
        self._read_at = time.monotonic()


def load(kubeconfig: str = "", context: str = "") -> Connection:
    """Connection from a kubeconfig (empty: $KUBECONFIG or ~/.kube/config), else from inside a cluster.

    Raises `ConfigurationError` where neither is usable.
    """
    loaded = _read(kubeconfig, context)
    try:
        ssl_context = _ssl_context(loaded)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigurationError(f"kubeconfig: its certificates cannot be read: {error}") from error
    proxy = getattr(loaded, "proxy", None)
    if proxy and not str(proxy).startswith(_PROXIES):
        raise ConfigurationError(
            f"kubeconfig: proxy-url {redacted(str(proxy))} is not supported; use an http:// or https:// proxy"
        )
    return Connection(
        server=loaded.host,
        ssl_context=ssl_context,
        token=_token_of(loaded),
        reread=lambda: _credentials_of(_read(kubeconfig, context)),
        server_name=getattr(loaded, "tls_server_name", None),
        proxy=proxy,
        authority_file=loaded.ssl_ca_cert,
        certificate=_credentials_of(loaded).certificate,
    )


def _read(kubeconfig: str, context: str) -> Any:  # noqa: ANN401  the package ships no types
    import yaml
    from kubernetes import client, config

    loaded = client.Configuration()
    try:
        if not kubeconfig and _SERVICE_ACCOUNT.exists():
            config.load_incluster_config(client_configuration=loaded)
        else:
            _refuse_impersonation(kubeconfig, context)
            config.load_kube_config(kubeconfig or None, context or None, client_configuration=loaded)
    except ConfigurationError:
        raise
    except (config.ConfigException, *_UNUSABLE, yaml.YAMLError) as error:
        where = kubeconfig or "$KUBECONFIG, ~/.kube/config or the pod's service account"
        raise ConfigurationError(f"no usable cluster configuration in {where}: {error}; set KUBECONFIG") from error
    return loaded


def _refuse_impersonation(kubeconfig: str, context: str) -> None:
    """The package ignores these fields: we would act in another name than kubectl does."""
    from kubernetes.config import kube_config

    merged = kube_config.KubeConfigMerger(kubeconfig or kube_config.KUBE_CONFIG_DEFAULT_LOCATION).config
    if merged is None:
        return
    config = merged.value
    contexts = _by_name(config.get("contexts"), "context")
    name = str(contexts.get(str(context or config.get("current-context")), {}).get("user"))
    user = _by_name(config.get("users"), "user").get(name, {})
    for key in _IMPERSONATION:
        if key in user:
            raise ConfigurationError(f"kubeconfig: user {name!r} has {key!r}, which is not supported; remove it")


def _by_name(entries: Any, part: str) -> dict[str, dict[str, Any]]:  # noqa: ANN401  YAML, wrapped or not
    """Contexts or users of a kubeconfig by their name."""
    plain = [getattr(entry, "value", entry) for entry in getattr(entries, "value", entries) or ()]
    return {entry.get("name"): getattr(entry.get(part), "value", entry.get(part)) or {} for entry in plain}


def _content(certificate: CertificateFiles | None) -> bytes:
    return b"" if certificate is None else b"".join(Path(file).read_bytes() for file in certificate if file)


def _credentials_of(loaded: Any) -> Credentials:  # noqa: ANN401  the package ships no types
    certificate = (loaded.cert_file, loaded.key_file) if loaded.cert_file else None
    return Credentials(_token_of(loaded), certificate, lambda: _ssl_context(loaded))


def _token_of(loaded: Any) -> Token:  # noqa: ANN401  the package ships no types
    def token() -> str | None:
        header: str | None = loaded.get_api_key_with_prefix("BearerToken", "authorization")
        return header and header.strip()  # a token file ends with a newline as often as not

    return token


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
