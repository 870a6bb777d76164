"""What the chart makes of its values: each line of the conventions that it follows is a test.

Helm renders it, both versions of it; nothing here needs a cluster.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import CollectorRegistry

from cloudai_operator.metrics import OperatorMetrics
from cloudai_sandbox.binaries import HELM_VERSIONS
from cloudai_sandbox.chart import CHART
from cloudai_sandbox.errors import HelmError
from cloudai_sandbox.helm import PROMETHEUS_OPERATOR, Helm
from cloudai_scheduler.metrics import SchedulerMetrics

Manifest = dict[str, Any]
MUTATING: Final = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
SERVED: Final = (f"--api-versions={PROMETHEUS_OPERATOR}", f"--api-versions={MUTATING}")
EVERYTHING: Final[Mapping[str, Any]] = {
    "global": {"imageRegistry": "registry.example:5000/mirror", "imagePullSecrets": [{"name": "regcred"}]},
    "commonLabels": {"team": "ml"},
    "image": {"digest": "sha256:" + "a" * 64, "tag": "ignored"},
    "schedulerName": "gpu-scheduler",
    "watchNamespaces": ["team-a", "team-b"],
    "optIn": {"enabled": True},
    "gpuNodePool": {"enabled": True, "required": True},
    "mongodb": {"existingSecret": {"name": "mongo"}, "caSecret": {"name": "mongo-ca"}},
    "prometheus": {
        "url": "https://prometheus:9090",
        "matchers": 'cluster="east"',
        "tokenSecret": {"name": "prom-token"},
        "caSecret": {"name": "prom-ca"},
    },
    "scheduler": {
        "settings": {"bind_connections": 8, "accelerators": ["*/gpu"]},
        "extraArgs": ["--log-level=DEBUG"],
        "extraEnv": [{"name": "A", "value": "b"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "podLabels": {"x": "y"},
        "podAnnotations": {"note": "z"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "runtimeClassName": "gvisor",
        "hostUsers": False,
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["prometheus"]}],
        "dnsPolicy": "Default",
        "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
        "serviceAccount": {"annotations": {"cloud/role": "r"}},
    },
    "operator": {"replicas": 2, "breakGlassMinutes": 5, "settings": {"workers": 4}},
    "optimizer": {"settings": {"min_tasks": 10}, "schedule": "@hourly"},
    "networkPolicy": {"enabled": True, "extraEgress": [{"to": []}]},
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prom"}},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x"}},
    ],
}


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The newest Helm, with a home of its own."""
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def default(helm: Helm) -> list[Manifest]:
    """The chart as it comes."""
    return helm.template()


@pytest.fixture(scope="module")
def full(helm: Helm) -> list[Manifest]:
    """The chart with every option in use."""
    return helm.template(EVERYTHING, "rel", more=SERVED)


