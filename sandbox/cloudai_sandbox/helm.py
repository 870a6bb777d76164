"""Helm, the real one, against a control plane of the sandbox or against nothing but the chart."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from cloudai_rts import contract
from cloudai_sandbox import binaries
from cloudai_sandbox.chart import CHART
from cloudai_sandbox.control_plane import Say, log_nothing
from cloudai_sandbox.errors import HelmError

NEWEST: Final = binaries.HELM_VERSIONS[-1]
PROMETHEUS_OPERATOR: Final = "monitoring.coreos.com/v1"


@dataclass(frozen=True, slots=True)
class Helm:
    """One version of Helm with its files in `folder`. Every method raises `HelmError` with Helm's own words."""

    folder: Path
    kubeconfig: Path | None = None
    version: int = NEWEST
    namespace: str = contract.NAMESPACE
    say: Say = log_nothing

    def run(self, *arguments: str) -> str:
        """One command; returns what it prints."""
        program = binaries.service(f"helm-{self.version}", self.say)
        places = {f"HELM_{kind}_HOME": str(self.folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        given = {"KUBECONFIG": str(self.kubeconfig or self.folder / "no-kubeconfig")}
        done = subprocess.run(
            [program, *arguments, f"--namespace={self.namespace}"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **places, **given},
        )
        if done.returncode:
            raise HelmError(f"helm {' '.join(arguments[:2])}: {done.stderr.strip()}")
        return done.stdout

    def template(
        self,
        values: Mapping[str, Any] | None = None,
        release: str = "cloudai",
        chart: Path = CHART,
        more: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """The objects that the chart makes of these values."""
        text = self.run("template", release, str(chart), *self._values(values), *more)
        return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]

    def package(self, chart: Path = CHART) -> Path:
        """The chart as people get it: one archive."""
        said = self.run("package", str(chart), f"--destination={self.folder}")
        return Path(said.rpartition(": ")[2].strip())

    def install(
        self,
        values: Mapping[str, Any] | None = None,
        release: str = "cloudai",
        more: Sequence[str] = (),
        chart: Path = CHART,
    ) -> str:
        """Install a release into a namespace that is made for it."""
        return self.run("install", release, str(chart), "--create-namespace", *self._values(values), *more)

    def upgrade(
        self,
        values: Mapping[str, Any] | None = None,
        release: str = "cloudai",
        chart: Path = CHART,
        more: Sequence[str] = (),
    ) -> str:
        """Upgrade a release."""
        return self.run("upgrade", release, str(chart), *self._values(values), *more)

    def _values(self, values: Mapping[str, Any] | None) -> list[str]:
        if values is None:
            return []
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "values.json"
        file.write_text(json.dumps(values), encoding="utf-8")
        return [f"--values={file}"]
