"""The chart on a real API server, installed by the real Helm; our processes run under its accounts and settings.

One cluster with two releases: A for namespaces team-a and default, B for team-b. Neither may stand in the other's way.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cloudai_rts import parameters
from cloudai_sandbox.errors import HelmError
from cloudai_sandbox.helm import Helm
from cloudai_sandbox.installation import Installation
from cloudai_sandbox.sandbox import Sandbox

B_SCHEDULER: Final = "b-scheduler"
SHORT_LEASES: Final = {
    f"CLOUDAI_{process}_LEASE_{name}": value
    for process in ("SCHEDULER", "OPERATOR")
    for name, value in (("DURATION_SECONDS", "4"), ("RENEW_DEADLINE_SECONDS", "3"), ("RETRY_SECONDS", "0.5"))
}
RUNTIME: Final = "sandbox.cloudai.dev/runtime-seconds"


@dataclass(slots=True)
class Releases:
    """The cluster and what is installed there."""

    sandbox: Sandbox
    a: Installation
    b: Installation

    def kubectl(self, *arguments: str, user: str = "", groups: tuple[str, ...] = ()) -> str:
        """What kubectl says, also if it is a refusal; as somebody else if wanted."""
        pretended = [f"--as={user}"] if user else []
        pretended += [f"--as-group={group}" for group in groups]
        return self.sandbox.plane.kubectl(*arguments, *pretended, check=False)

    def get(self, *arguments: str) -> Any:
        """Objects as JSON."""
        return json.loads(self.sandbox.plane.kubectl("get", *arguments, "--output=json"))

    def apply(self, body: dict[str, Any], user: str = "", *more: str, verb: str = "create") -> str:
        """Create an object, or apply it; what kubectl says."""
        file = self.sandbox.folder / "object.json"
        file.write_text(json.dumps(body))
        return self.kubectl(verb, f"--filename={file}", *more, user=user)


def task(name: str, namespace: str, seconds: float = 0.5, **spec: Any) -> dict[str, Any]:
    """A Task that a simulated node runs for so long."""
    return {
        "apiVersion": "cloudai.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name, "namespace": namespace, "annotations": {RUNTIME: str(seconds)}},
        "spec": {"image": "work:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, **spec},
    }


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    """Two releases, each with its operator and its scheduler."""
    folder = tmp_path_factory.mktemp("install")
    namespaces = ("default", "team-a", "team-b", "b-system")
    with Sandbox(folder, nodes=4, gpus=4, run=(), namespaces=namespaces, chart=False) as sandbox:
        a = Installation(sandbox.plane, sandbox.children, folder, variables=SHORT_LEASES)
        a.helm.install({"watchNamespaces": ["team-a", "default"]})
        sandbox.plane.wait_for_tasks()
        b = Installation(sandbox.plane, sandbox.children, folder, "b", "b-system", SHORT_LEASES)
        values = {"watchNamespaces": ["team-b"], "schedulerName": B_SCHEDULER, "crds": {"enabled": False}}
        b.helm.install(values, "b")
        for release in (a, b):
            for component in ("scheduler", "operator"):
                release.start(component)
        yield Releases(sandbox, a, b)


def complete(releases: Releases, name: str, namespace: str) -> dict[str, Any]:
    """Wait for a Task's end and return its status."""

    def status() -> Any:
        found = releases.get("tasks.cloudai.dev", name, f"--namespace={namespace}").get("status", {})
        return found if found.get("state") in {"Complete", "Failed"} else None

    found: dict[str, Any] = releases.a.wait(status, 30.0)
    assert found["state"] == "Complete", found
    return found


