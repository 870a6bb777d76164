"""etcd and kube-apiserver on free ports of the loopback, with RBAC, and kubeconfigs for those who use them."""

import base64
import json
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from cloudai_rts import contract
from cloudai_sandbox import binaries, certificates
from cloudai_sandbox.binaries import Binaries
from cloudai_sandbox.certificates import Certificates
from cloudai_sandbox.errors import StartError
from cloudai_sandbox.processes import Child, Children, free_ports

READY_SECONDS: Final = 90.0
SCHEMA_SECONDS: Final = 6.0
"""After so long without a refusal the API server has read the schema that it will go by."""
_TOKEN_SECONDS: Final = 7 * 24 * 3600
_DISABLED_ADMISSION: Final = ("TaintNodesByCondition",)
"""It taints every new node not-ready, and nothing here would ever remove that."""
ROOT: Final = Path(__file__).parents[2]


@dataclass(slots=True)
class ControlPlane:
    """One etcd and one kube-apiserver with their files in `folder`.

    Without a `port` a free one is taken; the server's certificate also holds for `addresses`.
    """

    folder: Path
    binaries: Binaries
    children: Children
    arguments: Sequence[str] = ()
    port: int = 0
    addresses: Sequence[str] = ()
    files: Certificates = field(init=False)
    etcd: Child = field(init=False)
    apiserver: Child = field(init=False)
    _etcd_port: int = 0
    _is_prepared: bool = False

    @property
    def server(self) -> str:
        """Address of the API server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def etcd_server(self) -> str:
        """Address of etcd."""
        return f"http://127.0.0.1:{self._etcd_port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "admin.kubeconfig"

    def prepare(self) -> None:
        """Issue the certificates, for arguments that name further ones; `start` does it where this was not called."""
        self.files = certificates.issue(self.folder / "certificates", self.addresses)
        self._is_prepared = True

    def start(self) -> None:
        """Start both and wait until the API server is ready. Raises `StartError`."""
        if not self._is_prepared:
            self.prepare()
        port, self._etcd_port, peer = free_ports(3)
        self.port = self.port or port
        self.etcd = self.children.start(
            "etcd",
            [
                self.binaries.path("etcd"),
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls=http://127.0.0.1:{self._etcd_port}",
                f"--advertise-client-urls=http://127.0.0.1:{self._etcd_port}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        )
        self.start_apiserver()
        self._write_admin_kubeconfig()

    def start_apiserver(self) -> None:
        """Start kube-apiserver on the port it always had, and wait until it is ready."""
        files = self.files
        self.apiserver = self.children.start(
            "kube-apiserver",
            [
                self.binaries.path("kube-apiserver"),
                f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
                f"--secure-port={self.port}",
                "--bind-address=127.0.0.1",
                f"--tls-cert-file={files.server}",
                f"--tls-private-key-file={files.server_key}",
                f"--client-ca-file={files.authority}",
                f"--service-account-key-file={files.server_key}",
                f"--service-account-signing-key-file={files.server_key}",
                "--service-account-issuer=https://cloudai-sandbox.invalid",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.96.0.0/16",
                f"--disable-admission-plugins={','.join(_DISABLED_ADMISSION)}",
                "--shutdown-delay-duration=0s",
                *self.arguments,
            ],
        )
        self._wait_ready()

    def stop_apiserver(self) -> None:
        """Stop it and wait until it has ended: a second one on its port would answer with an old certificate.

        It would wait a minute for clients that watch to go away; in a sandbox nobody has the patience.
        """
        self.apiserver.stop(2.0)
        self.children.running.remove(self.apiserver)

    def kubectl(self, *arguments: str, kubeconfig: Path | None = None, check: bool = True) -> str:
        """Run kubectl as the administrator. Raises `StartError` with its words if it fails and `check` is set."""
        done = subprocess.run(
            [self.binaries.path("kubectl"), f"--kubeconfig={kubeconfig or self.kubeconfig}", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise StartError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout if check else done.stdout + done.stderr

    def install(self, namespaces: Sequence[str] = ("default",)) -> None:
        """Namespaces with their default service account, the Task schema, and RBAC from the chart's source."""
        for name in (contract.NAMESPACE, *namespaces):
            self.create_namespace(name)
        crd = manifest("task.yaml", ROOT / "crds" / "task.yaml")
        self._apply(crd)
        self._apply(manifest("rbac.yaml", ROOT / "charts" / "cloudai" / "files" / "rbac.yaml"))
        self.wait_for_tasks()

    def create_namespace(self, name: str) -> None:
        """Create a namespace and its default service account, without which pods are refused (no controllers here)."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
        self._apply(json.dumps(body) + "\n")
        self._apply(json.dumps(account) + "\n")

    def service_account_kubeconfig(
        self, account: str, namespace: str = contract.NAMESPACE, server: str | None = None
    ) -> Path:
        """A kubeconfig with a token of this service account: what runs with it may do what its role allows.

        `server` is the address to use instead of the API server's own (a proxy).
        """
        file = self.folder / f"{namespace}-{account}.kubeconfig"
        token = self.kubectl(
            "create", "token", account, f"--namespace={namespace}", f"--duration={_TOKEN_SECONDS}s"
        ).strip()
        _write_private(file, self._kubeconfig({"token": token}, server))
        return file

    def user_kubeconfig(self, user: str, group: str = "") -> Path:
        """A kubeconfig with a certificate of this user, such as a component of the control plane."""
        certificate, key = self.files.issuer.client(self.folder / "certificates", user, group)
        file = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        values = {"client-certificate-data": _encoded(certificate), "client-key-data": _encoded(key)}
        _write_private(file, self._kubeconfig(values))
        return file

    def start_controllers(self, *arguments: str) -> Child:
        """Start kube-controller-manager: Deployments, Jobs, namespaces and owners come to life."""
        config = self.user_kubeconfig("system:kube-controller-manager")
        return self.children.start(
            binaries.CONTROLLERS,
            [
                self.binaries.path(binaries.CONTROLLERS),
                f"--kubeconfig={config}",
                "--use-service-account-credentials",
                f"--service-account-private-key-file={self.files.server_key}",
                f"--root-ca-file={self.files.authority}",
                "--leader-elect=false",
                "--secure-port=0",
                *arguments,
            ],
        )

    def wait_for_tasks(self) -> None:
        """Wait until the API server takes Tasks. Raises `StartError` if it does not.

        A policy that changes them needs their schema, which it reads again every five seconds while that is new: until
        then, and in between, there are refusals.
        """
        self.kubectl("wait", "--for=condition=Established", "crd/tasks.cloudai.dev", "--timeout=60s")
        changes = self.kubectl("get", "mutatingadmissionpolicies", "--output=name", check=False)
        limits = {"cpu": 0.5 if "-numbers" in changes else "0.5"}
        meta = {"name": "tried", "namespace": "default"}
        body = {"apiVersion": contract.API_VERSION, "kind": contract.KIND, "metadata": meta}
        file = self.folder / "tried.json"
        file.write_text(json.dumps({**body, "spec": {"image": "x", "resources": {"limits": limits}}}), encoding="utf-8")
        now = time.monotonic()
        end, steady = now + READY_SECONDS, now + (SCHEMA_SECONDS if "-numbers" in changes else 0.0)
        while True:
            said = self.kubectl("create", "--dry-run=server", f"--filename={file}", check=False)
            now = time.monotonic()
            if "created" in said and now >= steady:
                return
            if "created" not in said:
                steady = now + SCHEMA_SECONDS
            if now > end:
                raise StartError(f"no Task can be created: {said.strip()}")
            time.sleep(0.3)

    def _apply(self, text: str) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=self.folder) as file:
            file.write(text)
            file.flush()
            self.kubectl("apply", "--server-side", f"--filename={file.name}")

    def _wait_ready(self) -> None:
        context = ssl.create_default_context(cafile=str(self.files.authority))
        context.load_cert_chain(self.files.admin, self.files.admin_key)
        end = time.monotonic() + READY_SECONDS
        problem = "no answer"
        while time.monotonic() < end:
            self.apiserver.check()
            self.etcd.check()
            try:
                with urllib.request.urlopen(f"{self.server}/readyz", context=context, timeout=5) as answer:  # noqa: S310  our own
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError) as error:
                problem = str(error)
            time.sleep(0.1)
        raise StartError(
            f"kube-apiserver is not ready after {READY_SECONDS:.0f} s ({problem}); see {self.apiserver.log}"
        )

    def _write_admin_kubeconfig(self) -> None:
        user = {
            "client-certificate-data": _encoded(self.files.admin),
            "client-key-data": _encoded(self.files.admin_key),
        }
        _write_private(self.kubeconfig, self._kubeconfig(user))

    def _kubeconfig(self, user: dict[str, str], server: str | None = None) -> str:
        cluster = {"server": self.server, "certificate-authority-data": _encoded(self.files.authority)}
        if server is not None:
            cluster = {"server": server}
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": cluster}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "user"}}],
            "current-context": "sandbox",
        }
        return yaml.safe_dump(config)


def manifest(name: str, source: Path) -> str:
    """Text of a manifest: from the checkout, or from the installed package."""
    if source.is_file():
        return source.read_text(encoding="utf-8")
    return (resources.files("cloudai_sandbox") / "manifests" / name).read_text(encoding="utf-8")


def log_nothing(_text: str) -> None:
    """A `say` for those who want no progress."""


Say = Callable[[str], None]


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
