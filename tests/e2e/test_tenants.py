"""Tasks of hostile tenants, and random ones: what reaches a pod is an allow-list, and every pod is a restricted one.

The chart's admission policies are in force. `CLOUDAI_TEST_TASKS` sets how many random Tasks are tried.
"""

import asyncio
import json
import os
import random
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest

from cloudai_kube import connection
from cloudai_kube.errors import ApiError
from cloudai_kube.task import Task
from cloudai_kube.transport import Transport
from cloudai_operator import pod
from cloudai_sandbox.installation import Installation
from cloudai_sandbox.sandbox import Sandbox

TASKS: Final = "/apis/cloudai.dev/v1alpha1/namespaces/restricted/tasks"
PODS: Final = "/api/v1/namespaces/restricted/pods"
DRY: Final = {"dryRun": "All"}
COUNT: Final = int(os.environ.get("CLOUDAI_TEST_TASKS", "500"))
AT_ONCE: Final = 8

UNKNOWN_TO_TASKS: Final[dict[str, Any]] = {
    "hostNetwork": True,
    "hostPID": True,
    "hostIPC": True,
    "hostUsers": False,
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["kubernetes.default.svc"]}],
    "hostname": "master",
    "subdomain": "kube-system",
    "setHostnameAsFQDN": True,
    "serviceAccountName": "cluster-admin",
    "serviceAccount": "cluster-admin",
    "automountServiceAccountToken": True,
    "nodeName": "node-1",
    "schedulerName": "default-scheduler",
    "priority": 2000001000,
    "preemptionPolicy": "PreemptLowerPriority",
    "runtimeClassName": "unconfined",
    "shareProcessNamespace": True,
    "restartPolicy": "Always",
    "enableServiceLinks": True,
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.1"]},
    "initContainers": [{"name": "i", "image": "x", "securityContext": {"privileged": True}}],
    "containers": [{"name": "c", "image": "x", "securityContext": {"privileged": True}}],
    "ephemeralContainers": [{"name": "e", "image": "x"}],
    "overhead": {"cpu": "-1"},
    "os": {"name": "windows"},
    "readinessGates": [{"conditionType": "x"}],
    "schedulingGates": [{"name": "x"}],
    "resourceClaims": [{"name": "x", "resourceClaimName": "y"}],
    "ports": [{"containerPort": 1, "hostPort": 22}],
    "envFrom": [{"secretRef": {"name": "x"}}],
    "lifecycle": {"postStart": {"exec": {"command": ["x"]}}},
    "livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80}},
    "startupProbe": {"exec": {"command": ["x"]}},
    "volumeDevices": [{"name": "x", "devicePath": "/dev/sda"}],
    "stdin": True,
    "tty": True,
    "terminationMessagePath": "/etc/passwd",
    "podSpecPatch": '{"hostNetwork":true}',
    "template": {"spec": {"hostPID": True}},
}
"""Fields of a pod that a Task does not have."""
UNKNOWN_TO_CONTEXTS: Final[dict[str, Any]] = {
    "privileged": True,
    "allowPrivilegeEscalation": True,
    "capabilities": {"add": ["SYS_ADMIN"]},
    "seccompProfile": {"type": "Unconfined"},
    "appArmorProfile": {"type": "Unconfined"},
    "seLinuxOptions": {"type": "spc_t"},
    "procMount": "Unmasked",
    "runAsNonRoot": False,
    "supplementalGroups": [0],
    "sysctls": [{"name": "kernel.msgmax", "value": "1"}],
    "windowsOptions": {"hostProcess": True},
    "readOnlyRootFilesystem": False,
}
FOREIGN_VOLUMES: Final[dict[str, Any]] = {
    "hostPath": {"path": "/"},
    "nfs": {"server": "x", "path": "/"},
    "csi": {"driver": "secrets-store.csi.k8s.io"},
    "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]},
    "downwardAPI": {"items": []},
    "image": {"reference": "x"},
    "gitRepo": {"repository": "x"},
    "flexVolume": {"driver": "x"},
    "iscsi": {"targetPortal": "x"},
    "ephemeral": {"volumeClaimTemplate": {}},
}
REFUSED: Final[list[tuple[str, dict[str, Any]]]] = [
    ("priority class of the cluster", {"priorityClassName": "system-node-critical"}),
    ("priority class without the right", {"priorityClassName": "urgent"}),
    ("a node without the right", {"targetNode": "node-1"}),
    ("root", {"securityContext": {"runAsUser": 0}}),
    ("root's group", {"securityContext": {"runAsGroup": 0}}),
    ("root's files", {"securityContext": {"fsGroup": 0}}),
    ("all taints", {"tolerations": [{"operator": "Exists"}]}),
    ("broken nodes", {"tolerations": [{"key": "node.kubernetes.io/unreachable", "operator": "Exists"}]}),
    ("a label of ours", {"podLabels": {"cloudai.dev/bound-by": "cloudai-scheduler"}}),
    ("a decision", {"podAnnotations": {"cloudai.dev/decision": "{}"}}),
    ("a label of Kubernetes", {"podLabels": {"pod-security.kubernetes.io/enforce": "privileged"}}),
    ("an annotation of Kubernetes", {"podAnnotations": {"container.apparmor.security.beta.kubernetes.io/task": "x"}}),
    ("a field of the pod in env", {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec"}}}]}),
    ("two sources", {"volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]}),
    ("more than there is", {"resources": {"limits": {"cpu": "99999999"}}}),
    ("less than nothing", {"resources": {"limits": {"memory": "-1"}}}),
    ("a resource of Kubernetes", {"resources": {"limits": {"kubernetes.io/x": "1"}}}),
    ("a million retries", {"backoffLimit": 1_000_000}),
    ("a deadline of long ago", {"sla": {"finishBy": "1970-01-01T00:00:00Z"}}),
    ("many copies", {"replicas": 1000}),
]


def body(name: str, **spec: Any) -> dict[str, Any]:
    """A Task."""
    whole = {"image": "work:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, **spec}
    metadata = {"name": name, "namespace": "restricted"}
    return {"apiVersion": "cloudai.dev/v1alpha1", "kind": "Task", "metadata": metadata, "spec": whole}


class Tenant:
    """Somebody with the usual rights in a namespace of the restricted level."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.plane = sandbox.plane
        self.folder = sandbox.folder
        self.config = connection.load(str(self.plane.service_account_kubeconfig("mallory", "restricted")))

    def submit(self, task: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
        """Create a Task without the client's own checks, as a trial: what is stored, or why not."""

        async def create() -> dict[str, Any]:
            async with Transport(self.config, "mallory") as transport:
                answer = await transport.request("POST", TASKS, task, {**DRY, "fieldValidation": "Ignore"})
                stored: dict[str, Any] = json.loads(answer)
                return stored

        try:
            return asyncio.run(create()), ""
        except ApiError as error:
            return None, str(error)


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    """A cluster with the chart, where nothing runs: what counts is what is let in."""
    folder = tmp_path_factory.mktemp("tenants")
    with Sandbox(folder, run=(), chart=False, kubelets=False, namespaces=("default", "restricted")) as sandbox:
        Installation(sandbox.plane, sandbox.children, folder).helm.install()
        sandbox.plane.wait_for_tasks()
        where = "--namespace=restricted"
        kubectl = sandbox.plane.kubectl
        kubectl("label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted")
        kubectl("create", "serviceaccount", "mallory", where)
        verbs = "--verb=get,create,update,patch,delete"
        kubectl("create", "role", "edit", verbs, "--resource=tasks.cloudai.dev,pods", where)
        kubectl("create", "rolebinding", "edit", "--role=edit", "--serviceaccount=restricted:mallory", where)
        urgent = folder / "urgent.json"
        urgent.write_text(
            json.dumps(
                {
                    "apiVersion": "scheduling.k8s.io/v1",
                    "kind": "PriorityClass",
                    "metadata": {"name": "urgent"},
                    "value": 1,
                }
            )
        )
        kubectl("create", f"--filename={urgent}")
        yield Tenant(sandbox)


def pod_of(stored: dict[str, Any]) -> dict[str, Any]:
    """The pod that the operator makes of a stored Task."""
    accepted = {"arrivalTime": "2027-01-01T00:00:00Z", "deadline": "2027-01-01T01:00:00Z", "type": "cpu-light"}
    task = msgspec.convert({**stored, "status": accepted}, Task)
    return pod.build(task, 1, "cloudai-scheduler")


def fields(node: Any) -> Iterator[str]:
    """All keys anywhere in an object."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield name
            yield from fields(child)
    elif isinstance(node, list):
        for child in node:
            yield from fields(child)


def test_there_are_enough_of_them() -> None:
    """At least 60 kinds of hostile Tasks are tried."""
    assert len(UNKNOWN_TO_TASKS) + len(UNKNOWN_TO_CONTEXTS) + len(FOREIGN_VOLUMES) + len(REFUSED) >= 60


@pytest.mark.parametrize("name", UNKNOWN_TO_TASKS)
def test_a_field_of_a_pod_that_tasks_lack_reaches_none(tenant: Tenant, name: str) -> None:
    """It is dropped, and the pod is the one that the Task makes without it."""
    stored, problem = tenant.submit(body("hostile", **{name: UNKNOWN_TO_TASKS[name]}))
    assert stored is not None, problem
    assert name not in stored["spec"]
    plain, _ = tenant.submit(body("hostile"))
    assert plain is not None
    stored["metadata"]["uid"] = plain["metadata"]["uid"]
    assert pod_of(stored) == pod_of(plain)


@pytest.mark.parametrize("name", UNKNOWN_TO_CONTEXTS)
def test_a_security_context_stays_what_it_is(tenant: Tenant, name: str) -> None:
    """Three numbers can be chosen, nothing else."""
    stored, problem = tenant.submit(body("hostile", securityContext={name: UNKNOWN_TO_CONTEXTS[name], "runAsUser": 7}))
    assert stored is not None, problem
    assert stored["spec"]["securityContext"] == {"runAsUser": 7}
    context = pod_of(stored)["spec"]["securityContext"]
    assert context == {"runAsUser": 7, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize("kind", FOREIGN_VOLUMES)
def test_other_volumes_are_refused(tenant: Tenant, kind: str) -> None:
    """The source is dropped, and a volume without one is refused."""
    stored, problem = tenant.submit(body("hostile", volumes=[{"name": "v", kind: FOREIGN_VOLUMES[kind]}]))
    assert stored is None
    assert "needs exactly one source" in problem


@pytest.mark.parametrize(("what", "spec"), REFUSED, ids=[what for what, _ in REFUSED])
def test_refused(tenant: Tenant, what: str, spec: dict[str, Any]) -> None:
    """Whatever asks for more than the tenant has, at admission and with a reason."""
    stored, problem = tenant.submit(body("hostile", **spec))
    assert stored is None, what
    assert "spec" in problem or "use" in problem, problem


def test_status_and_owner_are_no_way_in(tenant: Tenant) -> None:
    """A status at creation is dropped, an annotation is not copied to the pod."""
    task = body("hostile")
    task["status"] = {"state": "Complete", "attempts": [{"podUID": "x"}]}
    task["metadata"]["annotations"] = {"cloudai.dev/decision": "{}", "cloudai.dev/deadline": "2000-01-01T00:00:00Z"}
    stored, problem = tenant.submit(task)
    assert stored is not None, problem
    assert "status" not in stored
    notes = pod_of(stored)["metadata"]["annotations"]
    assert "cloudai.dev/decision" not in notes
    assert notes["cloudai.dev/deadline"].startswith("2027")


def draw(rng: random.Random, number: int) -> dict[str, Any]:
    """A random valid Task; every field of the contract is in some of them."""

    def maybe(share: float) -> bool:
        return rng.random() < share

    def word(most: int = 12) -> str:
        return "".join(rng.choice("abcdefghij0123456789") for _ in range(rng.randint(1, most)))

    spec: dict[str, Any] = {"image": f"registry.example/{word()}:{word()}"}
    spec["resources"] = {"limits": {"cpu": f"{rng.randint(1, 64_000)}m", "memory": f"{rng.randint(1, 512)}Gi"}}
    if maybe(0.3):
        spec["resources"]["requests"] = {"cpu": "1m"}
    if maybe(0.4):
        spec["gpus"] = rng.randint(0, 16)
        if maybe(0.3):
            spec["gpuResourceName"] = rng.choice(["amd.com/gpu", "nvidia.com/mig-1g.5gb"])
    optional: dict[str, Any] = {
        "type": rng.choice(["cpu-light", "gpu-training", word()]),
        "command": [word(100) for _ in range(rng.randint(1, 5))],
        "args": ["--" + word(), "$(" + word() + ")", "ü\n\t'\""],
        "workingDir": "/" + word(),
        "env": [
            {"name": f"A{word()}", "value": word(200)},
            {"name": f"B{word()}", "valueFrom": {"secretKeyRef": {"name": word(), "key": word(), "optional": True}}},
            {"name": f"C{word()}", "valueFrom": {"configMapKeyRef": {"name": word(), "key": word()}}},
        ],
        "imagePullSecrets": [{"name": word()}],
        "terminationGracePeriodSeconds": rng.randint(0, 86_400),
        "securityContext": {
            name: rng.randint(1, 2**31 - 1)
            for name in rng.sample(["runAsUser", "runAsGroup", "fsGroup"], rng.randint(1, 3))
        },
        "podLabels": {word(): word(), "example.com/" + word(): ""},
        "podAnnotations": {word(): word(200)},
        "sla": rng.choice(
            [
                {"finishWithin": "1h30m", "expectedRuntime": "10m"},
                {"finishBy": "2040-01-01T00:00:00Z"},
                {"multiplier": "2.5"},
            ]
        ),
        "nodeSelector": {word(): word()},
        "tolerations": [
            {"key": word(), "operator": "Exists"},
            {"key": word(), "operator": "Equal", "value": word(), "effect": "NoExecute", "tolerationSeconds": 5},
        ],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": word(), "operator": "Gt", "values": ["3"]}]}]
                }
            },
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": rng.randint(1, 100),
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {word(): word()}},
                        },
                    }
                ]
            },
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": rng.randint(1, 9),
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": rng.choice(["DoNotSchedule", "ScheduleAnyway"]),
                "labelSelector": {"matchLabels": {word(): word()}},
            }
        ],
        "backoffLimit": rng.randint(0, 1000),
        "activeDeadlineSeconds": rng.randint(1, 31_536_000),
        "ttlSecondsAfterFinished": rng.randint(0, 31_536_000),
        "suspend": maybe(0.5),
        "user": word(),
    }
    spec |= {name: value for name, value in optional.items() if maybe(0.4)}
    if maybe(0.4):
        sources: list[dict[str, Any]] = [
            {"emptyDir": {"medium": rng.choice(["", "Memory"]), "sizeLimit": "1Gi"}},
            {"persistentVolumeClaim": {"claimName": word(), "readOnly": maybe(0.5)}},
            {"configMap": {"name": word(), "items": [{"key": word(), "path": word()}]}},
            {"secret": {"secretName": word(), "defaultMode": 0o400}},
        ]
        chosen = rng.sample(sources, rng.randint(1, 4))
        spec["volumes"] = [{"name": f"v{place}", **source} for place, source in enumerate(chosen)]
        spec["volumeMounts"] = [
            {"name": f"v{place}", "mountPath": f"/m{place}", "readOnly": maybe(0.5)} for place in range(len(chosen))
        ]
    return body(f"random-{number}", **spec)


def test_random_tasks_make_restricted_pods(tenant: Tenant) -> None:
    """The API server accepts the Task, and the pod that comes of it in a namespace of the restricted level."""
    rng = random.Random(7)
    drawn = [draw(rng, number) for number in range(COUNT)]
    admin = connection.load(str(tenant.plane.kubeconfig))

    async def check(transport: Transport, task: dict[str, Any], gate: asyncio.Semaphore) -> None:
        async with gate:
            stored = json.loads(await transport.request("POST", TASKS, task, DRY))
            manifest = pod_of(stored)
            await transport.request("POST", PODS, manifest, DRY)
        constants = manifest["spec"]
        assert (constants["schedulerName"], constants["restartPolicy"]) == ("cloudai-scheduler", "Never")
        assert (constants["automountServiceAccountToken"], constants["enableServiceLinks"]) == (False, False)
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostPath", "privileged", "nodeName"} & set(fields(manifest))

    async def all_of_them() -> None:
        gate = asyncio.Semaphore(AT_ONCE)
        async with Transport(admin, "tenants", AT_ONCE) as transport, asyncio.TaskGroup() as group:
            for task in drawn:
                group.create_task(check(transport, task, gate))

    asyncio.run(all_of_them())


def test_the_level_of_the_namespace_is_in_force(tenant: Tenant) -> None:
    """A pod that is not restricted is refused there, or the test above would prove nothing."""
    stored, _ = tenant.submit(body("plain"))
    assert stored is not None
    manifest = pod_of(stored)
    manifest["spec"]["hostNetwork"] = True
    admin = connection.load(str(tenant.plane.kubeconfig))

    async def create() -> None:
        async with Transport(admin, "tenants") as transport:
            await transport.request("POST", PODS, manifest, DRY)

    with pytest.raises(ApiError, match="violates PodSecurity"):
        asyncio.run(create())