def test_each_release_runs_its_own_tasks(releases: Releases) -> None:
    """A Task is bound by the scheduler of the release that watches its namespace, and its deadline is judged."""
    for namespace, scheduler in (("team-a", "cloudai-scheduler"), ("team-b", B_SCHEDULER)):
        assert "created" in releases.apply(task("first", namespace))
        status = complete(releases, "first", namespace)
        assert {one["type"]: one["status"] for one in status["conditions"]}["DeadlineMet"] == "True"
        (pod,) = releases.get("pods", f"--namespace={namespace}")["items"]
        assert pod["spec"]["schedulerName"] == scheduler
        assert pod["metadata"]["labels"]["cloudai.dev/bound-by"] == scheduler
        assert "cloudai.dev/decision" in pod["metadata"]["annotations"]


def test_a_namespace_that_nobody_watches(releases: Releases) -> None:
    """Neither release touches it."""
    releases.sandbox.plane.create_namespace("nobody")
    releases.apply(task("alone", "nobody"))
    releases.apply(task("beacon", "team-a"))
    complete(releases, "beacon", "team-a")
    assert "status" not in releases.get("tasks.cloudai.dev", "alone", "--namespace=nobody")


def test_numbers_without_quotes(releases: Releases) -> None:
    """`cpu: 0.5` is accepted as a Pod accepts it, also a second time; what the schema refuses it refuses still."""
    amounts = {"requests": {"cpu": 0.25}, "limits": {"cpu": 0.5}}
    for _ in range(2):
        releases.apply(task("half", "team-a", 1, resources=amounts, sla={"multiplier": 2.5}), verb="apply")
    complete(releases, "half", "team-a")
    spec = releases.get("tasks.cloudai.dev", "half", "--namespace=team-a")["spec"]
    found = (spec["resources"]["requests"]["cpu"], spec["resources"]["limits"]["cpu"], spec["sla"]["multiplier"])
    assert found == ("0.25", "0.5", "2.5")
    for limits, message in (
        ({"cpu": -0.5}, "is negative"),
        ({"memory": 1e20}, "more than any machine has"),
        ({"nvidia.com/gpu": 0.5}, "whole number of devices"),
        (3, "must be of type object"),
    ):
        assert message in releases.apply(task("bad", "team-a", 1, resources={"limits": limits}))


def test_helm_test(releases: Releases) -> None:
    """The Pod that `helm test` runs, with its own account: a Task from apply to Complete, deleted at the end."""
    rendered = releases.a.helm.run("get", "hooks", "cloudai")
    hooks = [one for one in yaml.safe_load_all(rendered) if one]
    for one in hooks:
        if one["kind"] != "Pod":
            releases.apply({**one, "metadata": {**one["metadata"], "annotations": {}}}, verb="apply")
    pod = next(one for one in hooks if one["kind"] == "Pod")["spec"]
    done = releases.a.run_once(pod)
    assert (done.returncode, done.stdout.partition(":")[0]) == (0, "complete"), done.stderr
    left = releases.get("tasks.cloudai.dev", "--all-namespaces")["items"]
    assert not [one for one in left if one["metadata"]["name"].startswith("cloudai-try-")]


def test_an_epoch_publishes_and_the_scheduler_reloads(releases: Releases) -> None:
    """The CronJob's own container, account and settings; in force within 5 s."""
    for number in range(12):
        releases.apply(task(f"learn-{number}", "team-a", 2, type="cpu-light"))
    for number in range(12):
        complete(releases, f"learn-{number}", "team-a")
    releases.a.helm.upgrade(
        {"watchNamespaces": ["team-a", "default"], "optimizer": {"settings": {"min_tasks": 10, "search_tasks": 1000}}}
    )
    done = releases.a.run_once(releases.a.epoch_pod())
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["result"], report["published"]) == ("fitted", True), report
    releases.a.wait(lambda: releases.a.metric("scheduler", "cloudai_rts_parameter_version") == report["version"], 5.0)
    assert releases.b.metric("scheduler", "cloudai_rts_parameter_version") == 0


def test_a_second_release_in_one_namespace_is_refused(releases: Releases) -> None:
    """Helm's message names the object that the first one owns."""
    with pytest.raises(HelmError, match="cloudai-release"):
        releases.a.helm.install({"crds": {"enabled": False}}, "second")


