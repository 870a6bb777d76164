"""etcd, kube-apiserver and their like: from KUBEBUILDER_ASSETS, else built once from pinned Go modules.

The modules with their checksums lie beside this file; what is built from them is kept in the user's cache under a key
made of them, so that a changed pin is built anew and an unchanged one never again.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudai_sandbox.errors import BuildError

KUBERNETES: Final = "1.37.2"
"""The release that the sandbox runs and that benchmarks compare with; `KUBERNETES=1.36.3` makes it another."""
_MODULES: Final = Path(__file__).parent / "modules"
_PACKAGES: Final = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
}
_SERVICES: Final = {
    "prometheus": "github.com/prometheus/prometheus/cmd/prometheus",
    "ferretdb": ".",
    "helm-3": "helm.sh/helm/v3/cmd/helm",
    "helm-4": "helm.sh/helm/v4/cmd/helm",
}
"""Each has a module of its own, because its requirements differ from Kubernetes'."""
_TAGS: Final = {"prometheus": "remove_all_sd"}
CONTROL_PLANE: Final = ("etcd", "kube-apiserver", "kubectl")
CONTROLLERS: Final = "kube-controller-manager"
PEER: Final = "kube-scheduler"
KUBELET: Final = "kubelet"
HELM_VERSIONS: Final = (3, 4)
_HELM_3_MINOR: Final = 37
"""Minor release of Kubernetes whose client Helm 3.22 has."""
TOOLS: Final = {
    "prometheus": ("prometheus",),
    "mongodb": ("ferretdb",),
    "helm": tuple(f"helm-{version}" for version in HELM_VERSIONS),
    "controllers": (CONTROLLERS,),
    "kubelet": (KUBELET,),
    "peer": (PEER,),
}
"""What can be built beside the control plane, by the names that people give."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with the binaries."""

    folder: Path

    def path(self, name: str) -> str:
        """Return the full path of one binary."""
        return str(self.folder / name)


