"""The chart on a real node: real kubelet, real containers of the real image, real Deployments, a real CronJob.

`make e2e-node` runs it as root on Debian or Ubuntu. The tests follow the life of a release and run in their order. GPU
nodes are simulated beside the real one.
"""

import json
import os
import time
from typing import Final

import pytest
from tests.node.conftest import NAMESPACE, VALUES, Cluster, real_task, say, task

from cloudai_sandbox import image
from cloudai_sandbox.real_node import INSIDE, NODE

pytestmark = pytest.mark.skipif(os.environ.get(INSIDE) != "1", reason="runs by make e2e-node")

INSTALL_TO_BOUND_SECONDS: Final = 60.0
TAKEOVER_SECONDS: Final = 20.0
IMAGE_MIB: Final = 420.0


def test_install(cluster: Cluster) -> None:
    """`helm install --wait`: all Deployments Ready, none has restarted; the first Task is bound within a minute."""
    begun = time.monotonic()
    cluster.helm.install(VALUES, more=["--wait", "--timeout=120s"])
    cluster.node.plane.wait_for_tasks()
    cluster.apply(task("first", 1, gpus=1))
    cluster.node.wait(lambda: cluster.task("first").get("status", {}).get("nodes"), 60.0, "the first Task is not bound")
    took = time.monotonic() - begun
    say(f"helm install to first Task bound: {took:.1f} s")
    assert took < INSTALL_TO_BOUND_SECONDS
    assert cluster.end("first")["state"] == "Complete"
    for component, count in (("scheduler", 2), ("operator", 1)):
        pods = cluster.pods(component)
        assert len(pods) == count
        for pod in pods:
            assert [one["restartCount"] for one in pod["status"]["containerStatuses"]] == [0], component


def test_a_task_runs_a_real_container(cluster: Cluster) -> None:
    """Read-only rights, no token, its own user; its deadline is judged."""
    code = "import os, time; assert os.getuid() == 65532; print('worked'); time.sleep(2)"
    cluster.apply(real_task("real", code))
    status = cluster.end("real")
    conditions = {one["type"]: one["status"] for one in status["conditions"]}
    assert (status["state"], conditions["DeadlineMet"], status["nodes"]) == ("Complete", "True", [NODE])
    assert 1.5 < status["runtimeSeconds"] < 30
    assert "worked" in cluster.node.kubectl("logs", status["podName"])


def test_the_image_holds_what_is_needed_and_no_more(cluster: Cluster) -> None:
    """No pip, no compiler, no sources, no sandbox; of a size that is known."""
    code = (
        "import importlib.util as u, os, shutil; "
        "assert not any(u.find_spec(name) for name in ('pip', 'setuptools', 'cloudai_sandbox')); "
        "assert not any(map(shutil.which, ('gcc', 'cc', 'pip', 'git'))); "
        "assert not os.path.exists('/src')"
    )
    cluster.apply(real_task("lean", code, backoffLimit=0))
    assert cluster.end("lean")["state"] == "Complete"
    size_mib = (image.default_folder() / "cloudai-dev.tar").stat().st_size / (1 << 20)
    say(f"image, not compressed: {size_mib:.0f} MiB")
    assert size_mib < IMAGE_MIB


def test_a_failing_container_is_told_with_its_code(cluster: Cluster) -> None:
    """The exit code of the real container reaches the Task."""
    cluster.apply(real_task("failing", "raise SystemExit(7)", backoffLimit=0))
    status = cluster.end("failing")
    failed = next(one for one in status["conditions"] if one["type"] == "Failed")
    assert (status["state"], failed["reason"]) == ("Failed", "BackoffLimitExceeded")
    assert "7" in failed["message"]


def test_an_epoch_as_a_job(cluster: Cluster) -> None:
    """A Job of the CronJob publishes under its own account, and the scheduler reloads within 5 s."""
    cluster.apply(*(task(f"learn-{number}", 2, type="cpu-light") for number in range(12)))
    for number in range(12):
        cluster.end(f"learn-{number}")
    where = f"--namespace={NAMESPACE}"
    cluster.node.kubectl("create", "job", "epoch", "--from=cronjob/cloudai-optimizer", where)
    cluster.node.kubectl("wait", "--for=condition=Complete", "job/epoch", where, "--timeout=120s")
    report = json.loads(cluster.node.kubectl("logs", "job/epoch", where).splitlines()[-1])
    assert (report["result"], report["published"]) == ("fitted", True), report["reason"]
    version = report["version"]
    loaded = "cloudai_rts_parameter_version"
    cluster.node.wait(lambda: cluster.metric(loaded) == version, 5.0, "the scheduler has not reloaded")


def test_helm_test(cluster: Cluster) -> None:
    """The chart's own test passes, and leaves nothing."""
    cluster.helm.run("test", "cloudai", "--timeout=120s")
    assert not [one for one in cluster.node.get("tasks.cloudai.dev")["items"] if "try" in one["metadata"]["name"]]