class TestParameters:
    """ConfigMap cloudai-parameters, on which every placement rests, and its writers."""

    def body(self, namespace: str = "cloudai-system") -> dict[str, Any]:
        """A whole document."""
        whole = {**json.loads(parameters.dump(parameters.defaults())), "version": 5, "checksum": ""}
        whole["checksum"] = parameters.checksum_of(whole)
        metadata = {"name": "cloudai-parameters", "namespace": namespace}
        data = {"ga_output.json": json.dumps(whole)}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    @pytest.fixture(autouse=True)
    def admin_of_the_namespace(self, releases: Releases) -> None:
        """The writer may override, mallory has all the usual verbs."""
        for namespace in ("cloudai-system", "b-system"):
            where = f"--namespace={namespace}"
            releases.kubectl("create", "role", "maps", "--verb=*", "--resource=configmaps", where)
            releases.kubectl("create", "rolebinding", "maps", "--role=maps", "--user=writer", where)
            releases.kubectl(
                "create", "role", "mere", "--verb=get,create,update,patch,delete", "--resource=configmaps", where
            )
            releases.kubectl("create", "rolebinding", "mere", "--role=mere", "--user=mallory", where)

    def test_nobody_else_writes_or_deletes(self, releases: Releases) -> None:
        """Not with the rights of a namespace's admin; the message says what is missing."""
        said = releases.apply(self.body(), "mallory", "--server-side", "--force-conflicts", verb="apply")
        assert 'mallory needs the verb "override"' in said
        releases.apply(self.body("b-system"), "writer")
        where = "--namespace=b-system"
        for verb in (["delete"], ["annotate", "--overwrite"]):
            more = ["x=y"] if verb[0] == "annotate" else []
            said = releases.kubectl(*verb, "configmap", "cloudai-parameters", *more, where, user="mallory")
            assert 'needs the verb "override"' in said, said
        assert "deleted" in releases.kubectl("delete", "configmap", "cloudai-parameters", where, user="writer")

    def test_other_config_maps_are_none_of_its_business(self, releases: Releases) -> None:
        """Only this name, only in this namespace."""
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine", "namespace": "cloudai-system"}}
        assert "created" in releases.apply(body, "mallory")
        elsewhere = self.body("team-a")
        assert "created" in releases.apply(elsewhere)

    def test_the_override_role_is_enough(self, releases: Releases) -> None:
        """Whom the shipped role is bound to may freeze and roll back."""
        where = "--namespace=b-system"
        releases.kubectl(
            "create", "rolebinding", "oncall", "--role=b-cloudai-parameters-override", "--user=oncall", where
        )
        releases.apply(self.body("b-system"))
        said = releases.kubectl("annotate", "configmap", "cloudai-parameters", "x=y", where, user="oncall")
        assert "annotated" in said
        assert "deleted" in releases.kubectl("delete", "configmap", "cloudai-parameters", where, user="oncall")

    def test_deletion_of_the_namespace_goes_through(self, releases: Releases) -> None:
        """A policy must never hold up a namespace that goes."""
        helm = Helm(releases.a.folder / "d", releases.sandbox.plane.kubeconfig, namespace="d-system")
        values = {"watchNamespaces": ["team-d"], "schedulerName": "d-scheduler", "crds": {"enabled": False}}
        releases.sandbox.plane.create_namespace("team-d")
        helm.install(values, "d")
        releases.apply(self.body("d-system"))
        where = "--namespace=d-system"
        roles = ("--verb=get,delete", "--resource=configmaps")
        releases.kubectl("create", "role", "mere", *roles, where)
        releases.kubectl("create", "rolebinding", "mere", "--role=mere", "--user=mallory", where)
        delete = ("delete", "configmap", "cloudai-parameters", where)
        refused = 'needs the verb "override"'  # seconds pass until a new policy is in force
        releases.a.wait(lambda: refused in releases.kubectl(*delete, "--dry-run=server", user="mallory"))
        releases.kubectl("delete", "namespace", "d-system", "--wait=false")
        assert "deleted" in releases.kubectl(*delete, user="mallory")
        for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings"):
            releases.kubectl("delete", kind, "--selector=app.kubernetes.io/instance=d")