def pick(objects: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The one object of a kind, and of a name."""
    (only,) = [one for one in objects if one["kind"] == kind and name in ("", one["metadata"]["name"])]
    return only


def pods(objects: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Every pod spec with the labels of its pod under `labels`, hooks and CronJobs included."""
    for one in objects:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield name, {**one["spec"], "labels": one["metadata"].get("labels", {})}
        elif one["kind"] in {"Deployment", "CronJob"}:
            template = one["spec"].get("template") or one["spec"]["jobTemplate"]["spec"]["template"]
            yield name, {**template["spec"], "labels": template["metadata"]["labels"]}


def settings(objects: list[Manifest], name: str) -> Manifest:
    """The settings file in a ConfigMap."""
    text = pick(objects, "ConfigMap", name)["data"]["settings.yaml"]
    found: Manifest = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("version", HELM_VERSIONS)
@pytest.mark.parametrize("values", [None, EVERYTHING], ids=["default", "everything"])
def test_the_chart_renders_the_same_every_time(tmp_path: Path, version: int, values: Mapping[str, Any] | None) -> None:
    """Byte by byte, with both versions of Helm: nothing random, nothing looked up in a cluster."""
    first, again = (
        json.dumps(Helm(tmp_path / name, version=version).template(values, more=SERVED)) for name in ("a", "b")
    )
    assert first == again
    sources = "".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    assert not re.search(r"lookup|rand[A-Z]|genCA|genSigned|now\b|uuidv4", re.sub(r"{{- /\*.*?\*/ -?}}", "", sources))


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_lint(tmp_path: Path, version: int) -> None:
    """`helm lint --strict` has nothing to say."""
    assert "0 chart(s) failed" in Helm(tmp_path, version=version).run("lint", "--strict", str(CHART))


def test_pods_are_restricted(full: list[Manifest], default: list[Manifest]) -> None:
    """Non-root, read-only, no capabilities, no escalation, the runtime's seccomp profile: hooks and CronJobs too."""
    found = [*pods(default), *pods(full)]
    assert len(found) == 8
    for name, pod in found:
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 65532), name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"], name  # noqa: S108  an emptyDir
            assert container["resources"]["requests"]["memory"], name
            assert container["resources"]["limits"]["memory"], name


def test_one_image_with_registry_digest_and_pull_secrets(full: list[Manifest], default: list[Manifest]) -> None:
    """The registry keeps port and path, the digest wins over the tag, every pod has the secrets."""
    expected = "registry.example:5000/mirror/cloudai@sha256:" + "a" * 64
    for name, pod in pods(full):
        assert pod["imagePullSecrets"] == [{"name": "regcred"}], name
        assert pod["containers"][0]["image"] == expected, name
    assert {pod["containers"][0]["image"] for _, pod in pods(default)} == {"cloudai:0.1.0"}
    test = next(pod for name, pod in pods(full) if name.endswith("-test"))
    assert "--pull-secret=regcred" in test["containers"][0]["args"]
    assert f"--image={expected}" in test["containers"][0]["args"]


def test_selectors_depend_on_the_release_alone(helm: Helm, tmp_path: Path) -> None:
    """They cannot be changed: not by names, not by a version, not by labels."""
    changed = tmp_path / "cloudai"
    for path in CHART.rglob("*"):
        if path.is_file():
            target = changed / path.relative_to(CHART)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text().replace("version: 0.1.0", "version: 9.9.9"))
    names = {"nameOverride": "other", "commonLabels": {"a": "b"}, "scheduler": {"podLabels": {"c": "d"}}}
    before = [one["spec"]["selector"] for one in helm.template() if one["kind"] == "Deployment"]
    after = [one["spec"]["selector"] for one in helm.template(names, chart=changed) if one["kind"] == "Deployment"]
    assert before == after
    for one in helm.template(names, chart=changed):
        if one["kind"] == "Deployment":
            labels = one["spec"]["template"]["metadata"]["labels"]
            assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_common_labels_are_on_every_object(full: list[Manifest]) -> None:
    """And on every pod; extra objects are the user's own."""
    for one in full:
        if one["metadata"]["name"] != "rel-x":
            assert one["metadata"]["labels"]["team"] == "ml", one["metadata"]["name"]
    for name, pod in pods(full):
        assert pod["labels"]["team"] == "ml", name


def test_every_option_of_a_pod_arrives(full: list[Manifest]) -> None:
    """Each option of a component arrives in its pod."""
    deployment = pick(full, "Deployment", "rel-cloudai-scheduler")["spec"]
    pod, template = deployment["template"]["spec"], deployment["template"]["metadata"]
    container = pod["containers"][0]
    assert container["args"] == ["--config=/etc/cloudai/settings/settings.yaml", "--log-level=DEBUG"]
    assert container["env"] == [{"name": "A", "value": "b"}]
    assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"]
    assert {"name": "more", "emptyDir": {}} in pod["volumes"]
    assert (template["labels"]["x"], template["annotations"]["note"]) == ("y", "z")
    assert (pod["priorityClassName"], pod["runtimeClassName"], pod["hostUsers"]) == ("high", "gvisor", False)
    assert (pod["dnsPolicy"], pod["dnsConfig"]["options"][0]["name"]) == ("Default", "ndots")
    assert pod["hostAliases"][0]["hostnames"] == ["prometheus"]
    assert pod["tolerations"] == [{"operator": "Exists"}]
    account = pick(full, "ServiceAccount", "rel-cloudai-scheduler")
    assert account["metadata"]["annotations"] == {"cloud/role": "r"}
    assert pick(full, "ConfigMap", "rel-x")