def test_upgrade_and_rollback_under_load(cluster: Cluster) -> None:
    """Tasks that run and Tasks that come while both processes are replaced: none lost, none started twice."""
    names = [f"load-{number}" for number in range(30)]
    cluster.apply(*(task(name, 6) for name in names), real_task("load-real", "import time; time.sleep(20)"))
    cluster.node.wait(lambda: cluster.task("load-real")["status"].get("state") == "Running", 30.0, "load-real")
    changed = {**VALUES, "scheduler": {**VALUES["scheduler"], "settings": {"bind_connections": 16}}}
    changed["operator"] = {**VALUES["operator"], "settings": {"workers": 8}}
    cluster.helm.upgrade(changed, more=["--wait", "--timeout=120s"])
    later = [f"later-{number}" for number in range(10)]
    cluster.apply(*(task(name, 2) for name in later))
    cluster.helm.run("rollback", "cloudai", "--wait", "--timeout=120s")
    for name in (*names, *later, "load-real"):
        status = cluster.end(name, 120.0)
        assert (status["state"], status["attemptCount"]) == ("Complete", 1), name


def test_a_killed_leader_is_replaced(cluster: Cluster) -> None:
    """It is killed, not asked to stop: the standby takes over when the Lease has run out."""
    lease = cluster.node.get("lease", "cloudai-scheduler", f"--namespace={NAMESPACE}")
    holder = lease["spec"]["holderIdentity"].partition("_")[0]
    cluster.node.kill_container(next(pod for pod in cluster.pods("scheduler") if pod["metadata"]["name"] == holder))
    begun = time.monotonic()
    cluster.apply(task("after-the-leader", 0.5))
    cluster.node.wait(
        lambda: cluster.task("after-the-leader").get("status", {}).get("nodes"), 60.0, "nobody has taken over"
    )
    took = time.monotonic() - begun
    say(f"leader killed to the next bind: {took:.1f} s")
    assert took < TAKEOVER_SECONDS


def test_break_glass(cluster: Cluster) -> None:
    """No scheduler of ours for too long: a Task that waits is placed by the cluster's own, and runs."""
    changed = {**VALUES, "operator": {**VALUES["operator"], "breakGlassMinutes": 0.1}}
    cluster.helm.upgrade(changed, more=["--wait", "--timeout=120s"])
    scale = ("scale", "deployment/cloudai-scheduler", f"--namespace={NAMESPACE}")
    cluster.node.kubectl(*scale, "--replicas=0")
    cluster.node.wait(lambda: not cluster.pods("scheduler"), 60.0, "the schedulers go on")
    cluster.apply(real_task("by-the-other", "print('worked')"))
    status = cluster.end("by-the-other")
    assert status["state"] == "Complete"
    assert (status.get("failed", 0), status.get("disrupted", 0)) == (0, 0)
    pod = cluster.node.get("pod", status["podName"])
    assert pod["spec"]["schedulerName"] == "default-scheduler"
    cluster.node.kubectl(*scale, "--replicas=2")
    cluster.helm.upgrade(VALUES, more=["--wait", "--timeout=120s"])
    cluster.apply(real_task("by-us-again", "print('worked')"))
    pod = cluster.node.get("pod", cluster.end("by-us-again")["podName"])
    assert pod["spec"]["schedulerName"] == "cloudai-scheduler"


def test_no_secret_in_any_log(cluster: Cluster) -> None:
    """A URI with a password in a Secret is used, refused by nobody's database, and never shown."""
    canary = "canary-5f0c2d"
    where = f"--namespace={NAMESPACE}"
    uri = f"mongodb://user:{canary}@127.0.0.1:1/"
    cluster.node.kubectl("create", "secret", "generic", "mongo", f"--from-literal=uri={uri}", where)
    changed = {**VALUES, "mongodb": {"existingSecret": {"name": "mongo"}}}
    cluster.helm.upgrade(changed, more=["--wait", "--timeout=120s"])
    cluster.apply(task("with-history", 0.5))
    cluster.end("with-history")
    cluster.node.kubectl("create", "job", "no-database", "--from=cronjob/cloudai-optimizer", where)
    cluster.node.kubectl("wait", "--for=condition=Failed", "job/no-database", where, "--timeout=120s")
    text = cluster.node.kubectl("logs", "deployment/cloudai-operator", where)
    text += cluster.node.kubectl("logs", "job/no-database", where)
    text += cluster.node.kubectl("get", "events", "--all-namespaces", "--output=json")
    assert "MongoDB" in text
    assert canary not in text


def test_uninstall(cluster: Cluster) -> None:
    """With 200 Tasks that live: nothing of the release is left, no finalizer holds anything back."""
    cluster.apply(*(task(f"live-{number}", 600) for number in range(200)))
    cluster.node.wait(lambda: cluster.task("live-199").get("status", {}).get("state"), 60.0, "live-199")
    begun = time.monotonic()
    cluster.helm.run("uninstall", "cloudai", "--wait", "--timeout=120s")
    cluster.node.wait(
        lambda: "NotFound" in cluster.node.kubectl("get", "crd", "tasks.cloudai.dev", check=False),
        60.0,
        "the schema is still there",
    )
    kinds = (
        "deployments,cronjobs,jobs,services,poddisruptionbudgets,roles,rolebindings,clusterroles,clusterrolebindings,"
        "serviceaccounts,priorityclasses,validatingadmissionpolicies,validatingadmissionpolicybindings"
    )
    left = cluster.node.get(kinds, "--all-namespaces", "--selector=app.kubernetes.io/name=cloudai")["items"]
    assert left == []
    tasks_pods = ("pods", "--all-namespaces", "--selector=cloudai.dev/task")
    cluster.node.wait(lambda: not cluster.node.get(*tasks_pods)["items"], 60.0, "pods of Tasks are left")
    say(f"uninstall with 200 live Tasks: {time.monotonic() - begun:.1f} s")
