"""A real node: what it needs is said by name."""

import os

import pytest

from cloudai_sandbox import image, real_node
from cloudai_sandbox.__main__ import main
from cloudai_sandbox.errors import MissingToolError, StartError
from cloudai_sandbox.real_node import RealNode


def test_missing_programs_are_told_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one command installs them."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(image, "missing", lambda _tools=None: ["containerd", "runc"])
    with pytest.raises(MissingToolError, match="containerd, runc: apt-get install"):
        real_node.command(["true"])


def test_without_root_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the exit code says that the machine is to blame."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as ended:
        main(["node", "--", "true"])
    assert ended.value.code == 3


def test_outside_of_its_namespaces_it_does_not_start(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would change the network and the mounts of this machine."""
    monkeypatch.delenv(real_node.INSIDE, raising=False)
    with pytest.raises(StartError, match="not inside"):
        RealNode(tmp_path).__enter__()  # type: ignore[arg-type]  # a folder
