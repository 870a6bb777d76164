"""The project's image and those that a node needs, built without a registry and without an engine: buildah and dpkg.

Needs root on Debian or Ubuntu. Images stay in the user's cache; a changed source rebuilds one small layer.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cloudai_sandbox.control_plane import ROOT, Say, log_nothing
from cloudai_sandbox.errors import BuildError, MissingToolError

IMAGE: Final = "localhost/cloudai:dev"
EARLIER: Final = "localhost/cloudai:earlier"
PAUSE: Final = "localhost/pause:1"
_BASE: Final = "localhost/python-base"
_DEBIAN_PACKAGES: Final = ("python3-venv", "python-is-python3", "dash", "coreutils", "findutils", "libstdc++6")
_NOT_NEEDED: Final = ("perl", "debconf", "dpkg")
_LINKS: Final = ("bin", "sbin", "lib", "lib64")
_FOR_THE_BUILD: Final = (Path("/etc/pip.conf"), Path("/etc/ssl/certs"))
"""How pip reaches its package index from here; bound during the build, without a trace in the image."""
TOOLS: Final = {
    "buildah": "buildah",
    "runc": "runc",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "busybox": "busybox-static",
}
"""Programs and the Debian packages that have them."""


def default_folder() -> Path:
    """Where images and their layers are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudai" / "images"


def missing(tools: dict[str, str] | None = None) -> list[str]:
    """Debian packages that have to be installed first."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return sorted({package for name, package in (tools or TOOLS).items() if shutil.which(name, path=path) is None})


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds images; its storage lies in `folder`. Every method raises `BuildError` with the last words of the tool."""

    folder: Path
    say: Say = log_nothing

    def image(self, name: str = IMAGE, source: Path = ROOT) -> Path:
        """Build the project's image from a Dockerfile; returns an archive that containerd imports."""
        lacking = missing()
        if lacking or os.geteuid() != 0:
            raise MissingToolError(f"building the image needs root and the Debian packages {', '.join(lacking) or '-'}")
        base = self._base()
        self.say("building the image ...")
        volumes = [f"--volume={path}:{path}:ro" for path in _FOR_THE_BUILD if path.exists()]
        self._buildah(
            "build", "--isolation=chroot", "--layers", f"--build-arg=BASE={base}", *volumes, "-t", name, str(source)
        )
        return self._archive(name)

    def earlier(self, commit: str) -> Path | None:
        """Build the image of an earlier commit, whose sources are left in the folder `earlier`; returns the archive.

        None where this checkout lacks the commit, as a shallow clone does.
        """
        source = self._made() / "earlier"
        shutil.rmtree(source, ignore_errors=True)
        known = ["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"]
        if subprocess.run(known, capture_output=True, check=False).returncode:
            self.say(f"this checkout lacks commit {commit}: upgrading from it is not tried (git fetch --unshallow)")
            return None
        source.mkdir()
        sources = self._made() / "earlier-sources.tar"
        _run(["git", "archive", f"--output={sources}", commit], cwd=ROOT)
        _run(["tar", "-x", "-C", str(source), "-f", str(sources)])
        return self.image(EARLIER, source)

    def pause(self) -> Path:
        """The image that holds a pod's namespaces: a static program that sleeps."""
        with tempfile.TemporaryDirectory(dir=self._made()) as context:
            shutil.copy(shutil.which("busybox") or "/bin/busybox", Path(context) / "busybox")
            (Path(context) / "Dockerfile").write_text(
                'FROM scratch\nCOPY busybox /busybox\nENTRYPOINT ["/busybox", "sleep", "2147483647"]\n'
            )
            self._buildah("build", "--isolation=chroot", "--layers", "-t", PAUSE, context)
        return self._archive(PAUSE)

    def _base(self) -> str:
        """Debian's own Python as an image, unpacked from packages: what python:slim is where there is a registry."""
        name = f"{_BASE}:{hashlib.sha256(' '.join(_DEBIAN_PACKAGES).encode()).hexdigest()[:12]}"
        if name in self._buildah("images", "--format={{.Name}}:{{.Tag}}"):
            return name
        self.say("unpacking a base image from Debian packages ...")
        with tempfile.TemporaryDirectory(dir=self._made()) as work:
            packages, root = Path(work) / "packages", Path(work) / "root"
            packages.mkdir()
            root.mkdir()
            _run(["apt-get", "download", *_closure()], cwd=packages)
            for link in _LINKS:
                (root / "usr" / link).mkdir(parents=True)
                (root / link).symlink_to(f"usr/{link}")
            for package in sorted(packages.glob("*.deb")):
                _unpack(package, root)
            (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
            (root / "etc" / "group").write_text("root:x:0:\n")
            (root / "tmp").mkdir(mode=0o1777, exist_ok=True)
            _run(["/sbin/ldconfig", "-r", str(root)])
            recipe = Path(work) / "Dockerfile"
            recipe.write_text("FROM scratch\nCOPY . /\nENV PATH=/usr/bin:/bin LANG=C.UTF-8\n")
            self._buildah("build", "--isolation=chroot", f"--file={recipe}", "-t", name, str(root))
        return name

    def _archive(self, image: str) -> Path:
        """Write an image to a file, uncompressed: compressing takes longer than it saves."""
        target = self._made() / f"{image.rpartition('/')[2].replace(':', '-')}.tar"
        target.unlink(missing_ok=True)
        self._buildah("push", image, f"docker-archive:{target}:{image}")
        return target

    def _buildah(self, command: str, *arguments: str) -> str:
        storage = ["--root", str(self._made() / "storage"), "--runroot", str(self.folder / "run")]
        return _run(["buildah", *storage, "--storage-driver=overlay", command, *arguments])

    def _made(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder


def _closure() -> list[str]:
    """The packages and all that they depend on, without what only their installation needs."""
    without = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    options = [f"--no-{kind}" for kind in without]
    text = _run(["apt-cache", "depends", "--recurse", *options, *_DEBIAN_PACKAGES])
    names = {line.strip() for line in text.splitlines() if line and line[0].isalnum()}
    return sorted(name for name in names if not name.startswith(_NOT_NEEDED))


def _unpack(package: Path, root: Path) -> None:
    content = root.with_suffix(".tar")
    with content.open("wb") as target:
        _run(["dpkg-deb", "--fsys-tarfile", str(package)], output=target)
    _run(["tar", "-x", "--keep-directory-symlink", "-C", str(root), "-f", str(content)])


def _run(command: Sequence[str], cwd: Path | None = None, output: IO[bytes] | None = None) -> str:
    """Run a tool; returns what it prints, unless that goes into a file."""
    environ = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = subprocess.run(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE if output is None else output,
        stderr=subprocess.PIPE,
        check=False,
        env=environ,
    )
    if done.returncode:
        raise BuildError(f"{command[0]} failed: {done.stderr.decode(errors='replace')[-2000:]}")
    return (done.stdout or b"").decode(errors="replace")
