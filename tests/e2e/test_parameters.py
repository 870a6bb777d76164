"""Parameters on the real API server: in use within seconds, refused with a reason, never half."""

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.e2e.conftest import Cluster

from cloudai_rts import parameters

VERSION = "cloudai_rts_parameter_version"
NAMESPACE = "--namespace=cloudai-system"


@pytest.fixture(autouse=True)
def without_parameters(cluster: Cluster) -> Iterator[None]:
    """Every test begins and ends with the built-in parameters."""

    def clear() -> None:
        cluster.plane.kubectl("delete", "configmap", "cloudai-parameters", NAMESPACE, "--ignore-not-found")
        cluster.wait(lambda: in_force(cluster) == 0)

    clear()
    yield
    clear()


def in_force(cluster: Cluster) -> int:
    """Version that the scheduler uses."""
    return int(cluster.metric("cloudai-scheduler", VERSION))


def is_in_force(cluster: Cluster, version: int) -> bool:
    """Whether this version is in use."""
    return in_force(cluster) == version


def document(version: int, **changes: Any) -> dict[str, Any]:
    """A whole document with some keys changed and the checksum that belongs to it."""
    whole: dict[str, Any] = {**json.loads(parameters.dump(parameters.defaults())), "version": version, **changes}
    whole.setdefault("checksum", "")
    if "checksum" not in changes:
        whole["checksum"] = parameters.checksum_of(whole)
    return whole


def publish(cluster: Cluster, text: str) -> None:
    """Apply the ConfigMap, as anybody may do."""
    data = {"ga_output.json": text}
    metadata = {"name": "cloudai-parameters", "namespace": "cloudai-system"}
    said = cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    assert "configmap/cloudai-parameters" in said


def refusals(cluster: Cluster) -> list[str]:
    """Messages of the Warning events on the ConfigMap."""
    events = cluster.get("events", NAMESPACE)["items"]
    return [event["message"] for event in events if event["reason"] == "ParametersRefused"]


def test_hot_reload_within_seconds(cluster: Cluster) -> None:
    """From kubectl apply to use: no restart, no mount that is a minute late."""
    for version in (1, 2, 7):
        publish(cluster, json.dumps(document(version)))
        begun = time.monotonic()
        cluster.wait(partial(is_in_force, cluster, version), 5)
        assert time.monotonic() - begun < 5
    cluster.apply(cluster.task("with-version-7"))
    assert cluster.state("with-version-7", "Complete")["parametersVersion"] == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "an object is expected"),
        (json.dumps(document(9, Lateness={**document(1)["Lateness"], "Alpha": 1e9})), "Alpha"),
        (json.dumps(document(9)).replace('"Alpha": 20.0', '"Alpha": NaN'), "NaN"),
        (json.dumps(document(9, Theta={"Theta1": 0.1})), "Theta"),
        (json.dumps(document(9, Tau={"cpu-light": -1})), "Tau"),
        (json.dumps(document(9, checksum="0" * 64)), "checksum"),
        (json.dumps(document(3)), "version"),
        (json.dumps(document(5, Tau={"cpu-light": 77.0})), "version"),
        (json.dumps(document(9, surprise=1)), "surprise"),
    ],
    ids=["empty", "cut", "list", "too-large", "nan", "missing", "negative", "checksum", "older", "reused", "unknown"],
)
def test_bad_documents(cluster: Cluster, text: str, said: str) -> None:
    """Each is refused with a Warning event that names the key; the last good one stays in force."""
    publish(cluster, json.dumps(document(5)))
    cluster.wait(lambda: in_force(cluster) == 5)
    before = len(refusals(cluster))
    publish(cluster, text)
    cluster.wait(lambda: len(refusals(cluster)) > before, 10)
    assert any(said in message for message in refusals(cluster))
    assert in_force(cluster) == 5
