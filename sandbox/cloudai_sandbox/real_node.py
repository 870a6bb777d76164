"""A real node on this machine: containerd, kubelet and the control plane inside namespaces that end with one process.

Needs root on Debian or Ubuntu; `cloudai-sandbox node -- COMMAND` makes the namespaces and runs the command in them, and
`RealNode` starts the rest there. Network, mounts, process ids and host name are private: nothing is left when it ends.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml

from cloudai_sandbox import binaries, image
from cloudai_sandbox.control_plane import ControlPlane, Say, log_nothing
from cloudai_sandbox.errors import MissingToolError, StartError
from cloudai_sandbox.processes import Child, Children

NODE: Final = "real-1"
ADDRESS: Final = "172.30.0.1"
API_ADDRESS: Final = "10.96.0.1"
"""ClusterIP of the API server; as an address of this machine, with the server on port 443, it needs no kube-proxy."""
POD_NETWORK: Final = "10.244.0.0/24"
INSIDE: Final = "CLOUDAI_SANDBOX_NODE"
"""Set in the environment of what runs inside the namespaces."""
TOOLS: Final = {
    **image.TOOLS,
    "containerd": "containerd",
    "ctr": "containerd",
    "ip": "iproute2",
    "iptables": "iptables",
    "unshare": "util-linux",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
_UNSHARE: Final = (
    "unshare",
    "--fork",
    "--pid",
    "--kill-child=SIGKILL",
    "--mount",
    "--net",
    "--uts",
    "--ipc",
    "--mount-proc",
    "--propagation=private",
)
_CGROUP: Final = "cloudai-sandbox"
_CGROUPS: Final = Path("/sys/fs/cgroup")
_KERNEL: Final = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
"""What a kubelet would change for the whole machine; files with the wanted values stand in front of them instead."""
_NODE_SECONDS: Final = 90.0
_CONTROLLERS: Final = "*,-node-ipam-controller,-node-lifecycle-controller"
"""Without those that would taint simulated nodes, whose kubelets send no heartbeats."""


def command(arguments: Sequence[str]) -> list[str]:
    """The command line that runs something inside new namespaces. Raises `MissingToolError`."""
    lacking = image.missing(TOOLS)
    if os.geteuid() != 0:
        raise MissingToolError("a real node needs root: containerd and a kubelet are started")
    if lacking:
        raise MissingToolError(f"a real node needs the Debian packages {', '.join(lacking)}: apt-get install them")
    return [*_UNSHARE, "env", f"{INSIDE}=1", *arguments]


@dataclass(slots=True)
class RealNode:
    """Control plane, containerd and kubelet; a context manager. `images` are archives that are there from the start."""

    folder: Path
    images: Sequence[Path] = ()
    say: Say = log_nothing
    plane: ControlPlane = field(init=False)
    children: Children = field(init=False)

    def __post_init__(self) -> None:
        self.children = Children(self.folder / "logs")

    def __enter__(self) -> Self:
        if os.environ.get(INSIDE) != "1":
            raise StartError("not inside: run it by cloudai-sandbox node -- COMMAND")
        begun = time.monotonic()
        try:
            self._prepare_machine()
            self._start_containerd()
            self._start_control_plane()
            self._start_kubelet()
            self._wait_for_node()
        except BaseException:
            self.children.stop()
            raise
        self.say(f"node Ready after {time.monotonic() - begun:.1f} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.children.stop()

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """As the administrator."""
        return self.plane.kubectl(*arguments, check=check)

    def get(self, *arguments: str) -> Any:  # noqa: ANN401  JSON
        """Objects as JSON."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def wait(self, what: Callable[[], Any], seconds: float, told: str) -> Any:  # noqa: ANN401  whatever is waited for
        """Wait until something is true and return it. Raises `StartError`."""
        end = time.monotonic() + seconds
        while not (value := what()):
            if time.monotonic() > end:
                raise StartError(f"{told}: not within {seconds:.0f} s")
            for child in self.children.running:
                child.check()
            time.sleep(0.25)
        return value

    def _prepare_machine(self) -> None:
        """Host name, mounts, kernel values, network and cgroups, all of them private but the last."""
        socket.sethostname(NODE)
        for path in ("/run", "/var/lib/cni"):
            Path(path).mkdir(parents=True, exist_ok=True)
            _run("mount", "-t", "tmpfs", "tmpfs", path)
        Path("/run/netns").mkdir()
        for name in ("/var/lib/kubelet", "/var/log"):
            own = self._made(name.replace("/", "-").strip("-"))
            Path(name).mkdir(parents=True, exist_ok=True)
            _run("mount", "--bind", str(own), name)
        for path, value in _KERNEL.items():
            file = self._made("kernel") / path.replace("/", "-")
            file.write_text(f"{value}\n")
            _run("mount", "--bind", str(file), f"/proc/sys/{path}")
        _run("ip", "link", "set", "lo", "up")
        for address in (ADDRESS, API_ADDRESS):
            _run("ip", "address", "add", f"{address}/32", "dev", "lo")
        # Its own hardware address: the bridge would take that of a pod, and change it when that pod goes.
        _run("ip", "link", "add", "cni0", "address", "02:00:0a:f4:00:01", "type", "bridge")
        _run("ip", "address", "add", "10.244.0.1/24", "dev", "cni0")
        _run("ip", "link", "set", "cni0", "up")
        _run("ip", "route", "add", "default", "dev", "cni0")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        _prepare_cgroups()

    def _start_containerd(self) -> None:
        network = self._made("cni")
        (network / "10-bridge.conflist").write_text(json.dumps(_network(self._made("addresses"))))
        config = self.folder / "containerd.toml"
        config.write_text(_containerd(self.folder, network))
        child = self.children.start("containerd", ["containerd", f"--config={config}"])
        client = self._client()
        self.wait(lambda: _works(*client, "version"), 30.0, "containerd")
        for archive in self.images:
            self.say(f"importing {archive.name} ...")
            _run(*client, "images", "import", str(archive))
        child.check()

    @property
    def socket(self) -> Path:
        """Where containerd listens."""
        return self.folder / "containerd.sock"

    def kill_container(self, pod: Mapping[str, Any]) -> None:
        """SIGKILL to the first container of a pod, behind the kubelet's back."""
        identity = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        _run(*self._client(), "tasks", "kill", "--signal=SIGKILL", identity)

    def tag_image(self, name: str, new: str) -> None:
        """Give an image a second name, as if it had been pulled by that."""
        _run(*self._client(), "images", "tag", "--force", name, new)

    def _client(self) -> list[str]:
        return ["ctr", f"--address={self.socket}", "--namespace=k8s.io"]

    def _start_control_plane(self) -> None:
        names = (*binaries.CONTROL_PLANE, binaries.CONTROLLERS, binaries.PEER, binaries.KUBELET)
        folder = binaries.ensure(names, self.say)
        plane = ControlPlane(self.folder, folder, self.children, (), 443, (ADDRESS,))
        self.plane = plane
        certificates = self._made("certificates")
        plane.arguments = (
            "--bind-address=0.0.0.0",
            f"--advertise-address={ADDRESS}",
            f"--kubelet-client-certificate={certificates / 'apiserver.pem'}",
            f"--kubelet-client-key={certificates / 'apiserver.key'}",
            f"--kubelet-certificate-authority={certificates / 'ca.pem'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node",  # beside RBAC
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
        )
        plane.prepare()
        plane.files.issuer.client(certificates, "apiserver", "system:masters")
        plane.start()
        plane.start_controllers(f"--controllers={_CONTROLLERS}")
        self.children.start(
            binaries.PEER,
            [
                folder.path(binaries.PEER),
                f"--kubeconfig={plane.user_kubeconfig('system:kube-scheduler')}",
                "--leader-elect=false",
                "--secure-port=0",
            ],
        )

    def _start_kubelet(self) -> Child:
        certificates = self.folder / "certificates"
        user, group = f"system:node:{NODE}", "system:nodes"
        serving, serving_key = self.plane.files.issuer.server(certificates, user, group, ADDRESS)
        config = self.folder / "kubelet.yaml"
        config.write_text(yaml.safe_dump(_kubelet(self.socket, self.plane.files.authority, serving, serving_key)))
        return self.children.start(
            binaries.KUBELET,
            [
                self.plane.binaries.path(binaries.KUBELET),
                f"--config={config}",
                f"--kubeconfig={self.plane.user_kubeconfig(user, group)}",
                f"--hostname-override={NODE}",
                f"--node-ip={ADDRESS}",
                "--root-dir=/var/lib/kubelet",
                f"--cert-dir={certificates}",
            ],
        )

    def _wait_for_node(self) -> None:
        self.wait(
            lambda: "True" in self.kubectl("get", "node", NODE, f"--output=jsonpath={_READY}", check=False),
            _NODE_SECONDS,
            "the node is not Ready",
        )

    def _made(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path


_READY: Final = '{.status.conditions[?(@.type=="Ready")].status}'


def _prepare_cgroups() -> None:
    """A group of our own in every hierarchy: a kubelet clears what it does not know, and pods compete fairly."""
    for hierarchy in [path for path in _CGROUPS.iterdir() if path.is_dir()]:
        group = hierarchy / _CGROUP
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (group / name).exists() and (hierarchy / name).exists():
                (group / name).write_text((hierarchy / name).read_text())
        if (group / "cpu.shares").exists():
            (group / "cpu.shares").write_text("4096")


def remove_cgroups() -> None:
    """Remove the one thing that outlives the namespaces."""
    for hierarchy in _CGROUPS.iterdir():
        group = hierarchy / _CGROUP
        if group.is_dir():
            for path in [*sorted(group.rglob("*/"), reverse=True), group]:
                path.rmdir()


def _containerd(folder: Path, network: Path) -> str:
    return f"""version = 2
root = "{folder / "containerd"}"
state = "/run/containerd"
[grpc]
address = "{folder / "containerd.sock"}"
[ttrpc]
address = "{folder / "containerd.ttrpc"}"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder / "opt"}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image.PAUSE}"
restrict_oom_score_adj = true
disable_apparmor = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{network}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
Root = "/run/runc-cloudai"
"""


def _network(addresses: Path) -> Mapping[str, Any]:
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(addresses),
                    "ranges": [[{"subnet": POD_NETWORK}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(runtime: Path, authority: Path, certificate: Path, key: Path) -> Mapping[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{_CGROUP}",
        "failSwapOn": False,
        "protectKernelDefaults": True,
        "containerRuntimeEndpoint": f"unix://{runtime}",
        "address": ADDRESS,
        "readOnlyPort": 0,
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "resolvConf": "",
        "podLogsDir": "/var/log/pods",
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        "enforceNodeAllocatable": ["pods"],
        "nodeStatusUpdateFrequency": "5s",
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def _works(*arguments: str) -> bool:
    return subprocess.run(arguments, capture_output=True, check=False).returncode == 0


def _run(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(f"{' '.join(arguments)}: {done.stderr.strip()}")