def ensure(names: Sequence[str] = CONTROL_PLANE, say: Callable[[str], None] = lambda _text: None) -> Binaries:
    """Return the folder that holds all named binaries, building the missing ones. Raises `BuildError`."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        missing = [name for name in names if not (Path(assets) / name).is_file()]
        if not missing:
            return Binaries(Path(assets))
        say(f"KUBEBUILDER_ASSETS={assets} lacks {', '.join(missing)}: using our own build of all")
    module = f"kubernetes-{kubernetes_version()}"
    folder = _cache() / _key(module)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        _build(module, {name: _PACKAGES[name] for name in missing}, folder, say)
    return Binaries(folder)


def build(tool: str, say: Callable[[str], None]) -> None:
    """Build whatever of a tool of `TOOLS` is missing. Raises `BuildError`."""
    for name in TOOLS[tool]:
        if name in _PACKAGES:
            ensure((name,), say)
        else:
            service(name, say)


def kubernetes_version() -> str:
    """Release of the control plane: `$KUBERNETES`, else ours. Raises `BuildError` for one that is not pinned."""
    version = os.environ.get("KUBERNETES") or KUBERNETES
    pinned = sorted(path.name.removeprefix("kubernetes-") for path in _MODULES.glob("kubernetes-*"))
    if version not in pinned:
        raise BuildError(f"KUBERNETES={version}: the sources of {' and '.join(pinned)} are pinned; set one of them")
    return version


def sources(module: str = "k8s.io/kubernetes", say: Callable[[str], None] = lambda _text: None) -> Path:
    """Where sources of Kubernetes lie, with its tests and manifests; fetched if need be. Raises `BuildError`."""
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        [_go(say), "mod", "download", "-json", module],
        cwd=_MODULES / f"kubernetes-{kubernetes_version()}",
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise BuildError(f"the sources of Kubernetes cannot be fetched: {(done.stderr or done.stdout)[-500:]}")
    return Path(json.loads(done.stdout)["Dir"])


def service(name: str, say: Callable[[str], None] = lambda _text: None) -> str:
    """Return the path of another binary (prometheus, ferretdb, helm-4), built if it is missing. Raises `BuildError`."""
    folder = _cache() / _key(name)
    if not (folder / name).is_file():
        _build(name, {name: _SERVICES[name]}, folder, say)
    return str(folder / name)


def _build(module: str, packages: Mapping[str, str], folder: Path, say: Callable[[str], None]) -> None:
    go = _go(say)
    folder.mkdir(parents=True, exist_ok=True)
    for name, package in packages.items():
        begun = time.monotonic()
        say(f"building {name} from source (once; minutes when cold) ...")
        half_done = folder / f".{name}.{os.getpid()}"
        command = [go, "build", "-mod=readonly", "-trimpath", "-ldflags", _link_flags(module), "-o", str(half_done)]
        command += [f"-tags={_TAGS[name]}"] if name in _TAGS else []
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
        with subprocess.Popen(
            [*command, package],
            cwd=_MODULES / module,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            output = _watch(process, name, begun, say)
        if process.returncode:
            raise BuildError(f"building {name} failed (is the Go module proxy reachable?):\n{output[-2000:]}")
        half_done.rename(folder / name)
        say(f"built {name} in {time.monotonic() - begun:.0f} s")


def _watch(process: "subprocess.Popen[str]", name: str, begun: float, say: Callable[[str], None]) -> str:
    while True:
        try:
            output, _ = process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            say(f"  {name}: {time.monotonic() - begun:.0f} s ...")
        else:
            return output


def _link_flags(module: str) -> str:
    """What makes the binaries smaller, and those of Kubernetes name their version."""
    name, _, version = module.partition("-")
    if module == "helm-3":  # as its own releases are built; unset it takes every cluster for 1.20
        package = "helm.sh/helm/v3/pkg/chartutil"
        return f"-s -w -X {package}.k8sVersionMajor=1 -X {package}.k8sVersionMinor={_HELM_3_MINOR}"
    if name != "kubernetes":
        return "-s -w"
    major, minor, _ = version.split(".")
    package = "k8s.io/component-base/version"
    numbers = f"-X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    return f"-s -w -X {package}.gitVersion=v{version} {numbers}"


def _go(say: Callable[[str], None]) -> str:
    """Go on PATH, if new enough, else the toolchain that a wheel ships (installed by `make` with pinned hashes)."""
    needed = next(
        line.split()[1]
        for line in (_MODULES / f"kubernetes-{KUBERNETES}" / "go.mod").read_text().splitlines()
        if line.startswith("go ")
    )
    bundled = Path(sysconfig.get_path("scripts")) / "go"
    for candidate in filter(None, (shutil.which("go"), str(bundled) if bundled.is_file() else None)):
        environment = {**os.environ, "GOTOOLCHAIN": "local"}
        version = subprocess.run(
            [candidate, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=environment
        ).stdout.strip()
        if _version(version) >= _version(needed):
            return candidate
        say(f"{candidate} is {version or 'unusable'}; {needed} is needed")
    requirements = Path(__file__).parents[2] / "requirements" / "go.txt"
    raise BuildError(
        f"no Go {needed} found; install it, or run: {sys.executable} -m pip install --require-hashes -r {requirements}"
    )


def _version(text: str) -> tuple[int, ...]:
    digits = text.removeprefix("go").split("-")[0].split(".")
    return tuple(int(part) for part in digits if part.isdigit())


def _key(module: str) -> str:
    files = sorted([*(_MODULES / module).glob("go.*"), *(_MODULES / module).glob("*.go")])
    content = b"".join(path.read_bytes() for path in files)
    return f"{module}-{hashlib.sha256(content + _link_flags(module).encode()).hexdigest()[:12]}"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudai" / "bin"