class TestPrivilegedChoices:
    """What a Task may ask for is what its author may ask for: 'use' has or lacks, create or update."""

    @pytest.fixture(autouse=True)
    def tenants(self, releases: Releases) -> None:
        """alice edits Tasks and pods, bob Tasks only, carol may use everything."""
        where = "--namespace=team-a"
        create = ("create", "role")
        releases.kubectl(*create, "tasks", "--verb=get,create,update,patch", "--resource=tasks.cloudai.dev", where)
        releases.kubectl(*create, "pods", "--verb=create", "--resource=pods", where)
        for user, roles in (("alice", ("tasks", "pods")), ("bob", ("tasks",)), ("carol", ("tasks", "pods"))):
            for role in roles:
                releases.kubectl("create", "rolebinding", f"{user}-{role}", f"--role={role}", f"--user={user}", where)
        use = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "use-all"},
            "rules": [
                {"apiGroups": ["scheduling.k8s.io"], "resources": ["priorityclasses"], "verbs": ["use"]},
                {"apiGroups": ["cloudai.dev"], "resources": ["tasks/target-node", "tasks/root"], "verbs": ["use"]},
            ],
        }
        releases.apply(use)
        releases.kubectl("create", "clusterrolebinding", "use-all", "--clusterrole=use-all", "--user=carol")
        urgent = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "urgent"}}
        releases.apply({**urgent, "value": 1000})

    CHOICES: Final = (
        ({"priorityClassName": "urgent"}, 'needs the verb "use" on priorityclasses urgent'),
        ({"targetNode": "node-1"}, 'needs the verb "use" on tasks/target-node'),
        ({"securityContext": {"runAsUser": 0}}, 'needs the verb "use" on tasks/root'),
        ({"securityContext": {"fsGroup": 0}}, 'needs the verb "use" on tasks/root'),
        ({"securityContext": {"runAsGroup": 0}}, 'needs the verb "use" on tasks/root'),
    )

    @pytest.mark.parametrize(("spec", "message"), CHOICES)
    def test_creation(self, releases: Releases, spec: dict[str, Any], message: str) -> None:
        """alice is refused, carol is not."""
        body = task("choice", "team-a", suspend=True, **spec)
        assert message in releases.apply(body, "alice", "--dry-run=server")
        assert "created" in releases.apply(body, "carol", "--dry-run=server")

    def test_update(self, releases: Releases) -> None:
        """A choice that is refused at creation is refused later too; one that stays as it is asks for nothing."""
        where = "--namespace=team-a"
        releases.apply(task("later", "team-a", suspend=True), "alice")
        patch = ("patch", "tasks.cloudai.dev", "later", where, "--type=merge")
        urgent = '--patch={"spec":{"priorityClassName":"urgent"}}'
        assert 'needs the verb "use"' in releases.kubectl(*patch, urgent, user="alice")
        assert "patched" in releases.kubectl(*patch, urgent, user="carol")
        label = '--patch={"metadata":{"labels":{"x":"y"}}}'
        assert "patched" in releases.kubectl(*patch, label, user="alice")

    def test_who_may_not_create_pods_creates_no_tasks(self, releases: Releases) -> None:
        """A Task is a pod by other means."""
        said = releases.apply(task("bobs", "team-a"), "bob", "--dry-run=server")
        assert "bob may not create pods in namespace team-a" in said

    def test_not_where_we_run(self, releases: Releases) -> None:
        """In the namespace of either release."""
        for namespace in ("cloudai-system", "b-system"):
            said = releases.apply(task("inside", namespace), "", "--dry-run=server")
            assert f"Tasks are not run in {namespace}" in said

    def test_a_user_of_another_name_is_a_warning(self, releases: Releases) -> None:
        """The field is informative: people submit for others."""
        said = releases.apply(task("for-somebody", "team-a", user="dave", suspend=True), "alice", "--dry-run=server")
        assert 'spec.user "dave" is not alice' in said
        assert "created" in said


