"""Attacks by one tenant on everybody: each is carried out on a real control plane, and its figure has a bar.

The tenant may write pods and Tasks in namespace `attacker`; the bystander lives in `default`. A process that ends is
started again after half a second, as a Deployment would. The attacks are those by which a former version was stopped,
misled or made to leak; their names (A1 to A12) are the same in the table that this prints.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from attack_range import Json, Range, pod, task
from bar import Bar, judge
from hold import longest_hold
from rich.console import Console

from cloudai_kube import connection, timestamp
from cloudai_kube.errors import NotFoundError, RefusedError
from cloudai_kube.transport import MERGE_PATCH, Transport
from cloudai_rts import contract, parameters
from cloudai_rts.ordering import Standing
from cloudai_sandbox.poisons import deepened
from cloudai_sandbox.sandbox import Sandbox

NODES: Final = 8
CANARY: Final = "c4nary-s3cret"
BOUND_SECONDS: Final = 5.0
"""How long a bystander's pod may take to be bound while somebody attacks: one bind takes .2 s, a restart 4 s."""


async def one_object_against_scheduling(place: Range) -> None:
    """A1: pods that end or block the process that reads them, also after a restart."""
    deep = '{"x":' + "[" * 20_000
    await place.create(pod("a", "attacker", {"nodeName": "node-0"}, annotations={contract.ANNOTATION_DECISION: deep}))
    await place.create(pod("b", "attacker"))
    levels = deepened(b'[{"op":"replace","path":"/metadata/managedFields/0/fieldsV1","value":"DEEP"}]', 3_000)
    await place.patch("/api/v1/namespaces/attacker/pods/b", levels)
    huge = [{"name": f"c{i}", "image": "w:1", "resources": {"requests": {"memory": "8Pi"}}} for i in range(1100)]
    names = {f"example.com/r{i}": "1" for i in range(15_000)}
    many = {"name": "c", "image": "w:1", "resources": {"requests": names, "limits": names}}
    for name, containers in (("c", huge), ("d", [many])):
        await place.create(pod(name, "attacker", {"containers": containers}))
        await place.create(pod(f"{name}-bound", "attacker", {"containers": containers, "nodeName": "node-1"}))
    begun = place.exits
    place.hold(
        "A1 seconds until a bystander is bound beside four poisoned pods", await place.bystander(), BOUND_SECONDS
    )
    await asyncio.sleep(5)
    place.hold("A1 ends of processes", place.exits - begun, 0)
    place.sandbox.process(contract.SCHEDULER_NAME).kill()
    place.hold("A1 seconds until a bystander is bound after a restart", await place.bystander(30), 15)
    await place.clear()


async def one_object_against_tasks(place: Range) -> None:
    """A2: a Task that ends the watch of all Tasks, also after a restart."""
    await place.create(task("poison", "attacker"))
    levels = deepened(b'[{"op":"replace","path":"/metadata/managedFields/0/fieldsV1","value":"DEEP"}]', 3_000)
    path = f"/apis/{contract.API_VERSION}/namespaces/attacker/tasks/poison"
    await place.patch(path, levels)
    begun = place.exits
    await place.create(task("a2-first"))
    place.hold("A2 seconds until a bystander's Task is complete", await place.completes("a2-first"), 15)
    place.hold("A2 ends of processes", place.exits - begun, 0)
    place.sandbox.process(contract.OPERATOR_NAME).kill()
    await place.create(task("a2-second"))
    place.hold("A2 seconds until one is complete after a restart", await place.completes("a2-second", 40), 25)
    place.hold("A2 readiness of the operator is 200 (0: yes)", abs(200 - place.probe(contract.OPERATOR_NAME)), 0)
    await place.clear()


async def closed_nodes(place: Range) -> None:
    """A3: pods with a node of the tenant's choice that every kubelet refuses."""
    ask = {"name": "c", "image": "w:1", "resources": {"requests": {"cpu": "9000"}}}
    for number in range(3 * NODES):
        spec = {"nodeName": f"node-{number % NODES}", "containers": [ask], "schedulerName": "default-scheduler"}
        await place.create(pod(f"refused-{number}", "attacker", spec))
    await asyncio.sleep(2)
    place.hold("A3 seconds until a bystander is bound", await place.bystander(), BOUND_SECONDS)
    await place.clear()


