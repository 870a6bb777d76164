"""The schema on the real API server: what is refused and in which words, and what is accepted."""

from typing import Any

import pytest
from tests.e2e.conftest import Cluster


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": ""}, "spec.image"),
        ({"gpus": -1}, "spec.gpus"),
        ({"replicas": 2}, "spec.replicas"),
        ({"backoffLimit": -1}, "spec.backoffLimit"),
        ({"surprise": 1}, 'unknown field "surprise"'),
        ({"type": "no spaces"}, "becomes a pod label"),
        ({"targetNode": "Not_A_Node"}, "is no node name"),
        ({"resources": {"limits": {"cpu": "many"}}}, "cannot be read as a quantity"),
        ({"resources": {"limits": {"memory": "-1Gi"}}}, "is negative"),
        ({"resources": {"limits": {"cpu": "20000"}}}, "more cores than any machine has"),
        ({"resources": {"limits": {"memory": "9Ei"}}}, "more than any machine has"),
        ({"resources": {"limits": {"nvidia.com/gpu": "0.5"}}}, "whole number of devices"),
        ({"resources": {"requests": {"nvidia.com/gpu": "1"}}}, "must equal its limit"),
        ({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}, "exceeds the limit"),
        ({"resources": {"limits": {"gpu": "1"}}}, "names a resource that no node offers"),
        ({"gpus": 1, "resources": {"limits": {"nvidia.com/gpu": "1"}}}, "both ask for nvidia.com/gpu"),
        ({"sla": {"multiplier": "0.5"}}, "is not between 1.0 and 100"),
        ({"sla": {"finishWithin": "soon"}}, "is no usable duration"),
        ({"sla": {"finishBy": "tomorrow"}}, "spec.sla.finishBy"),
        ({"sla": {"finishWithin": "1h", "multiplier": 2}}, "contradict each other"),
        ({"tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]}, "broken or drained"),
        ({"tolerations": [{"operator": "Exists"}]}, "a toleration without a key"),
        ({"podLabels": {"cloudai.dev/task": "x"}}, "are reserved"),
        ({"podAnnotations": {"app.kubernetes.io/x": "x"}}, "are reserved"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "hostPath"),
        ({"volumes": [{"name": "v"}]}, "needs exactly one source"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, "names no volume"),
        (
            {"env": [{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            "both value",
        ),
        ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds"),
        ({"ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished"),
        ({"podLabels": {"team": "no spaces"}}, "label value"),
        ({"podLabels": {"-x-": "y"}}, "a key is not of the form"),
        ({"podAnnotations": {"a b": "y"}}, "a key is not of the form"),
        ({"env": [{"name": "A=B", "value": "1"}]}, "no name of a variable"),
        ({"volumes": [{"name": "Not_A_Label", "emptyDir": {}}]}, "is no volume name"),
        ({"gpuResourceName": "gpus"}, "is no resource name"),
        ({"gpus": 5000}, "spec.gpus"),
        ({"gpus": "many"}, "spec.gpus"),
        ({"command": "echo hi"}, "spec.command"),
        ({"sla": {"expectedRuntime": "-5m"}}, "expectedRuntime"),
        ({"sla": {"multiplier": "NaN"}}, "multiplier"),
        ({"resources": {"limits": {"nvidia.com/gpu": "1M"}}}, "more than any machine has"),
        ({"targetNode": "n1", "nodeSelector": {"kubernetes.io/hostname": "n2"}}, "contradicts nodeSelector"),
        ({"securityContext": {"runAsUser": -1}}, "runAsUser"),
    ],
)
def test_bad_tasks_are_refused(cluster: Cluster, change: dict[str, Any], message: str) -> None:
    """At admission, with a text that names the trouble."""
    said = cluster.apply(cluster.task("bad", **change))
    assert message in said
    assert "created" not in said


def test_names_that_do_not_fit(cluster: Cluster) -> None:
    """Longer than 52 characters, or with a dot."""
    assert "more than 52 characters" in cluster.apply(cluster.task("x" * 53))
    assert "no dots" in cluster.apply(cluster.task("a.b"))


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"type": "my-own.type_1"},
        {"command": ["sh", "-c"], "args": ["true"], "workingDir": "/tmp"},  # noqa: S108  in the container
        {"gpus": 4},
        {"gpus": 1, "gpuResourceName": "nvidia.com/mig-1g.5gb"},
        {"resources": {"limits": {"cpu": 2, "memory": "1.5Gi", "hugepages-2Mi": "4Mi"}}},
        {"resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "1", "amd.com/gpu": 1}}},
        {"sla": {"finishBy": "2030-01-01T00:00:00Z"}},
        {"sla": {"finishWithin": "1h30m", "expectedRuntime": "45m"}},
        {"sla": {"multiplier": "1.5", "expectedRuntime": "2h"}},
        {"sla": {"multiplier": 3}},
        {
            "env": [
                {"name": "A", "value": "1"},
                {"name": "my.var", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ]
        },
        {
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        },
        {"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}]},
        {"nodeSelector": {"disk": "ssd"}, "targetNode": "node-1"},
        {"podLabels": {"team": "a", "example.com/x": ""}, "podAnnotations": {"note": "any text at all: ü"}},
        {"backoffLimit": 0, "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 0, "suspend": True},
        {"securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}, "user": "ada@example.com"},
        {"priorityClassName": "urgent", "terminationGracePeriodSeconds": 5},
        {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
                    }
                }
            }
        },
    ],
)
def test_good_tasks_are_accepted(cluster: Cluster, spec: dict[str, Any]) -> None:
    """Everything that the contract offers (tried without running it)."""
    task = cluster.task("good", **spec)
    assert "created (server dry run)" in cluster.try_out(task)


def test_a_multiplier_gives_way_to_a_definite_deadline(cluster: Cluster) -> None:
    """It can be replaced by finishWithin, and by nothing else."""
    cluster.apply(cluster.task("gives-way", suspend=True, sla={"multiplier": 3}))
    patch = ("patch", "ctask", "gives-way", "--type=merge", "--patch")
    refused = cluster.plane.kubectl(*patch, '{"spec":{"sla":{"multiplier":4}}}', check=False)
    assert "replace it by finishBy or finishWithin" in refused
    cluster.plane.kubectl(*patch, '{"spec":{"sla":{"multiplier":null,"finishWithin":"1h"}}}')
    cluster.plane.kubectl("delete", "ctask", "gives-way")