def test_a_forged_status_is_refused(releases: Releases) -> None:
    """The operator's book on a running Task: nobody else writes it, unless a role says so."""
    where = "--namespace=team-a"
    releases.apply(task("booked", "team-a", 600))
    releases.a.wait(lambda: releases.get("tasks.cloudai.dev", "booked", where).get("status", {}).get("attempts"))
    verbs = ("--verb=get,patch", "--resource=tasks.cloudai.dev,tasks.cloudai.dev/status")
    for name, more in (("forger", ()), ("fixer", ("--verb=override",))):
        releases.kubectl("create", "role", name, *verbs, *more, where)
        releases.kubectl("create", "rolebinding", name, f"--role={name}", f"--user={name}", where)
    patch = ("patch", "tasks.cloudai.dev", "booked", where, "--subresource=status", "--type=merge")
    for forged in ({"attempts": [], "attemptCount": 7}, {"rejected": 99}):
        said = releases.kubectl(*patch, f"--patch={json.dumps({'status': forged})}", user="forger")
        assert "the status of a Task is written by the operator" in said
    assert "patched" in releases.kubectl(*patch, '--patch={"status":{"podName":"x"}}', user="fixer")
    (pod,) = [pod for pod in releases.get("pods", where)["items"] if pod["metadata"]["name"].startswith("booked-")]
    assert pod["metadata"].get("deletionTimestamp") is None
    releases.kubectl("delete", "tasks.cloudai.dev", "booked", where)


class TestDecisions:
    """A decision is evidence: only the scheduler that binds writes it."""

    def pod(self, name: str, scheduler: str, **metadata: Any) -> dict[str, Any]:
        """A pod that waits for a scheduler."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "team-a", **metadata},
            "spec": {"schedulerName": scheduler, "containers": [{"name": "c", "image": "x"}]},
        }

    @pytest.mark.parametrize(
        ("scheduler", "metadata"),
        [
            ("cloudai-scheduler", {"annotations": {"cloudai.dev/decision": "{}"}}),
            ("cloudai-scheduler", {"labels": {"cloudai.dev/bound-by": "cloudai-scheduler"}}),
            ("elsewhere", {"labels": {"cloudai.dev/bound-by": "cloudai-scheduler"}}),
            ("elsewhere", {"labels": {"cloudai.dev/bound-by": B_SCHEDULER}}),
        ],
    )
    def test_forged_at_creation(self, releases: Releases, scheduler: str, metadata: dict[str, Any]) -> None:
        """Refused, whatever scheduler the pod names."""
        said = releases.apply(self.pod("forged", scheduler, **metadata), "", "--dry-run=server")
        assert "alone, with the Binding" in said

    def test_forged_later(self, releases: Releases) -> None:
        """On the pod, through its status, and with a Binding of one's own."""
        where = "--namespace=team-a"
        releases.apply(self.pod("later", "cloudai-scheduler", labels={"a": "b"}))
        releases.a.wait(lambda: releases.get("pod", "later", where)["spec"].get("nodeName"))
        note = "cloudai.dev/decision={}"
        assert "alone, with the Binding" in releases.kubectl("annotate", "--overwrite", "pod", "later", note, where)
        patch = ("patch", "pod", "later", where, "--subresource=status")
        forged = '--patch={"metadata":{"annotations":{"cloudai.dev/decision":"{}"}}}'
        assert "alone, with the Binding" in releases.kubectl(*patch, forged)
        assert "labeled" in releases.kubectl("label", "pod", "later", "c=d", where)
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "mine", "labels": {"cloudai.dev/bound-by": "cloudai-scheduler"}},
            "target": {"kind": "Node", "name": "node-1"},
        }
        releases.apply(self.pod("mine", "elsewhere"))
        file = releases.sandbox.folder / "binding.json"
        file.write_text(json.dumps(binding))
        path = "/api/v1/namespaces/team-a/pods/mine/binding"
        said = releases.kubectl("create", "--raw", path, f"--filename={file}")
        assert "alone, with the Binding" in said


