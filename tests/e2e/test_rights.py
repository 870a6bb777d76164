"""Every right that the chart gives is needed, and none is missing: seen in the API server's own audit log.

A scenario makes our processes do all that they can do. Then each rule is taken away in turn: a request that was made
must be refused.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cloudai_sandbox.installation import Installation
from cloudai_sandbox.sandbox import Sandbox

NAMESPACE: Final = "cloudai-system"
HOST: Final = "kubernetes.io/hostname"
RUNTIME: Final = "sandbox.cloudai.dev/runtime-seconds"
POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "Metadata", "userGroups": [f"system:serviceaccounts:{NAMESPACE}"]},
        {"level": "None"},
    ],
}
WATCHES_END: Final = 2
"""Seconds after which the API server ends watches, so that they are in the log."""
ONLY_AFTER_FAULTS: Final = {
    ("cloudai-scheduler", "get", "pods"),  # a Binding without an answer
    ("cloudai-operator", "get", "pods"),  # a creation that says AlreadyExists
    ("cloudai-scheduler", "patch", "events"),  # an Event that repeats itself
    ("cloudai-operator", "patch", "events"),
}
"""Requests that need an accident, which other tests cause."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of one of our accounts."""

    account: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    allowed: bool

    @property
    def what(self) -> str:
        """Resource as rules write it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def needs(self, rule: dict[str, Any]) -> bool:
        """Whether this rule is one that allows it."""
        return (
            self.verb in rule["verbs"]
            and self.group in rule["apiGroups"]
            and self.what in rule["resources"]
            and (not rule.get("resourceNames") or self.name in rule["resourceNames"])
        )

    def review(self) -> dict[str, Any]:
        """The question whether it is allowed, for the API server."""
        attributes = {
            "verb": self.verb,
            "group": self.group,
            "resource": self.resource,
            "subresource": self.subresource,
            "namespace": self.namespace,
            "name": self.name,
        }
        spec = {"user": f"system:serviceaccount:{NAMESPACE}:{self.account}", "resourceAttributes": attributes}
        return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


class World:
    """A cluster with one release and an audit log."""

    def __init__(self, sandbox: Sandbox, release: Installation, log: Path) -> None:
        self.sandbox = sandbox
        self.release = release
        self.log = log

    def requests(self) -> list[Request]:
        """All that our accounts have asked for so far, each kind once."""
        found: dict[Request, None] = {}
        for line in self.log.read_text().splitlines():
            event = json.loads(line)
            target = event.get("objectRef")
            if target is None:
                continue  # discovery
            request = Request(
                event["user"]["username"].rpartition(":")[2],
                event["verb"],
                target.get("apiGroup", ""),
                target["resource"],
                target.get("subresource", ""),
                target.get("namespace", ""),
                target.get("name", ""),
                event["annotations"].get("authorization.k8s.io/decision") == "allow",
            )
            found[request] = None
        return list(found)

    def kubectl(self, *arguments: str) -> str:
        """As the administrator."""
        return self.sandbox.plane.kubectl(*arguments)

    def apply(self, body: dict[str, Any], verb: str = "create") -> str:
        """Create or replace an object; returns what the API server made of it."""
        file = self.sandbox.folder / "object.json"
        file.write_text(json.dumps(body))
        return self.kubectl(verb, f"--filename={file}", "--output=json")

    def state(self, name: str) -> str:
        """State of a Task."""
        output = "--output=jsonpath={.status.state}"
        return self.sandbox.plane.kubectl("get", "tasks.cloudai.dev", name, output, check=False)

    def rules(self) -> list[tuple[dict[str, Any], int]]:
        """Every rule of every role that is bound to one of our accounts: the role and the rule's place in it."""
        selector = "--selector=app.kubernetes.io/instance=cloudai"
        kinds = ("clusterroles", "roles")
        items = [
            one
            for kind in kinds
            for one in json.loads(self.kubectl("get", kind, "--all-namespaces", selector, "--output=json"))["items"]
        ]
        for_people = ("cloudai-viewer", "cloudai-editor", "cloudai-parameters-override")
        roles = [one for one in items if one["metadata"]["name"] not in for_people]
        return [(role, place) for role in roles for place in range(len(role["rules"]))]

    def is_allowed(self, request: Request) -> bool:
        """What the API server says of a request now."""
        return bool(json.loads(self.apply(request.review()))["status"].get("allowed"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One release after a scenario in which everything happened."""
    folder = tmp_path_factory.mktemp("rights")
    policy, log = folder / "audit.yaml", folder / "audit.log"
    policy.write_text(yaml.safe_dump(POLICY))
    arguments = (f"--audit-policy-file={policy}", f"--audit-log-path={log}", "--audit-log-format=json")
    with Sandbox(folder, nodes=3, gpus=2, run=(), chart=False, arguments=arguments) as sandbox:
        release = Installation(sandbox.plane, sandbox.children, folder)
        release.helm.install(
            {
                "operator": {"breakGlassMinutes": 60, "settings": {"relist_seconds": 5}},
                "optimizer": {"settings": {"min_tasks": 10, "search_tasks": 1000}},
            }
        )
        sandbox.plane.wait_for_tasks()
        for component in ("scheduler", "operator"):
            release.start(component)
        one = World(sandbox, release, log)
        perform(one)
        yield one


def perform(world: World) -> None:
    """Tasks that finish, wait, are suspended, promised another deadline, removed; an epoch; a clean stop."""
    release = world.release
    for number in range(12):
        world.apply(task(f"done-{number}", 2))
    world.apply(task("too-big", 1, resources={"limits": {"cpu": "500"}}))
    world.apply(task("long", 300))
    world.apply(task("brief", 0.5, ttlSecondsAfterFinished=0))
    release.wait(lambda: all(world.state(f"done-{number}") == "Complete" for number in range(12)), 60)
    release.wait(lambda: world.state("long") == "Running")
    patch = ("patch", "tasks.cloudai.dev", "long", "--type=merge")
    world.kubectl(*patch, '--patch={"spec":{"sla":{"finishWithin":"3h"}}}')
    release.wait(lambda: "03:" in deadline(world) or deadline(world) != "")
    time.sleep(1.0)
    world.kubectl(*patch, '--patch={"spec":{"suspend":true}}')
    release.wait(lambda: world.state("long") == "Suspended")
    release.wait(lambda: "NotFound" in world.sandbox.plane.kubectl("get", "tasks.cloudai.dev", "brief", check=False))
    use_volumes(world)
    use_priority(world)
    world.kubectl("label", "node", "--all", "changed=yes")  # what cannot be placed is tried again, and told again
    done = release.run_once(release.epoch_pod())
    assert json.loads(done.stdout)["published"], done.stdout + done.stderr
    release.wait(lambda: release.metric("scheduler", "cloudai_rts_parameter_version") == 1)
    time.sleep(6.0)
    for child in list(release.children.running):
        if child.name in ("cloudai-scheduler", "cloudai-operator"):
            child.stop()
            release.children.running.remove(child)


def use_volumes(world: World) -> None:
    """A pod with a volume that is there already, and one with a volume that nobody makes."""
    late = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "volumeBindingMode": "WaitForFirstConsumer"}
    world.apply({**late, "metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner"})
    world.apply({**late, "metadata": {"name": "driver"}, "provisioner": "disk.example.com"})
    host = world.kubectl("get", "nodes", "--output=jsonpath={.items[0].metadata.labels.kubernetes\\.io/hostname}")
    term = {"matchExpressions": [{"key": HOST, "operator": "In", "values": [host]}]}
    disk = {
        "storageClassName": "local",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "local": {"path": "/disk"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
    }
    world.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": disk})
    world.kubectl(
        "patch", "pv", "disk", "--subresource=status", "--type=merge", '--patch={"status":{"phase":"Available"}}'
    )
    for kind in ("local", "driver"):
        spec = {"storageClassName": kind, "accessModes": ["ReadWriteOnce"]}
        claim = {
            "metadata": {"name": kind, "namespace": "default"},
            "spec": {**spec, "resources": {"requests": {"storage": "1Gi"}}},
        }
        world.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": kind}}]
        containers = [{"name": "c", "image": "work:1"}]
        pod = {"schedulerName": "cloudai-scheduler", "containers": containers, "volumes": volumes}
        world.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": kind, "namespace": "default"}, "spec": pod}
        )
    reference = ("get", "pv", "disk", "--output=jsonpath={.spec.claimRef.name}")
    world.release.wait(lambda: world.kubectl(*reference) == "local")
    world.release.wait(
        lambda: "selected-node" in world.kubectl("get", "pvc", "driver", "--output=jsonpath={.metadata.annotations}")
    )


def use_priority(world: World) -> None:
    """A pod that takes the place of another one."""
    world.kubectl("create", "priorityclass", "urgent", "--value=1000")
    room = world.kubectl("get", "nodes", "--output=jsonpath={.items[0].status.allocatable.cpu}")
    host = world.kubectl("get", "nodes", "--output=jsonpath={.items[0].metadata.name}")
    world.apply(holder("lower", host, room))
    world.release.wait(lambda: "Running" in world.kubectl("get", "pod", "lower", "--output=jsonpath={.status.phase}"))
    world.apply(holder("upper", host, room, priorityClassName="urgent"))
    world.release.wait(lambda: "NotFound" in world.sandbox.plane.kubectl("get", "pod", "lower", check=False))


def holder(name: str, host: str, cpu: str, **spec: Any) -> dict[str, Any]:
    """A pod that takes nearly all of a node that holds nothing large."""
    amount = f"{int(int(cpu) * 0.6) + 1}"
    container = {"name": "c", "image": "work:1", "resources": {"requests": {"cpu": amount}}}
    body = {"schedulerName": "cloudai-scheduler", "containers": [container], "nodeSelector": {HOST: host}, **spec}
    meta = {"name": name, "namespace": "default", "annotations": {RUNTIME: "3600"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": body}


def deadline(world: World) -> str:
    """Deadline of the long Task's pod."""
    path = "--output=jsonpath={.items[*].metadata.annotations.cloudai\\.dev/deadline}"
    return world.kubectl("get", "pods", "--selector=cloudai.dev/task=long", path)


def task(name: str, seconds: float, **spec: Any) -> dict[str, Any]:
    """A Task that runs so long."""
    body = {"image": "work:1", "type": "cpu-light", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, **spec}
    metadata = {"name": name, "namespace": "default", "annotations": {RUNTIME: str(seconds)}}
    return {"apiVersion": "cloudai.dev/v1alpha1", "kind": "Task", "metadata": metadata, "spec": body}


def account_of(role: dict[str, Any]) -> str:
    """The account that a role is for."""
    return str(role["metadata"]["name"]).removesuffix("-tasks").removesuffix("-preemption")


def is_refused(world: World, request: Request) -> bool:
    """Whether a request would be refused now."""
    return not world.is_allowed(request)


def test_nothing_was_refused(world: World) -> None:
    """The shipped rights suffice for all that happened."""
    assert [one for one in world.requests() if not one.allowed] == []


def test_every_verb_was_needed(world: World) -> None:
    """What no request has used is not given."""
    requests = world.requests()
    unused = set()
    for role, place in world.rules():
        rule = role["rules"][place]
        account = account_of(role)
        for verb in rule["verbs"]:
            for resource in rule["resources"]:
                narrow = {**rule, "verbs": [verb], "resources": [resource]}
                if not any(one.account == account and one.needs(narrow) for one in requests):
                    unused.add((account, verb, resource))
    assert unused <= ONLY_AFTER_FAULTS


def test_without_a_rule_something_fails(world: World) -> None:
    """Each rule is removed from the cluster: a request that was made is refused then."""
    requests = world.requests()
    rules = world.rules()
    assert len(rules) > 20
    for role, place in rules:
        rule, name = role["rules"][place], role["metadata"]["name"]
        account = account_of(role)
        made = [one for one in requests if one.account == account and one.needs(rule)]
        assert made, f"{name}: nothing has used {rule}"
        metadata = {key: role["metadata"][key] for key in ("name", "namespace", "labels") if key in role["metadata"]}
        kept = [one for number, one in enumerate(role["rules"]) if number != place]
        body = {"apiVersion": role["apiVersion"], "kind": role["kind"], "metadata": metadata}
        world.apply({**body, "rules": kept}, "replace")
        try:
            world.release.wait(partial(is_refused, world, made[0]), 5.0)
        finally:
            world.apply({**body, "rules": role["rules"]}, "replace")