def test_settings_follow_from_values(full: list[Manifest], default: list[Manifest]) -> None:
    """One file a process, without passwords; what is given under settings is added."""
    found = settings(full, "rel-cloudai-scheduler")
    assert (found["scheduler_name"], found["health_host"], found["namespace"]) == (
        "gpu-scheduler",
        "0.0.0.0",
        "cloudai-system",
    )
    assert (found["bind_connections"], found["accelerators"]) == (8, ["*/gpu"])
    assert found["prometheus_ca_file"] == "/etc/cloudai/prometheus-ca/ca.crt"
    operator = settings(full, "rel-cloudai-operator")
    assert (operator["watch_namespaces"], operator["break_glass_minutes"]) == (["team-a", "team-b"], 5)
    assert operator["mongodb_ca_file"] == "/etc/cloudai/mongodb/ca.crt"
    assert settings(full, "rel-cloudai-optimizer")["min_tasks"] == 10
    assert settings(default, "cloudai-operator")["watch_namespaces"] == []
    assert settings(default, "cloudai-scheduler")["prometheus_url"] == ""


def test_secrets_are_read_from_secrets(full: list[Manifest]) -> None:
    """The URI with a password is an environment variable from a Secret, of operator and optimizer only."""
    for name, pod in pods(full):
        uri = [one for one in pod["containers"][0].get("env", []) if one["name"] == "MONGODB_URI"]
        wanted = name.endswith(("operator", "optimizer"))
        assert bool(uri) is wanted, name
        if wanted:
            assert uri[0]["valueFrom"] == {"secretKeyRef": {"name": "mongo", "key": "uri"}}


def test_a_changed_setting_restarts_the_process(helm: Helm) -> None:
    """The checksum in the pod's annotations follows the settings; nothing else changes it."""

    def checksum(values: Mapping[str, Any]) -> str:
        deployment = pick(helm.template(values), "Deployment", "cloudai-scheduler")
        found: str = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
        return found

    changed = {"scheduler": {"settings": {"bind_connections": 8}}}
    assert checksum({}) == checksum({"scheduler": {"replicas": 3}}) != checksum(changed)


def test_the_cronjob(default: list[Manifest]) -> None:
    """One epoch at a time, late ones are skipped, few Jobs are kept."""
    spec = pick(default, "CronJob")["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"], spec["suspend"]) == ("*/5 * * * *", "Forbid", False)
    assert spec["startingDeadlineSeconds"] == 240
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 3)
    container = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][:2] == ["--namespace=cloudai-system", "epoch"]


def test_budgets_only_for_what_has_replicas(helm: Helm, default: list[Manifest]) -> None:
    """A budget of a single pod would block every drain."""
    names = {one["metadata"]["name"] for one in default if one["kind"] == "PodDisruptionBudget"}
    assert names == {"cloudai-scheduler"}
    one = helm.template({"scheduler": {"replicas": 1}})
    assert not [each for each in one if each["kind"] == "PodDisruptionBudget"]


def test_replicas_can_be_left_to_somebody_else(helm: Helm) -> None:
    """One owner a field: Helm 4 would refuse to change what `kubectl scale` has set."""
    spec = pick(helm.template({"scheduler": {"replicas": None}}), "Deployment", "cloudai-scheduler")["spec"]
    assert "replicas" not in spec