async def waiting_beside_free_nodes(place: Range) -> None:
    """A4: forged decisions that make every node look as if another task would do harm there."""
    deadline = timestamp.millis(time.time() + 36_000)
    notes = {
        contract.ANNOTATION_DECISION: '{"policy":"rts","predictedRuntimeSeconds":36000}',
        contract.ANNOTATION_DEADLINE: deadline,
        contract.ANNOTATION_REFERENCE_RUNTIME: "36000",
        contract.ANNOTATION_RUNTIME_LOG_SD: "0.05",
    }
    small = {"name": "c", "image": "w:1", "resources": {"requests": {"cpu": "1m"}}}
    for number in range(12 * NODES):
        spec = {"nodeName": f"node-{number % NODES}", "containers": [small]}
        await place.create(pod(f"forged-{number}", "attacker", spec, annotations=notes))
    for number in range(12 * NODES):  # and as many that we bind ourselves
        await place.create(pod(f"claimed-{number}", "attacker", {"containers": [small]}, annotations=notes))
    busy = {"name": "c", "image": "w:1", "resources": {"requests": {"cpu": "8"}}}
    for number in range(NODES):
        await place.create(pod(f"load-{number}", "default", {"nodeName": f"node-{number}", "containers": [busy]}))
    await asyncio.sleep(3)
    asked = {"limits": {"cpu": "4", "memory": "1Gi"}}
    await place.create(task("a4", resources=asked, sla={"finishWithin": "2h"}))

    async def is_bound() -> bool:
        return bool((await place.status("a4")).get("attempts", [{}])[0].get("node"))

    place.hold("A4 seconds until a bystander's Task is placed beside free nodes", await place.until(is_bound, 30), 5)
    await place.clear()
    for number in range(NODES):
        await place.transport.request(
            "DELETE", f"/api/v1/namespaces/default/pods/load-{number}", {"gracePeriodSeconds": 0}
        )


async def a_foreign_pod(place: Range) -> None:
    """A5: a pod of another namespace that claims to be an attempt of a Task."""
    await place.create(task("a5", runtime="4"))

    async def runs() -> bool:
        return (await place.status("a5")).get("state") == "Running"

    await place.until(runs, 20)
    meta = (await place.get(f"/apis/{contract.API_VERSION}/namespaces/default/tasks/a5"))["metadata"]
    for number, version in enumerate(("evil.example/v1", contract.API_VERSION)):
        owner = {"apiVersion": version, "kind": "Task", "name": "a5", "uid": meta["uid"], "controller": True}
        labels = {contract.LABEL_TASK: "a5", contract.LABEL_ATTEMPT: "7"}
        name = contract.pod_name("a5", meta["uid"], 7 + number)
        await place.create(pod(name, "attacker", {"nodeName": "node-0"}, labels=labels, ownerReferences=[owner]))
    await place.completes("a5", 30)
    status = await place.status("a5")
    place.hold("A5 attempts that a Task counts (1 is its own)", status["attemptCount"], 1)
    place.hold(
        "A5 Task not completed by its own pod (0: by its own)",
        float(status["attempts"][0]["outcome"] != "Succeeded"),
        0,
    )
    await place.clear()


async def moved_deadlines(place: Range) -> None:
    """A6: a tenant's short runs of a type, and forged predictions, against what others are promised."""
    for number in range(40):
        await place.create(task(f"short-{number}", "attacker", type="gpu-training"))

    async def are_done() -> bool:
        listed = await place.get(f"/apis/{contract.API_VERSION}/namespaces/attacker/tasks")
        return [manifest.get("status", {}).get("state") for manifest in listed["items"]].count("Complete") == 40

    await place.until(are_done, 90)
    await place.create(task("a6", type="gpu-training"))

    async def is_accepted() -> bool:
        return bool((await place.status("a6")).get("deadline"))

    await place.until(is_accepted, 20)
    status = await place.status("a6")
    promised = timestamp.parse(status["deadline"]) - timestamp.parse(status["arrivalTime"])
    place.hold("A6 seconds by which a bystander's deadline moved (of 1,800)", abs(promised - 1800.0), 1)
    await _forged_prediction(place)
    await place.clear()


