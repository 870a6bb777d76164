"""From an earlier commit's chart and image to this one's, with Tasks at work."""

import os
from typing import Any, Final

import pytest
from tests.node.conftest import NAMESPACE, VALUES, Cluster, real_task, task

from cloudai_sandbox import image
from cloudai_sandbox.real_node import INSIDE

EARLIER: Final = image.default_folder() / "earlier"
pytestmark = pytest.mark.skipif(os.environ.get(INSIDE) != "1", reason="runs by make e2e-node")


@pytest.mark.skipif(not EARLIER.is_dir(), reason="not built: cloudai-sandbox node --earlier COMMIT")
def test_upgrade_from_an_earlier_commit(cluster: Cluster) -> None:
    """Rights, schema, image and settings change under Tasks that run and wait: none is lost, none started twice."""
    values: dict[str, Any] = {**VALUES, "image": {**VALUES["image"], "tag": "earlier"}}
    chart = cluster.helm.package(EARLIER / "charts" / "cloudai")
    cluster.helm.install(values, more=["--wait", "--timeout=120s"], chart=chart)
    names = [f"old-{number}" for number in range(20)]
    cluster.apply(*(task(name, 8) for name in names), real_task("old-real", "import time; time.sleep(15)"))
    cluster.node.wait(lambda: cluster.task("old-real").get("status", {}).get("state") == "Running", 40.0, "old-real")
    cluster.helm.upgrade(VALUES, more=["--wait", "--timeout=120s"])
    later = [f"new-{number}" for number in range(5)]
    cluster.apply(*(task(name, 1) for name in later))
    for name in (*names, *later, "old-real"):
        status = cluster.end(name, 120.0)
        assert (status["state"], status["attemptCount"]) == ("Complete", 1), name
    for component in ("scheduler", "operator"):
        for pod in cluster.pods(component):
            (container,) = pod["status"]["containerStatuses"]
            assert (pod["spec"]["containers"][0]["image"], container["restartCount"]) == (image.IMAGE, 0)
    cluster.helm.run("uninstall", "cloudai", "--wait", "--timeout=120s")
    assert not cluster.node.get("deployments", f"--namespace={NAMESPACE}")["items"]
