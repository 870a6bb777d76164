"""Random clusters, and pods to be judged in them: one generator for each filter, and one that mixes them all."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.conformance import peer, storage

Json = dict[str, Any]
ZONE, HOST, RACK = "topology.kubernetes.io/zone", "kubernetes.io/hostname", "rack"
NAMESPACES: Final = {"blue": {"team": "x"}, "green": {"team": "y"}, "grey": {}}
APPS: Final = ("web", "db", "batch")
NEVER: Final = "conformance"
"""Priority class without preemption: what its message says is not about filters."""


RESIZED: Final = frozenset({"NodeResourcesFit", "mixed"})
"""Families in which pods on nodes are being resized."""


@dataclass(slots=True)
class World:
    """Objects of one cluster: nodes, pods on them, pods that wait."""

    nodes: list[Json] = field(default_factory=list)
    placed: list[Json] = field(default_factory=list)
    waiting: list[Json] = field(default_factory=list)
    stored: list[storage.Stored] = field(default_factory=list)


def draw(seed: int, family: str, nodes: int = 12, placed: int = 24, waiting: int = 40) -> World:
    """One cluster by seed; `family` is one of `FAMILIES`."""
    rng = random.Random(f"{family}-{seed}")
    world = World([_node(rng, number) for number in range(rng.randint(2, nodes))])
    names = [node["metadata"]["name"] for node in world.nodes]
    if family in WITH_STORAGE:
        world.stored = storage.draw(rng, world.nodes, list(NAMESPACES))
    for number in range(rng.randint(0, placed)):
        spec = {"nodeName": rng.choice(names), **_small(rng)}
        if rng.random() < 0.4:
            spec["affinity"] = {"podAntiAffinity": _required(rng, 1)}
        if rng.random() < 0.3:
            spec["containers"][0]["ports"] = [_port(rng)]
        if family in WITH_STORAGE and rng.random() < 0.7:
            spec["volumes"] = storage.mounts(rng, 0.0)
        pod = _pod(rng, f"placed-{number}", spec)
        if family in RESIZED and rng.random() < 0.5:
            pod["status"] = _resized(rng, spec)
        world.placed.append(pod)
    for number in range(waiting):
        spec = {"priorityClassName": NEVER, **_small(rng)}
        meta = _pod(rng, f"waiting-{number}", spec)
        FAMILIES[family](rng, meta["spec"], names)
        world.waiting.append(meta)
    return world


def _resized(rng: random.Random, spec: Json) -> Json:
    """What a kubelet says of a pod of two containers whose resources are changing, each in its own direction."""
    amounts = ["100m", "500m", "1", "2"]
    init: Json = {"name": "side", "image": "x", "resources": {"requests": {"cpu": rng.choice(amounts)}}}
    if rng.random() < 0.5:
        init["restartPolicy"] = "Always"
    second: Json = {"name": "second", "image": "x", "resources": {"requests": {"cpu": rng.choice(amounts)}}}
    spec["containers"].append(second)
    spec["initContainers"] = [init]
    names = [container["name"] for container in spec["containers"]]
    status: Json = {
        "phase": "Running",
        "containerStatuses": [_given(rng, name, amounts) for name in names if rng.random() < 0.8],
        "initContainerStatuses": [_given(rng, "side", amounts)] if rng.random() < 0.5 else [],
    }
    if rng.random() < 0.3:
        status["allocatedResources"] = {"cpu": rng.choice(amounts)}
        status["resources"] = {"requests": {"cpu": rng.choice(amounts)}}
    if rng.random() < 0.3:
        spec["resources"] = {"requests": {"cpu": "9"}}
    if rng.random() < 0.3:
        status["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]
    return status


def _given(rng: random.Random, name: str, amounts: list[str]) -> Json:
    given: Json = {"name": name, "image": "x", "imageID": "x", "ready": True, "restartCount": 0}
    if rng.random() < 0.8:
        given["allocatedResources"] = {"cpu": rng.choice(amounts)}
    if rng.random() < 0.8:
        given["resources"] = {"requests": {"cpu": rng.choice(amounts)}}
    return given


def _node(rng: random.Random, number: int) -> Json:
    name = f"node-{number}"
    labels = {HOST: name}
    if rng.random() < 0.85:
        labels[ZONE] = rng.choice("abc")
    if rng.random() < 0.5:
        labels[RACK] = rng.choice("123")
    if rng.random() < 0.5:
        labels["disk"] = rng.choice(["ssd", "hdd"])
    if rng.random() < 0.5:
        labels["cores"] = rng.choice(["4", "08", "16", "1_6", "many", "0"])
    taints = []
    if rng.random() < 0.3:
        effect = rng.choice(["NoSchedule", "NoExecute", "PreferNoSchedule"])
        taints.append({"key": rng.choice(["gpu", "team"]), "value": rng.choice(["a", "b"]), "effect": effect})
    room = {
        "cpu": rng.choice(["500m", "2", "8"]),
        "memory": rng.choice(["1Gi", "8Gi"]),
        "pods": rng.choice(["3", "30", "30"]),
    }
    if rng.random() < 0.3:
        room["nvidia.com/gpu"] = rng.choice(["1", "4"])
    if rng.random() < 0.5:
        room[peer.PROFILE.ignored_resources[0]] = "1"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints, "unschedulable": rng.random() < 0.15},
        "status": {
            "allocatable": room,
            "capacity": room,
            "conditions": [{"type": "Ready", "status": "True"}],
            "declaredFeatures": rng.choice([[], ["Other"], ["RestartAllContainersOnContainerExits"]]),
        },
    }


def _pod(rng: random.Random, name: str, spec: Json) -> Json:
    labels = {"app": rng.choice(APPS)}
    if rng.random() < 0.5:
        labels["tier"] = rng.choice(["1", "2"])
    namespace = rng.choice(list(NAMESPACES))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def _small(rng: random.Random) -> Json:
    requests = {"cpu": rng.choice(["0", "50m", "200m"]), "memory": rng.choice(["0", "64Mi", "200Mi"])}
    return {"containers": [{"name": "c", "image": "x", "resources": {"requests": requests}}]}


def _port(rng: random.Random) -> Json:
    number = rng.choice([80, 81])
    port: Json = {"containerPort": number, "hostPort": number, "protocol": rng.choice(["TCP", "UDP"])}
    if rng.random() < 0.5:
        port["hostIP"] = rng.choice(["127.0.0.1", "10.0.0.1", "0.0.0.0"])
    return port


def _expression(rng: random.Random, numbers: bool = True) -> Json:
    operators = ["In", "NotIn", "Exists", "DoesNotExist", *(["Gt", "Lt"] if numbers else [])]
    operator = rng.choice(operators)
    if operator in {"Gt", "Lt"}:
        return {"key": "cores", "operator": operator, "values": [rng.choice(["4", "7", "08", "0"])]}
    key = rng.choice([ZONE, "disk", RACK, "absent"])
    values = rng.sample(["a", "b", "ssd", "hdd", "1", "2"], rng.randint(1, 3))
    return {"key": key, "operator": operator, **({"values": values} if operator in {"In", "NotIn"} else {})}


def _selector(rng: random.Random) -> Json | None:
    kind = rng.random()
    if kind < 0.1:
        return {}
    if kind < 0.15:
        return None
    selector: Json = {}
    if kind < 0.7:
        selector["matchLabels"] = {"app": rng.choice(APPS)}
    if kind > 0.5:
        operator = rng.choice(["In", "NotIn", "Exists", "DoesNotExist"])
        values = {"values": rng.sample(["1", "2"], rng.randint(1, 2))} if operator in {"In", "NotIn"} else {}
        selector["matchExpressions"] = [{"key": "tier", "operator": operator, **values}]
    return selector


def _term(rng: random.Random) -> Json:
    term: Json = {"topologyKey": rng.choice([ZONE, HOST, RACK])}
    selector = _selector(rng)
    if selector is not None:
        term["labelSelector"] = selector
    if rng.random() < 0.25:
        term["namespaces"] = rng.sample(list(NAMESPACES), rng.randint(1, 2))
    if rng.random() < 0.25:
        term["namespaceSelector"] = rng.choice([{}, {"matchLabels": {"team": rng.choice("xy")}}])
    if selector and rng.random() < 0.2:
        term[rng.choice(["matchLabelKeys", "mismatchLabelKeys"])] = [
            "tier" if "matchExpressions" not in selector else "z"
        ]
    return term


def _required(rng: random.Random, most: int) -> Json:
    return {"requiredDuringSchedulingIgnoredDuringExecution": [_term(rng) for _ in range(rng.randint(1, most))]}


def node_affinity(rng: random.Random, spec: Json, names: list[str]) -> None:
    """Selectors, terms, fields, numbers."""
    if rng.random() < 0.4:
        spec["nodeSelector"] = {rng.choice([ZONE, "disk"]): rng.choice(["a", "b", "ssd"])}
    terms = []
    for _ in range(rng.randint(0, 3)):
        term: Json = {"matchExpressions": [_expression(rng) for _ in range(rng.randint(0, 2))]}
        if rng.random() < 0.3:
            operator = rng.choice(["In", "NotIn"])
            term["matchFields"] = [
                {"key": "metadata.name", "operator": operator, "values": [rng.choice([*names, "gone"])]}
            ]
        terms.append(term)
    if terms:
        spec["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        }


def taints(rng: random.Random, spec: Json, names: list[str]) -> None:  # noqa: ARG001  one signature for all
    """Tolerations with and without key, value, effect; of a cordoned node too."""
    tolerations = []
    for _ in range(rng.randint(0, 2)):
        toleration: Json = {"operator": rng.choice(["Exists", "Equal"])}
        if toleration["operator"] == "Equal" or rng.random() < 0.7:
            toleration["key"] = rng.choice(["gpu", "team", "node.kubernetes.io/unschedulable"])
        if toleration["operator"] == "Equal":
            toleration["value"] = rng.choice(["a", "b", ""])
        if rng.random() < 0.5:
            toleration["effect"] = rng.choice(["NoSchedule", "NoExecute", "PreferNoSchedule"])
        tolerations.append(toleration)
    spec["tolerations"] = tolerations


def ports(rng: random.Random, spec: Json, names: list[str]) -> None:  # noqa: ARG001  one signature for all
    """Host ports of containers and of init containers, those that go on and those that end."""
    spec["containers"][0]["ports"] = [_port(rng)]
    if rng.random() < 0.4:
        init: Json = {"name": "i", "image": "x", "ports": [_port(rng)]}
        if rng.random() < 0.5:
            init["restartPolicy"] = "Always"
        spec["initContainers"] = [init]


def resources(rng: random.Random, spec: Json, names: list[str]) -> None:  # noqa: ARG001  one signature for all
    """Init containers, sidecars, whole pods, devices, nothing at all."""
    asked = {"cpu": rng.choice(["0", "100m", "1", "3"]), "memory": rng.choice(["0", "512Mi", "4Gi"])}
    spec["containers"][0]["resources"] = {"requests": asked}
    if rng.random() < 0.3:
        count = rng.choice(["1", "2", "8"])
        spec["containers"][0]["resources"] = {
            "requests": {**asked, "nvidia.com/gpu": count},
            "limits": {"nvidia.com/gpu": count},
        }
    inits = []
    for number in range(rng.randint(0, 2)):
        init: Json = {"name": f"i{number}", "image": "x", "resources": {"requests": {"cpu": rng.choice(["100m", "2"])}}}
        if rng.random() < 0.5:
            init["restartPolicy"] = "Always"
        inits.append(init)
    if inits:
        spec["initContainers"] = inits
    if rng.random() < 0.2:
        spec["resources"] = {"requests": {"cpu": rng.choice(["8", "9", "30"]), "memory": "5Gi"}}


def spread(rng: random.Random, spec: Json, names: list[str]) -> None:
    """Hard constraints with all their options, beside what their policies look at."""
    constraints = []
    for key in rng.sample([ZONE, HOST, RACK], rng.randint(1, 2)):
        one: Json = {"maxSkew": rng.randint(1, 3), "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule"}
        selector = _selector(rng)
        if selector is not None:
            one["labelSelector"] = selector
        if rng.random() < 0.3:
            one["minDomains"] = rng.randint(1, 5)
        if rng.random() < 0.5:
            one["nodeAffinityPolicy"] = rng.choice(["Honor", "Ignore"])
        if rng.random() < 0.5:
            one["nodeTaintsPolicy"] = rng.choice(["Honor", "Ignore"])
        if selector and "matchExpressions" not in selector and rng.random() < 0.3:
            one["matchLabelKeys"] = ["tier"]
        constraints.append(one)
    spec["topologySpreadConstraints"] = constraints
    if rng.random() < 0.4:
        node_affinity(rng, spec, names)
    if rng.random() < 0.4:
        taints(rng, spec, names)


def pod_affinity(rng: random.Random, spec: Json, names: list[str]) -> None:  # noqa: ARG001  one signature for all
    """Terms of both kinds; the first of a series too."""
    affinity: Json = {}
    if rng.random() < 0.6:
        affinity["podAffinity"] = _required(rng, 2)
    if rng.random() < 0.6:
        affinity["podAntiAffinity"] = _required(rng, 2)
    if affinity:
        spec["affinity"] = affinity


def features(rng: random.Random, spec: Json, names: list[str]) -> None:  # noqa: ARG001  one signature for all
    """Rules that restart all containers, of which not every kubelet has heard."""
    if rng.random() < 0.7:
        rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
        spec["containers"][0] |= {"restartPolicy": "Never", "restartPolicyRules": [rule]}


def volumes(rng: random.Random, spec: Json, names: list[str]) -> None:  # noqa: ARG001  one signature for all
    """Claims in all states, and disks of the pod's own."""
    spec["volumes"] = storage.mounts(rng, 0.05)