async def _forged_prediction(place: Range) -> None:
    """A prediction that the Task's author writes on its pod before there is a Binding."""
    await place.create(task("forged", "attacker", type="gpu-training", nodeSelector={"no": "node"}))
    pods = "/api/v1/namespaces/attacker/pods"

    async def name_of_pod() -> str:
        listed = (await place.get(pods))["items"]
        names = [
            manifest["metadata"]["name"] for manifest in listed if manifest["metadata"]["name"].startswith("forged-")
        ]
        return str(names[0]) if names else ""

    await place.until(name_of_pod, 10)
    decision = json.dumps({"policy": "rts", "predictedRuntimeSeconds": 1e-3, "nodeClass": "A100"})
    content = json.dumps({"metadata": {"annotations": {contract.ANNOTATION_DECISION: decision}}}).encode()
    await place.patch(f"{pods}/{await name_of_pod()}", content, MERGE_PATCH)
    await asyncio.sleep(2)
    attempts = (await place.status("forged", "attacker")).get("attempts", [])
    believed = sum(bool(attempt.get("decision")) for attempt in attempts)
    place.hold("A6 forged predictions that a Task's status keeps", believed, 0)


async def leaks(place: Range) -> None:
    """A7: a secret in the address of Prometheus, in every output that anybody reads."""
    url = f"http://user:{CANARY}@127.0.0.1:9/?token={CANARY}"
    environ = {**os.environ, "KUBECONFIG": str(place.sandbox.plane.kubeconfig), "PROMETHEUS_URL": url}
    outputs = ""
    for module, arguments in (
        ("cloudai_optimizer", ["epoch"]),
        ("cloudai_optimizer", ["epoch", "--help"]),
        ("cloudai_cli", ["import", "--from-prometheus", "1d"]),
        ("cloudai_cli", ["import", "--help"]),
    ):
        command = [sys.executable, "-m", module, *arguments]
        ended = await asyncio.to_thread(
            subprocess.run, command, env=environ, capture_output=True, text=True, check=False
        )
        outputs += ended.stdout + ended.stderr
    for path in ("/api/v1/events", f"/api/v1/namespaces/{contract.NAMESPACE}/configmaps"):
        outputs += (await place.transport.request("GET", path)).decode()
    place.hold("A7 outputs with the secret", outputs.count(CANARY), 0)
    place.bars.append(Bar("A7 outputs that speak of the address", outputs.count("127.0.0.1:9"), least=2))


async def numbers_without_end(place: Range) -> None:
    """A8: a document with the right checksum and a number of 400 digits, and a note of an epoch with another one."""
    raw = json.loads(parameters.dump(parameters.defaults()))
    raw |= {"version": 1, "Evidence": {"Tasks": int("1" * 400)}}
    raw["checksum"] = parameters.checksum_of(raw)
    note = json.dumps({"at": timestamp.millis(time.time()), "result": "fitted", "dropped": {"x": int("1" * 400)}})
    meta = {"name": contract.PARAMETERS_CONFIG_MAP, "annotations": {contract.ANNOTATION_LAST_EPOCH: note}}
    body = {"metadata": meta, "data": {contract.PARAMETERS_KEY: json.dumps(raw)}}
    path = f"/api/v1/namespaces/{contract.NAMESPACE}/configmaps"
    await place.transport.request("POST", path, body)
    begun = place.exits
    await asyncio.sleep(4)
    place.hold("A8 ends of processes", place.exits - begun, 0)
    raw |= {"version": 2**53, "Evidence": {}}
    raw["checksum"] = parameters.checksum_of(raw)
    content = json.dumps({"data": {contract.PARAMETERS_KEY: json.dumps(raw)}}).encode()
    await place.patch(f"{path}/{contract.PARAMETERS_CONFIG_MAP}", content, MERGE_PATCH)
    await asyncio.sleep(2)
    place.hold(
        "A12 version that is taken into use (0: the built-in one)", _metric(place, "cloudai_rts_parameter_version"), 0
    )
    events = json.loads(await place.transport.request("GET", "/api/v1/events"))["items"]
    refused = sum(event["reason"] == "ParametersRefused" for event in events)
    place.bars.append(Bar("A8, A12 documents that the scheduler refused with an Event", refused, least=1))
    await place.transport.request("DELETE", f"{path}/{contract.PARAMETERS_CONFIG_MAP}")


