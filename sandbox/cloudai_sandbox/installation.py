"""A release of the chart on a control plane without containers.

Helm installs it, and our processes run beside it under the accounts, with the settings and the environment that its
objects say.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cloudai_rts import contract
from cloudai_sandbox.control_plane import ControlPlane
from cloudai_sandbox.errors import StartError
from cloudai_sandbox.helm import Helm
from cloudai_sandbox.processes import Child, Children, free_ports

_MODULES: Final = {
    "cloudai-operator": "cloudai_operator",
    "cloudai-scheduler": "cloudai_scheduler",
    "cloudai-optimizer": "cloudai_optimizer",
    "kubectl-cloudai": "cloudai_cli",
}
READY_SECONDS: Final = 60.0
_SETTINGS_MOUNT: Final = "/etc/cloudai/settings/"


@dataclass(slots=True)
class Installation:
    """One release. `variables` is what a process gets beyond what its objects say, such as shorter Leases."""

    plane: ControlPlane
    children: Children
    folder: Path
    release: str = "cloudai"
    namespace: str = contract.NAMESPACE
    variables: Mapping[str, str] = field(default_factory=dict)
    helm: Helm = field(init=False)
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.helm = Helm(self.folder / "helm", self.plane.kubeconfig, namespace=self.namespace)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object of the release's namespace."""
        manifest: dict[str, Any] = json.loads(
            self.plane.kubectl("get", kind, name, f"--namespace={self.namespace}", "--output=json")
        )
        return manifest

    def start(self, component: str) -> Child:
        """Run a Deployment's container as a process of ours and wait until it is ready. Raises `StartError`."""
        pod = self.get("deployment", self.named(component))["spec"]["template"]["spec"]
        port = self.ports[component] = self.ports.get(component) or free_ports(1)[0]
        where = ["--health-host=127.0.0.1", f"--health-port={port}"]
        command, environ = self._command(pod)
        child = self.children.start(f"{self.release}-{component}", [*command, *where], environ)
        self._wait_ready(child, port)
        return child

    def run_once(self, pod: Mapping[str, Any], *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a pod's container as a process of ours to its end."""
        command, environ = self._command(pod)
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environ}
        )

    def epoch_pod(self) -> dict[str, Any]:
        """Pod of the optimizer's CronJob."""
        spec = self.get("cronjob", self.named("optimizer"))["spec"]
        pod: dict[str, Any] = spec["jobTemplate"]["spec"]["template"]["spec"]
        return pod

    def named(self, component: str) -> str:
        """Name of a component's objects."""
        prefix = self.release if "cloudai" in self.release else f"{self.release}-cloudai"
        return f"{prefix}-{component}"

    def kubeconfig(self, account: str) -> Path:
        """A kubeconfig of one of the release's accounts."""
        folder = self.folder / self.namespace
        folder.mkdir(parents=True, exist_ok=True)
        return self.plane.service_account_kubeconfig(account, self.namespace)

    def metric(self, component: str, name: str) -> float:
        """Value of a metric without labels of a running component; 0 where it is not there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[component]}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f"{name} "):
                    return float(line.rpartition(" ")[2])
        return 0.0

    def wait(self, what: Callable[[], Any], seconds: float = 30.0) -> Any:  # noqa: ANN401  whatever is waited for
        """Wait until something is true and return it. Raises `StartError`."""
        end = time.monotonic() + seconds
        while not (value := what()):
            if time.monotonic() > end:
                raise StartError(f"not within {seconds} s")
            time.sleep(0.2)
        return value

    def _command(self, pod: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
        (container,) = pod["containers"]
        (program,) = container["command"]
        arguments = [self._with_file(argument, pod) for argument in container.get("args", [])]
        environ = {variable["name"]: self._value(variable) for variable in container.get("env", [])}
        environ |= {"KUBECONFIG": str(self.kubeconfig(pod["serviceAccountName"])), **self.variables}
        return [sys.executable, "-m", _MODULES[program], *arguments], environ

    def _with_file(self, argument: str, pod: Mapping[str, Any]) -> str:
        """An argument that names a mounted settings file names one here instead."""
        if _SETTINGS_MOUNT not in argument:
            return argument
        flag, _, path = argument.partition("=")
        volume = next(volume for volume in pod["volumes"] if volume["name"] == "settings")
        name = volume["configMap"]["name"]
        file = self.folder / f"{self.namespace}-{name}-{Path(path).name}"
        file.write_text(self.get("configmap", name)["data"][Path(path).name], encoding="utf-8")
        return f"{flag}={file}"

    def _value(self, variable: Mapping[str, Any]) -> str:
        if "value" in variable:
            return str(variable["value"])
        key = variable["valueFrom"]["secretKeyRef"]
        output = f"--output=go-template={{{{index .data {json.dumps(key['key'])} | base64decode}}}}"
        return self.plane.kubectl("get", "secret", key["name"], f"--namespace={self.namespace}", output)

    def _wait_ready(self, child: Child, port: int) -> None:
        end = time.monotonic() + READY_SECONDS
        problem = "no answer"
        while time.monotonic() < end:
            child.check()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                    return
            except urllib.error.HTTPError as error:
                problem = error.read().decode(errors="replace")
            except OSError as error:
                problem = str(error)
            time.sleep(0.1)
        raise StartError(f"{child.name} is not ready after {READY_SECONDS:.0f} s: {problem}; see {child.log}")