def test_the_schema_of_tasks_is_kept(helm: Helm, default: list[Manifest]) -> None:
    """As a template, so that an upgrade brings the new one; kept on uninstall unless that is switched off."""
    crd = pick(default, "CustomResourceDefinition")
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    dropped = pick(helm.template({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert "annotations" not in dropped["metadata"]
    without = helm.template({"crds": {"enabled": False}})
    assert not [one for one in without if one["kind"] == "CustomResourceDefinition"]
    assert crd["spec"] == yaml.safe_load((CHART.parents[1] / "crds" / "task.yaml").read_text())["spec"]


def test_rights_are_exact(default: list[Manifest], full: list[Manifest]) -> None:
    """No wildcard, no secrets, no writing of nodes, Leases and ConfigMaps by name."""
    for objects in (default, full):
        for one in objects:
            for rule in one.get("rules", []) if one["kind"] in {"Role", "ClusterRole"} else []:
                where = one["metadata"]["name"]
                assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"], where
                assert "secrets" not in rule["resources"], where
                if "nodes" in rule["resources"]:
                    assert set(rule["verbs"]) <= {"get", "list", "watch"}, where
                if set(rule["resources"]) & {"leases", "configmaps"}:
                    assert rule.get("resourceNames") or rule["verbs"] == ["create"], where


def test_watched_namespaces_bound_one_by_one(full: list[Manifest]) -> None:
    """Rights on Tasks and pods reach no further than the namespaces that are watched."""
    bound = {
        (one["kind"], one["metadata"]["name"], one["metadata"].get("namespace"))
        for one in full
        if one["kind"].endswith("RoleBinding") and one["metadata"]["name"].endswith("-tasks")
    }
    assert bound == {
        ("RoleBinding", f"rel-cloudai-{name}-tasks", namespace)
        for name in ("operator", "optimizer")
        for namespace in ("team-a", "team-b")
    }
    leases = [
        name
        for one in full
        if one["kind"] == "Role"
        for rule in one["rules"]
        if rule["resources"] == ["leases"]
        for name in rule.get("resourceNames", [])
    ]
    assert sorted(leases) == ["cloudai-operator", "gpu-scheduler", "gpu-scheduler"]


def test_roles_for_people(default: list[Manifest], helm: Helm) -> None:
    """Added to view and edit; nobody may write a Task's status."""
    viewer, editor = (pick(default, "ClusterRole", f"cloudai-{name}") for name in ("viewer", "editor"))
    assert viewer["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert "rbac.authorization.k8s.io/aggregate-to-view" not in editor["metadata"]["labels"]
    assert editor["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert editor["rules"][0]["resources"] == ["tasks"]
    alone = pick(helm.template({"rbac": {"aggregate": False}}), "ClusterRole", "cloudai-editor")
    assert not [name for name in alone["metadata"]["labels"] if name.startswith("rbac.")]


def test_accounts_and_rights_can_be_somebody_elses(helm: Helm) -> None:
    """A parent chart may bring them; the pods name the account that is given."""
    values = {"rbac": {"create": False}, "scheduler": {"serviceAccount": {"create": False, "name": "mine"}}}
    objects = helm.template(values)
    kinds = {one["kind"] for one in objects if not one["metadata"]["name"].endswith(("-test", "-override"))}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "RoleBinding"}
    assert not [
        one for one in objects if one["metadata"]["name"] == "cloudai-scheduler" and one["kind"] == "ServiceAccount"
    ]
    assert pick(objects, "Deployment", "cloudai-scheduler")["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("cloudai", {}, "cloudai"),
        ("prod", {}, "prod-cloudai"),
        ("my-cloudai", {}, "my-cloudai"),
        ("prod", {"nameOverride": "x"}, "prod-x"),
        ("prod", {"fullnameOverride": "y"}, "y"),
        ("r" * 53, {}, "r" * 40),
    ],
)
def test_names_follow_from_the_release(helm: Helm, release: str, values: Mapping[str, Any], name: str) -> None:
    """Any release name; every name stays within 63 characters."""
    objects = helm.template(values, release)
    assert pick(objects, "Deployment", f"{name}-scheduler")
    assert max(len(one["metadata"]["name"]) for one in objects) <= 63


def test_two_releases_share_no_object_of_the_cluster(helm: Helm) -> None:
    """The second one with other names, without the schema."""
    first = helm.template(release="a")
    second = helm.template(
        {"crds": {"enabled": False}, "schedulerName": "b-scheduler", "watchNamespaces": ["b"]}, release="b"
    )
    of_cluster = [
        {(one["kind"], one["metadata"]["name"]) for one in objects if not one["metadata"].get("namespace")}
        for objects in (first, second)
    ]
    assert not of_cluster[0] & of_cluster[1]


def test_network_policy(full: list[Manifest], default: list[Manifest]) -> None:
    """Off by default; on, it lets out what is needed and nothing else."""
    assert not [one for one in default if one["kind"] == "NetworkPolicy"]
    spec = pick(full, "NetworkPolicy")["spec"]
    out = [port["port"] for rule in spec["egress"] for port in rule.get("ports", [])]
    assert out == [53, 53, 443, 6443, 9090, 443, 27017]
    assert [port["port"] for rule in spec["ingress"] for port in rule["ports"]] == [10361, 10362]


def test_monitoring(full: list[Manifest], default: list[Manifest], helm: Helm) -> None:
    """Each behind its switch; without the Prometheus Operator the message names value and remedy."""
    kinds = {one["kind"] for one in default}
    assert not kinds & {"ServiceMonitor", "PrometheusRule"}
    monitor = pick(full, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prom"
    assert monitor["spec"]["endpoints"][0]["port"] == "metrics"
    dashboard = pick(full, "ConfigMap", "rel-cloudai-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["cloudai.json"])["title"] == "CloudAI"
    with pytest.raises(HelmError, match=r"monitoring\.serviceMonitor\.enabled: it needs the Prometheus Operator"):
        helm.template({"monitoring": {"serviceMonitor": {"enabled": True}}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scheduler": {"replica": 1}}, "'replica' not allowed"),
        ({"schduler": {}}, "'schduler' not allowed"),
        ({"scheduler": {"replicas": "two"}}, "/scheduler/replicas': got string, want integer"),
        ({"scheduler": {"settings": {"bind_connection": 3}}}, "'bind_connection' not allowed"),
        ({"scheduler": {"settings": {"scheduler_name": "x"}}}, "'scheduler_name' not allowed"),
        ({"scheduler": {"settings": {"bind_connections": 0}}}, "bind_connections': minimum"),
        ({"schedulerName": "Upper"}, "/schedulerName': 'Upper' does not match pattern"),
        (
            {"schedulerName": "default-scheduler"},
            "schedulerName: default-scheduler is a name that our scheduler can serve",
        ),
        ({"image": {"digest": "latest"}}, "/image/digest': 'latest' does not match"),
        ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "/commonLabels/app.kubernetes.io~1name"),
        ({"watchNamespaces": ["cloudai-system"]}, "watchNamespaces names cloudai-system, where CloudAI itself runs"),
        (
            {"mongodb": {"uri": "mongodb://h/", "existingSecret": {"name": "s"}}},
            "mongodb.uri and mongodb.existingSecret.name are both set; keep one of them",
        ),
        ({"mongodb": {"uri": "mongodb://u:p@h/"}}, "mongodb.uri holds a password"),
        ({"prometheus": {"url": "prometheus:9090"}}, "/prometheus/url"),
        ({"optIn": {"enabled": True}}, "optIn.enabled and gpuNodePool.enabled: they need MutatingAdmissionPolicy"),
        ({"optimizer": {"schedule": "5m"}}, "/optimizer/schedule"),
    ],
)
@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_unusable_values_are_refused(tmp_path: Path, version: int, values: Mapping[str, Any], message: str) -> None:
    """By both versions of Helm, with a message that names the value."""
    with pytest.raises(HelmError, match=re.escape(message)):
        Helm(tmp_path, version=version).template(values)


def test_values_of_parent_charts_are_let_in(helm: Helm) -> None:
    """`global` belongs to all charts of a release, and `enabled` is what a parent's condition reads."""
    assert helm.template({"global": {"storageClass": "fast"}, "enabled": True})


def test_a_cluster_that_is_too_old_is_refused(helm: Helm) -> None:
    """Helm says which version is needed."""
    with pytest.raises(HelmError, match=r"requires kubeVersion: >=1\.34"):
        helm.template(more=["--kube-version=1.33.0"])


def test_notes(helm: Helm) -> None:
    """They hold a first Task, and what is not set up."""
    text = helm.run("install", "cloudai", str(CHART), "--dry-run=client")
    assert "kind: Task" in text
    assert "No Prometheus is set" in text


def test_alerts_and_dashboard_ask_for_metrics_that_exist() -> None:
    """Every name in an expression is one that a process of ours exposes."""
    scheduler, operator = CollectorRegistry(), CollectorRegistry()
    SchedulerMetrics(scheduler)
    OperatorMetrics(operator)
    families = [family for registry in (scheduler, operator) for family in registry.collect()]
    exposed = {family.name for family in families} | {one.name for family in families for one in family.samples}
    known = exposed | {f"{name}{ending}" for name in exposed for ending in ("_total", "_bucket")}
    texts = [(CHART / "files" / name).read_text() for name in ("alerts.yaml", "dashboard.json")]
    asked = set(re.findall(r"cloudai_\w+", " ".join(texts)))
    assert len(asked) >= 8
    assert asked <= known


def _verbs(objects: list[Manifest]) -> set[tuple[str, str]]:
    """Every right of the scheduler's roles: resource and verb."""
    roles = [one for one in objects if one["kind"].endswith("Role") and "-scheduler" in one["metadata"]["name"]]
    rules = [rule for role in roles for rule in role["rules"]]
    return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def test_observing_installs_the_scheduler_alone(helm: Helm) -> None:
    """Without a right to change anything."""
    objects = helm.template({"mode": "observe"})
    kinds = {one["kind"] for one in objects}
    assert not kinds & {"CronJob", "CustomResourceDefinition", "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"}
    assert [name for name, _ in pods(objects)] == ["Deployment/cloudai-scheduler"]
    assert settings(objects, "cloudai-scheduler")["mode"] == "observe"
    assert {verb for _, verb in _verbs(objects)} == {"get", "list", "watch"}


def test_evictions_need_rights_that_can_be_left_out(helm: Helm, default: list[Manifest]) -> None:
    """With the setting the rights go too."""
    without = helm.template({"scheduler": {"settings": {"preemption": False}}})
    assert _verbs(default) - _verbs(without) == {
        ("pods", "delete"), ("poddisruptionbudgets", "list"), ("poddisruptionbudgets", "watch"),
    }  # fmt: skip


def test_the_default_name_needs_a_look_at_one_lease(helm: Helm, default: list[Manifest]) -> None:
    """By name, in kube-system, and only where that name is served."""
    objects = helm.template({"schedulerNames": ["default-scheduler"]})
    role = pick(objects, "Role", "cloudai-scheduler-default-name")
    assert role["metadata"]["namespace"] == "kube-system"
    (rule,) = role["rules"]
    assert (rule["resourceNames"], rule["verbs"]) == (["kube-scheduler"], ["get"])
    assert settings(objects, "cloudai-scheduler")["scheduler_names"] == ["default-scheduler"]
    assert not any(one["metadata"]["name"] == "cloudai-scheduler-default-name" for one in default)