def test_upgrade_keeps_what_was_learned_and_rollback_works(releases: Releases) -> None:
    """No object of the optimizer is the chart's, so nothing is reset; server-side apply finds one owner a field."""
    helm = releases.b.helm
    values = {"watchNamespaces": ["team-b"], "schedulerName": B_SCHEDULER, "crds": {"enabled": False}}
    before = releases.get("configmaps", "--namespace=b-system")["items"]
    helm.upgrade({**values, "scheduler": {"replicas": 3}}, "b")
    assert releases.get("deployment", "b-cloudai-scheduler", "--namespace=b-system")["spec"]["replicas"] == 3
    helm.run("rollback", "b")
    assert releases.get("deployment", "b-cloudai-scheduler", "--namespace=b-system")["spec"]["replicas"] == 2
    after = releases.get("configmaps", "--namespace=b-system")["items"]
    names = [{one["metadata"]["name"]: one.get("data") for one in maps} for maps in (before, after)]
    assert names[0].get("cloudai-rules") == names[1].get("cloudai-rules") is not None


def test_namespaces_opt_in_and_a_pool_is_kept_for_us(releases: Releases) -> None:
    """A label on a namespace brings all its pods to us; nodes that are kept for us are tolerated by our pods alone."""
    values = {"watchNamespaces": ["team-b"], "schedulerName": B_SCHEDULER, "crds": {"enabled": False}}
    on = {"optIn": {"enabled": True}, "gpuNodePool": {"enabled": True, "required": True}}
    releases.b.helm.upgrade({**values, **on}, "b")
    releases.sandbox.plane.create_namespace("opted")
    releases.kubectl("label", "namespace", "opted", f"cloudai.dev/scheduler={B_SCHEDULER}")

    def made(**spec: Any) -> Any:
        container = {"name": "c", "image": "x", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
        whole = {"containers": [container], **spec}
        metadata = {"name": "p", "namespace": "opted"}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}
        said = releases.apply(body, "", "--dry-run=server", "--output=json")
        return json.loads(said)["spec"] if said.startswith("{") else said

    pool = {"key": "cloudai.dev/pool", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}

    def are_in_force() -> bool:
        """Seconds pass until a policy is, and each comes by itself."""
        direct = made(schedulerName=B_SCHEDULER)
        return made()["schedulerName"] == B_SCHEDULER and pool in direct["tolerations"] and "nodeSelector" in direct

    releases.a.wait(are_in_force)
    for _ in range(5):  # by the label alone, whichever policy comes first
        brought = made()
        assert (brought["schedulerName"], brought["nodeSelector"]) == (B_SCHEDULER, {"cloudai.dev/pool": "gpu"})
        assert brought["tolerations"].count(pool) == 1
    other = {"tolerations": [{"key": "other", "operator": "Exists"}], "nodeSelector": {"disk": "ssd"}}
    spec = made(schedulerName=B_SCHEDULER, **other)
    assert pool in spec["tolerations"]
    assert spec["nodeSelector"] == {"disk": "ssd", "cloudai.dev/pool": "gpu"}
    assert made(schedulerName="elsewhere")["schedulerName"] == "elsewhere"
    releases.a.wait(
        lambda: "are kept for pods of scheduler" in str(made(schedulerName="elsewhere", tolerations=[pool]))
    )
    assert made(schedulerName=B_SCHEDULER, containers=[{"name": "c", "image": "x"}]).get("nodeSelector") is None
    releases.b.helm.upgrade(values, "b")


