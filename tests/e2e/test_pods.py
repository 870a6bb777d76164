"""Any pod that names our scheduler, and what namespaces demand of the pods that the operator makes."""

import json

from tests.e2e.conftest import Cluster


def test_a_pod_with_a_deadline_of_its_own(cluster: Cluster) -> None:
    """A pod of a Job with finish-within is placed by RTS with a probability of being late."""
    cluster.apply(cluster.pod("job-pod", {"cloudai.dev/finish-within": "1h", "cloudai.dev/task-type": "cpu-heavy"}))
    cluster.wait(lambda: cluster.get("pod", "job-pod")["status"]["phase"] == "Succeeded")
    meta = cluster.get("pod", "job-pod")["metadata"]
    decision = json.loads(meta["annotations"]["cloudai.dev/decision"])
    assert (decision["policy"], meta["labels"]["cloudai.dev/bound-by"]) == ("rts", "cloudai-scheduler")
    assert 0 <= decision["lateProbability"] < 0.5


def test_a_pod_without_a_promise(cluster: Cluster) -> None:
    """It is served too, and nobody claims to know whether it will be late."""
    cluster.apply(cluster.pod("plain-pod"))
    cluster.wait(lambda: cluster.get("pod", "plain-pod")["status"]["phase"] == "Succeeded")
    notes = cluster.get("pod", "plain-pod")["metadata"]["annotations"]
    assert json.loads(notes["cloudai.dev/decision"])["lateProbability"] is None


def test_an_annotation_that_cannot_be_read(cluster: Cluster) -> None:
    """The pod is placed all the same, and its owner told which annotation is ignored."""
    cluster.apply(cluster.pod("odd-pod", {"cloudai.dev/finish-within": "soon"}))
    cluster.wait(lambda: cluster.get("pod", "odd-pod")["status"]["phase"] == "Succeeded")
    assert "annotation cloudai.dev/finish-within" in cluster.plane.kubectl("describe", "pod", "odd-pod")


def test_scheduling_gates(cluster: Cluster) -> None:
    """A gated pod waits until the last gate is taken away."""
    cluster.apply(cluster.pod("gated", schedulingGates=[{"name": "example.com/wait"}]), cluster.pod("open"))
    cluster.wait(lambda: cluster.get("pod", "open")["status"]["phase"] == "Succeeded")
    assert "nodeName" not in cluster.get("pod", "gated")["spec"]
    cluster.plane.kubectl(
        "patch", "pod", "gated", "--type=json", '--patch=[{"op":"remove","path":"/spec/schedulingGates/0"}]'
    )
    cluster.wait(lambda: cluster.get("pod", "gated")["status"]["phase"] == "Succeeded")


def test_a_namespace_with_restricted_pod_security(cluster: Cluster) -> None:
    """The operator's pods are admitted where the strictest level is enforced."""
    cluster.plane.create_namespace("strict")
    cluster.plane.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    task = cluster.task("restricted")
    task["metadata"]["namespace"] = "strict"
    cluster.apply(task)
    cluster.wait(
        lambda: cluster.get("ctask", "restricted", "--namespace=strict").get("status", {}).get("state") == "Complete"
    )


def test_a_quota_that_is_exceeded(cluster: Cluster) -> None:
    """The Task says so in the server's words, waits, and runs as soon as there is room."""
    cluster.plane.create_namespace("small")
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight", "namespace": "small"},
        "spec": {"hard": {"requests.cpu": "500m"}},
        "status": {"hard": {"requests.cpu": "500m"}, "used": {"requests.cpu": "0"}},
    }
    cluster.apply(quota)
    cluster.plane.kubectl(
        "patch",
        "resourcequota",
        "tight",
        "--namespace=small",
        "--subresource=status",
        "--type=merge",
        f"--patch={json.dumps({'status': quota['status']})}",
    )
    task = cluster.task("crowded")
    task["metadata"]["namespace"] = "small"
    cluster.apply(task)

    def told() -> bool:
        found = cluster.get("ctask", "crowded", "--namespace=small").get("status", {})
        conditions = {one["type"]: one for one in found.get("conditions", [])}
        scheduled = conditions.get("Scheduled", {})
        return scheduled.get("reason") == "QuotaExceeded" and "exceeded quota" in scheduled.get("message", "")

    cluster.wait(told)
    described = cluster.plane.kubectl("describe", "ctask", "crowded", "--namespace=small")
    assert "QuotaExceeded" in described.partition("Events:")[2]
    cluster.plane.kubectl("delete", "resourcequota", "tight", "--namespace=small")
    cluster.wait(lambda: cluster.get("ctask", "crowded", "--namespace=small")["status"]["state"] == "Complete", 60)


def test_a_deadline_that_is_already_past(cluster: Cluster) -> None:
    """Nothing is run for it, and the Task says why: restores and GitOps apply old manifests again."""
    cluster.apply(cluster.task("too-late", sla={"finishBy": "2020-01-01T00:00:00Z"}))
    status = cluster.state("too-late", "Failed")
    reasons = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
    assert reasons["Accepted"] == ("False", "DeadlineInPast")
    assert reasons["Failed"] == ("True", "DeadlineInPast")
    assert "attempts" not in status


def test_an_urgent_task_takes_the_place_of_another(cluster: Cluster) -> None:
    """The other one's pod is evicted with a word for whom; it is repeated, and both complete."""
    cluster.plane.kubectl("create", "priorityclass", "urgent-task", "--value=1000")
    node = cluster.get("nodes")["items"][0]
    cores = int(node["status"]["allocatable"]["cpu"])
    selector = {"kubernetes.io/hostname": node["metadata"]["labels"]["kubernetes.io/hostname"]}
    large = {"resources": {"limits": {"cpu": str(cores * 6 // 10 + 1), "memory": "1Gi"}}, "nodeSelector": selector}
    cluster.apply(cluster.task("patient", {"sandbox.cloudai.dev/runtime-seconds": "8"}, **large))

    def state(name: str) -> str:
        return str(cluster.get("ctask", name).get("status", {}).get("state", ""))

    cluster.wait(lambda: state("patient") == "Running")
    cluster.apply(cluster.task("urgent", priorityClassName="urgent-task", **large))
    cluster.wait(lambda: state("urgent") == "Complete", 60)
    cluster.wait(lambda: "Preempted by pod" in cluster.plane.kubectl("get", "events"))
    cluster.wait(lambda: state("patient") == "Complete", 60)
    status = cluster.get("ctask", "patient")["status"]
    assert status["attemptCount"] == 2