def profiled(rng: random.Random, spec: Json, names: list[str]) -> None:
    """Most under a scheduler name with an added affinity, for which nodes need no room for some resources."""
    if rng.random() < 0.8:
        spec["schedulerName"] = peer.PROFILED
    node_affinity(rng, spec, names) if rng.random() < 0.3 else resources(rng, spec, names)
    asked = spec["containers"][0]["resources"]
    for name in (peer.PROFILE.ignored_resources[0], f"{peer.PROFILE.ignored_resource_groups[0]}/two"):
        if rng.random() < 0.5:
            count = {name: rng.choice(["1", "2"])}
            asked = {"requests": {**asked["requests"], **count}, "limits": {**asked.get("limits", {}), **count}}
    spec["containers"][0]["resources"] = asked


def mixed(rng: random.Random, spec: Json, names: list[str]) -> None:
    """Some of everything."""
    for one in (node_affinity, taints, ports, resources, spread, features):
        if rng.random() < 0.35:
            one(rng, spec, names)
    if rng.random() < 0.25:
        spec["volumes"] = storage.mounts(rng, 0.0)
    if rng.random() < 0.5:
        other: Json = {}
        pod_affinity(rng, other, names)
        spec["affinity"] = {**spec.get("affinity", {}), **other.get("affinity", {})}


WITH_STORAGE: Final = frozenset({"volumes", "mixed"})
FAMILIES: Final[dict[str, Callable[[random.Random, Json, list[str]], None]]] = {
    "NodeAffinity": node_affinity,
    "TaintToleration": taints,
    "NodePorts": ports,
    "NodeResourcesFit": resources,
    "PodTopologySpread": spread,
    "InterPodAffinity": pod_affinity,
    "NodeDeclaredFeatures": features,
    "volumes": volumes,
    "profiled": profiled,
    "mixed": mixed,
}