async def absurd_deadlines(place: Range) -> None:
    """A9: a deadline long past, whose task would overtake everybody after ten minutes."""
    absurd = Standing(0, 946_684_800.0, enqueued=1_000.0, best_runtime=100.0)
    honest = Standing(0, 1_250.0, enqueued=1_000.0, best_runtime=100.0)
    ahead = sum(absurd.key(1_000.0 + wait) < honest.key(1_100.0) for wait in range(0, 7_200, 10))
    place.hold("A9 moments at which an absurd deadline is ahead of an honest one", ahead, 0)
    place.hold(
        "A9 system priority class accepted (0: refused)",
        await _accepted(place, priorityClassName="system-node-critical"),
        0,
    )


async def constraints(place: Range) -> None:
    """A10: claims that are not there, and constraints that are not looked at."""
    claim = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}]}
    device = {"resourceClaims": [{"name": "d", "resourceClaimName": "none"}]}
    specs: list[Json] = [claim, device] * 7
    for number, spec in enumerate(specs):
        await place.create(pod(f"odd-{number}", "attacker", spec, labels={"app": "x"}))
    await place.bystander()
    await asyncio.sleep(3)
    pods = (await place.get("/api/v1/namespaces/attacker/pods"))["items"]
    words = ('persistentvolumeclaim "none" not found', "does not support spec.resourceClaims")
    named = [manifest for manifest in pods if any(word in _condition(manifest).get("message", "") for word in words)]
    place.hold(
        "A10 pods bound as if their constraint were not there",
        sum("nodeName" in manifest["spec"] for manifest in pods),
        0,
    )
    place.hold(f"A10 of {len(specs)} pods not told why they wait", len(specs) - len(named), 0)
    await place.clear()
    await _neighbours(place)


async def _neighbours(place: Range) -> None:
    """Twelve pods that want a node each where there are eight; five that may not differ by two, all on one node."""
    nodes = [node["metadata"]["name"] for node in (await place.get("/api/v1/nodes"))["items"]]
    selector = {"matchLabels": {"app": "alone"}}
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}
    alone = {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    for number in range(12):
        await place.create(pod(f"alone-{number}", "attacker", alone, labels={"app": "alone"}))
    even = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "nodeAffinityPolicy": "Ignore",
        "labelSelector": {"matchLabels": {"app": "even"}},
    }
    spread = {"topologySpreadConstraints": [even], "nodeSelector": {"kubernetes.io/hostname": nodes[0]}}
    for number in range(5):
        await place.create(pod(f"even-{number}", "attacker", spread, labels={"app": "even"}))
    await place.bystander()
    await asyncio.sleep(2)
    pods = (await place.get("/api/v1/namespaces/attacker/pods"))["items"]
    bound = Counter(manifest["metadata"]["labels"]["app"] for manifest in pods if manifest["spec"].get("nodeName"))
    place.hold(f"A10 of 12 pods that want a node each, bound beyond the {len(nodes)}", bound["alone"] - len(nodes), 0)
    place.hold("A10 of 5 pods on one node, bound beyond a skew of 1", bound["even"] - 1, 0)
    await place.clear()


async def oversize(place: Range) -> None:
    """A11: specs that only fill the operator's memory."""
    for number, strings in enumerate((13, 38, 85)):
        await place.create(task(f"large-{number}", "attacker", args=["x" * 16_000] * strings))
    await asyncio.sleep(3)
    states = [(await place.status(f"large-{number}", "attacker")).get("state") for number in range(3)]
    place.hold("A11 of 3 large Tasks not refused", 3 - states.count("Failed"), 0)
    pods = (await place.get("/api/v1/namespaces/attacker/pods"))["items"]
    made = sum(manifest["metadata"]["name"].startswith("large-") for manifest in pods)
    place.hold("A11 pods made of specs above 128 KiB", made, 0)
    await place.clear()