def test_the_processes_read_what_the_chart_says(releases: Releases) -> None:
    """A setting that the process does not know ends it: the schema and the process cannot drift apart unseen."""
    pod = releases.get("deployment", "b-cloudai-operator", "--namespace=b-system")["spec"]["template"]["spec"]
    done = releases.b.run_once(pod, "--workers=0")
    assert done.returncode == 2
    assert "workers" in done.stderr


def test_helm_3_installs_it_too(releases: Releases, tmp_path: Path) -> None:
    """Install, upgrade, uninstall: nothing of the release is left."""
    helm = Helm(tmp_path, releases.sandbox.plane.kubeconfig, 3, "c-system")
    values = {"watchNamespaces": ["team-c"], "schedulerName": "c-scheduler", "crds": {"enabled": False}}
    releases.sandbox.plane.create_namespace("team-c")
    helm.install(values, "c")
    helm.upgrade({**values, "operator": {"replicas": 2}}, "c")
    helm.run("uninstall", "c")
    kinds = "clusterroles,clusterrolebindings,roles,rolebindings,deployments,configmaps,validatingadmissionpolicies"
    left = releases.get(kinds, "--all-namespaces", "--selector=app.kubernetes.io/instance=c")["items"]
    assert left == []


def test_our_own_namespace_can_be_restricted(releases: Releases) -> None:
    """The Pod Security admission warns of nothing: neither processes nor CronJob nor hooks."""
    label = "pod-security.kubernetes.io/warn=restricted"
    releases.kubectl("label", "namespace", "cloudai-system", label)
    releases.kubectl("create", "serviceaccount", "default", "--namespace=cloudai-system")  # no controller does it here
    objects = releases.a.helm.template({"watchNamespaces": ["team-a", "default"]})
    said = []
    for one in objects:
        if one["kind"] in {"Deployment", "CronJob", "Pod"}:
            one["metadata"]["name"] += "-tried"
            one.get("spec", {}).pop("serviceAccountName", None)  # of the test, which is not there now
            said.append(releases.apply(one, "", "--dry-run=server"))
    assert len(said) == 4
    for text in said:
        assert "created (server dry run)" in text
        assert "would violate" not in text
    host = {"name": "bad", "namespace": "cloudai-system"}
    bad = {"hostNetwork": True, "containers": [{"name": "c", "image": "x"}]}
    said = [releases.apply({"apiVersion": "v1", "kind": "Pod", "metadata": host, "spec": bad}, "", "--dry-run=server")]
    assert "would violate" in said[0]


def test_server_side_validation_of_everything(releases: Releases, tmp_path: Path) -> None:
    """The API server accepts what the chart makes with every option that needs no foreign API."""
    from tests.chart.test_chart import EVERYTHING, MUTATING

    values = {**EVERYTHING, "monitoring": {"dashboard": {"enabled": True}}, "crds": {"enabled": False}}
    rendered = releases.a.helm.template(values, "every", more=[f"--api-versions={MUTATING}"])
    # The test Pod needs its account to exist, and one namespace takes one release.
    objects = [one for one in rendered if one["kind"] != "Pod" and one["metadata"]["name"] != "cloudai-release"]
    file = tmp_path / "all.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    said = releases.kubectl("apply", "--server-side", "--dry-run=server", f"--filename={file}")
    assert said.count("(server dry run)") == len(objects) == len(rendered) - 2, said


def test_bad_settings_end_a_process_with_words(releases: Releases) -> None:
    """Also those that only the process can judge."""
    pod = releases.get("deployment", "cloudai-operator", "--namespace=cloudai-system")["spec"]["template"]["spec"]
    done = releases.a.run_once(pod, "--lease-duration-seconds=1")
    assert (done.returncode, "lease_duration_seconds" in done.stderr) == (2, True)
