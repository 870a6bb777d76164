"""Builders of pods and nodes."""

from typing import Any

import msgspec
import pytest

from cloudai_kube.objects import Node, Pod


class Make:
    """Objects from the few fields that a test is about."""

    @staticmethod
    def pod(name: str = "p", cpu: str = "1", **fields: Any) -> Pod:
        """A pod that asks for `cpu`; `spec`, `status` and `metadata` are merged in."""
        container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
        raw = {
            "metadata": {
                "name": name,
                "namespace": "ns",
                "uid": f"uid-{name}",
                "resourceVersion": "1",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                **fields.get("metadata", {}),
            },
            "spec": {"schedulerName": "cloudai-scheduler", "containers": [container], **fields.get("spec", {})},
            "status": {"phase": "Pending", **fields.get("status", {})},
        }
        return msgspec.convert(raw, Pod)

    @staticmethod
    def node(name: str = "n", cpu: str = "4", **fields: Any) -> Node:
        """A node with `cpu` cores, 8 GiB and 10 pod slots; `allocatable` adds resources."""
        allocatable = {"cpu": cpu, "memory": "8Gi", "pods": "10", **fields.get("allocatable", {})}
        raw = {
            "metadata": {"name": name, "labels": fields.get("labels", {})},
            "spec": fields.get("spec", {}),
            "status": {"allocatable": allocatable},
        }
        return msgspec.convert(raw, Node)


@pytest.fixture
def make() -> Make:
    """The builders."""
    return Make()