async def smaller_ones(place: Range) -> None:
    """A12: what is retried in silence, what reads our own secrets, and what is never closed."""
    await place.create(task("odd-zone", "attacker", sla={"finishBy": "2099-01-01T00:00:00+24:00"}))
    await place.create(task("ours", contract.NAMESPACE))

    async def is_told(name: str, namespace: str, reason: str) -> bool:
        conditions = (await place.status(name, namespace)).get("conditions", [])
        return any(entry["type"] == "Accepted" and entry["reason"] == reason for entry in conditions)

    place.hold(
        "A12 seconds until a Task says that its time cannot be read",
        await place.until(lambda: is_told("odd-zone", "attacker", "InvalidSpec"), 20),
        10,
    )
    place.hold(
        "A12 seconds until a Task in our namespace is refused",
        await place.until(lambda: is_told("ours", contract.NAMESPACE, "NamespaceReserved"), 20),
        10,
    )
    open_connections = await _half_sent(place, 500)
    place.hold("A12 half-sent requests that are still open after 8 s", open_connections, 0)
    await place.clear()


ATTACKS: Final[tuple[Callable[[Range], Awaitable[None]], ...]] = (
    one_object_against_scheduling, one_object_against_tasks, closed_nodes, waiting_beside_free_nodes, a_foreign_pod,
    moved_deadlines, leaks, numbers_without_end, absurd_deadlines, constraints, oversize, smaller_ones,
)  # fmt: skip


async def _accepted(place: Range, **spec: Any) -> float:  # noqa: ANN401  JSON
    try:
        await place.create(task("refused", "attacker", **spec))
    except RefusedError:
        return 0.0
    return 1.0


async def _half_sent(place: Range, count: int) -> int:
    """Open connections with half a request, and count those that are still open after a while."""
    ends = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", place.sandbox.ports[contract.SCHEDULER_NAME])
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        ends.append((reader, writer))
    await asyncio.sleep(8)
    open_count = sum(not reader.at_eof() for reader, _ in ends)
    for _, writer in ends:
        writer.close()
    return open_count


def _condition(manifest: Json) -> Json:
    conditions = manifest.get("status", {}).get("conditions", [])
    return next((entry for entry in conditions if entry["type"] == "PodScheduled"), {})


def _metric(place: Range, name: str) -> float:
    url = f"http://127.0.0.1:{place.sandbox.ports[contract.SCHEDULER_NAME]}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


@contextlib.asynccontextmanager
async def besieged(sandbox: Sandbox) -> AsyncIterator[Range]:
    """The range, its keeper at work."""
    async with Transport(connection.load(str(sandbox.plane.kubeconfig)), "attack") as transport:
        place = Range(sandbox, transport)
        keeper = asyncio.create_task(place.keep())
        try:
            yield place
        finally:
            keeper.cancel()


async def run(sandbox: Sandbox, only: str, console: Console) -> list[Bar]:
    """Carry out the attacks, one after the other."""
    async with besieged(sandbox) as place:
        for attack in ATTACKS:
            title = (attack.__doc__ or "").partition("\n")[0]
            if only and not title.startswith(f"{only}:"):
                continue
            console.log(title)
            try:
                await attack(place)
            except NotFoundError as error:
                place.hold(f"{title}: {error}", float("nan"), 0)
        return place.bars


def main() -> None:
    """Attack, and end with 1 if anything gives way."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/attack.py --only A3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="one attack, such as A3")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    console = Console(stderr=True, log_path=False)
    bars: list[Bar] = []
    if arguments.only in {"", "A1"}:
        console.log("A1: how long one object holds the event loop at 5,000 nodes")
        bars += [
            Bar(f"A1 ms of CPU in one go: {name}", 1e3 * seconds, most=50) for name, seconds in longest_hold(5_000)
        ]
    settings = {contract.OPERATOR_NAME: {"RETRY_FIRST_SECONDS": "0.5"}}
    with (
        tempfile.TemporaryDirectory(prefix="cloudai-attack-") as folder,
        Sandbox(Path(folder), nodes=NODES, gpus=4, settings=settings, namespaces=("default", "attacker")) as sandbox,
    ):
        bars += asyncio.run(run(sandbox, arguments.only, console))
    if arguments.output == "json":
        sys.stdout.write(
            json.dumps([{"what": bar.what, "value": bar.value, "holds": bar.holds()} for bar in bars]) + "\n"
        )
    judge(bars)


if __name__ == "__main__":
    main()
