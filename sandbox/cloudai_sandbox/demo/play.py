"""Playing the demo: start the sandbox, apply the Tasks with kubectl, watch, learn, play again, compare."""

import asyncio
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cloudai_kube import connection, timestamp
from cloudai_kube.transport import Transport
from cloudai_rts import contract, parameters, traces
from cloudai_rts.parameters import Document
from cloudai_sandbox.control_plane import ROOT
from cloudai_sandbox.demo import picture, workload
from cloudai_sandbox.demo.result import Result, decision, evaluate, is_true, stayed
from cloudai_sandbox.kubelet import ANNOTATION_FAULT
from cloudai_sandbox.sandbox import Sandbox

SPAN_SECONDS: Final = 34.0
LIMIT_SECONDS: Final = 180.0
BATCH_SECONDS: Final = 1.0
REJECTING, SLOW = "p100-2", "cpu-s-1"
FLEET: Final = ROOT / "config" / "reference-fleet.csv"
SPEEDS: Final = ROOT / "config" / "reference-speeds.csv"
MIN_RTS_SHARE: Final = 0.9
MAX_ON_SLOW: Final = 3
COLD, LEARNED, ROUND_ROBIN = "RTS, nothing learned", "RTS, learned", "round-robin"


def perform(seed: int, count: int, output: Path) -> int:
    """Play all phases. 0 only if all that the demo promises has come true."""
    console = Console(log_path=False)
    nodes = [node.node for node in traces.read_fleet(FLEET.read_text(encoding="utf-8"))]
    arrivals = workload.arrivals(seed, count, SPAN_SECONDS)
    with tempfile.TemporaryDirectory(prefix="cloudai-demo-") as folder:
        settings: dict[str, dict[str, str]] = {contract.OPERATOR_NAME: {"RETRY_FIRST_SECONDS": "1.5"}}
        sandbox = Sandbox(Path(folder), fleet=FLEET, speeds=SPEEDS, settings=settings, say=console.log)
        with sandbox:
            stage = Stage(sandbox, console, Path(folder))
            stage.set_up()
            results = [stage.phase(COLD, arrivals)]
            stage.learn()
            stage.clear()
            results.append(stage.phase(LEARNED, arrivals, reload_at=SPAN_SECONDS / 2))
            stage.clear()
            stage.switch_to_round_robin()
            results.append(stage.phase(ROUND_ROBIN, arrivals))
            report = sandbox.audit()
    file = output / "timeline.png"
    picture.draw(results, nodes, file)
    console.print(_placements(results, nodes))
    console.print(_speeds(stage.learned))
    console.print(_deadlines(results))
    console.print(f"timeline by node: {file}")
    console.print(
        f"audit of {report.changes} changes, {report.binds} binds (is each pod bound once, no node over-committed?): "
        f"{len(report.violations)} violations"
    )
    problems = _broken_promises(results, stage.reload_seconds)
    if stage.learned.Runtime == Document().Runtime:
        problems.append("the epoch learned nothing: the run-time model is the built-in one")
    if report.binds < sum(result.pods for result in results):
        problems.append(f"the audit saw {report.binds} binds, there were {sum(result.pods for result in results)}")
    problems += [f"at version {violation.revision}: {violation.message}" for violation in report.violations]
    for problem in problems:
        console.print(f"[red]not as promised:[/red] {problem}")
    return 1 if problems else 0


@dataclass(slots=True)
class Stage:
    """A running sandbox and what the audience sees of it."""

    sandbox: Sandbox
    console: Console
    folder: Path
    reload_seconds: float | None = None
    learned: Document = field(default_factory=Document)
    _published: float = field(default=0.0)

    def set_up(self) -> None:
        """Publish the types' run times, but no speeds; make one node reject and one slow."""
        self._publish({"model": "lateness", "Tau": workload.tau()})
        for node, fault in ((REJECTING, "reject"), (SLOW, "slow=3")):
            self.sandbox.plane.kubectl("annotate", "node", node, f"{ANNOTATION_FAULT}={fault}")
        self.console.log(f"{REJECTING} rejects every pod, {SLOW} is three times as slow; neither is announced")

    def learn(self) -> None:
        """One epoch of the optimizer, as its CronJob would run it."""
        self.console.rule("one epoch of the optimizer")
        kubeconfig = self.sandbox.plane.service_account_kubeconfig(contract.OPTIMIZER_NAME)
        command = [sys.executable, "-m", "cloudai_optimizer", "--kubeconfig", str(kubeconfig)]
        subprocess.run([*command, "epoch", "--search-tasks", "100"], check=True)
        shown = subprocess.run([*command, "show", "-o", "json"], check=True, capture_output=True, text=True)
        self.learned = parameters.parse(shown.stdout)

    def phase(self, policy: str, arrivals: Sequence[workload.Arrival], reload_at: float | None = None) -> Result:
        """Apply the Tasks as they arrive and wait until all have ended."""
        self.console.rule(f"{policy}: {len(arrivals)} Tasks in {SPAN_SECONDS:.0f} s")
        return asyncio.run(self._phase(policy, list(arrivals), reload_at))

    def clear(self) -> None:
        """Delete the Tasks and wait until their pods are gone."""
        self.sandbox.plane.kubectl("delete", "tasks.cloudai.dev", "--all", "--wait=false")
        end = time.monotonic() + 60
        while self.sandbox.plane.kubectl("get", "pods", "--output=name").strip() and time.monotonic() < end:
            time.sleep(0.3)

    def switch_to_round_robin(self) -> None:
        """Start the scheduler again with the other policy."""
        name = contract.SCHEDULER_NAME
        child = self.sandbox.process(name)
        child.stop()
        self.sandbox.children.running.remove(child)
        self.sandbox.settings = {**self.sandbox.settings, name: {"POLICY": "round-robin"}}
        self.sandbox.start_process(name)
        self.sandbox.wait_ready(name)

    async def _phase(self, policy: str, waiting: list[workload.Arrival], reload_at: float | None) -> Result:
        kubeconfig = str(self.sandbox.plane.kubeconfig)
        total, begun, shown = len(waiting), time.monotonic(), 0.0
        tasks: list[dict[str, Any]] = []
        async with Transport(connection.load(kubeconfig), "demo") as transport:
            with Live(console=self.console, auto_refresh=False, transient=True) as live:
                while time.monotonic() - begun < LIMIT_SECONDS:
                    elapsed = time.monotonic() - begun
                    due = [arrival for arrival in waiting if arrival.at <= elapsed]
                    waiting = waiting[len(due) :]
                    if due:
                        await asyncio.to_thread(self._apply, due)
                    if reload_at is not None and elapsed >= reload_at:
                        reload_at = None
                        await asyncio.to_thread(self._reload)
                    tasks = await _list(transport, f"/apis/{contract.API_VERSION}/{contract.PLURAL}")
                    await self._note_reload(transport)
                    ended = sum(is_true(task, "Complete") or is_true(task, "Failed") for task in tasks)
                    if self.console.is_terminal:
                        live.update(_live_table(policy, tasks, total, elapsed), refresh=True)
                    elif elapsed - shown >= 10.0:
                        shown = elapsed
                        self.console.log(_live_line(policy, tasks, total))
                    if not waiting and ended == total:
                        break
                    await asyncio.sleep(BATCH_SECONDS)
            self.console.log(_live_line(policy, tasks, total))
            pods = await _list(transport, "/api/v1/pods")
            events = await _list(transport, "/api/v1/events")
        ours = {pod["metadata"]["uid"] for pod in pods}
        told = {event["involvedObject"]["uid"] for event in events if event["reason"] == "Deferred"}
        deferred = len(ours & told)
        return evaluate(policy, tasks, [pod for pod in pods if pod["spec"].get("nodeName")], deferred)

    def _apply(self, due: Sequence[workload.Arrival]) -> None:
        text = "\n---\n".join(json.dumps(arrival.manifest) for arrival in due)
        plane = self.sandbox.plane
        subprocess.run(
            [plane.binaries.path("kubectl"), f"--kubeconfig={plane.kubeconfig}", "apply", "-f", "-"],
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def _reload(self) -> None:
        self._publish({"Lateness": {"Beta": 1.0}})
        self._published = time.time()
        self.console.log(f"version {self.learned.version + 1} of the parameters is published: Beta becomes 1.0")

    async def _note_reload(self, transport: Transport) -> None:
        """See when the first pod was placed by the version published in the middle."""
        if not self._published or self.reload_seconds is not None:
            return
        for pod in await _list(transport, "/api/v1/pods"):
            told = decision(pod)
            if told.get("parametersVersion") == self.learned.version + 1:
                self.reload_seconds = max(0.0, timestamp.parse(told["decidedAt"]) - self._published)
                self.console.log(f"first pod placed by it {self.reload_seconds:.1f} s after publishing")
                return

    def _publish(self, changes: dict[str, Any], *options: str) -> None:
        file = self.folder / "changes.yaml"
        file.write_text(yaml.safe_dump(changes), encoding="utf-8")
        kubeconfig = self.sandbox.plane.service_account_kubeconfig(contract.OPTIMIZER_NAME)
        command = [sys.executable, "-m", "cloudai_optimizer", "--kubeconfig", str(kubeconfig), "publish"]
        subprocess.run([*command, str(file), *options], check=True, stdout=subprocess.DEVNULL)


async def _list(transport: Transport, path: str) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = json.loads(await transport.request("GET", path))["items"]
    return objects


def _states(tasks: Sequence[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for task in tasks:
        state = task.get("status", {}).get("state", "Pending")
        counts[state] = counts.get(state, 0) + 1
    return counts


def _live_line(policy: str, tasks: Sequence[dict[str, Any]], total: int) -> str:
    met = sum(is_true(task, "DeadlineMet") for task in tasks)
    states = ", ".join(f"{count} {state.lower()}" for state, count in sorted(_states(tasks).items()))
    return f"{policy}: {len(tasks)}/{total} applied; {states}; {met} deadlines met so far"


def _live_table(policy: str, tasks: Sequence[dict[str, Any]], total: int, elapsed: float) -> Table:
    table = Table(title=f"{_live_line(policy, tasks, total)}  ({elapsed:.0f} s)")
    for name in ("Task", "State", "Type", "Node", "Finish by", "ETA", "Late"):
        table.add_column(name)
    recent = sorted(tasks, key=lambda task: str(task["metadata"]["name"]))[-14:]
    for task in recent:
        status = task.get("status", {})
        late = status.get("latePercent")
        table.add_row(
            task["metadata"]["name"],
            status.get("state", ""),
            status.get("type", ""),
            (status.get("nodes") or [""])[0],
            status.get("deadline", "")[11:19],
            status.get("predictedCompletionTime", "")[11:19],
            "" if late is None else f"{late} %",
        )
    return table


def _placements(results: Sequence[Result], nodes: Sequence[str]) -> Table:
    table = Table(title="Tasks run by node")
    for name in ("node", *(result.policy for result in results)):
        table.add_column(name, justify="left" if name == "node" else "right")
    for node in nodes:
        note = {REJECTING: " (rejects)", SLOW: " (slow)"}.get(node, "")
        table.add_row(node + note, *(str(result.nodes.get(node, 0)) for result in results))
    return table


def _speeds(learned: Document) -> Table:
    """Learned run-time factors beside the true ones, each against the mean of its type."""
    true = traces.read_speeds(SPEEDS.read_text(encoding="utf-8"))
    products = sorted({product for _, product in true if product})
    table = Table(title="Run-time factor by type and GPU: learned (true), against the type's mean")
    for name in ("type", *products):
        table.add_column(name, justify="left" if name == "type" else "right")
    for kind in workload.KINDS:
        row = learned.Runtime.U.get(kind, {})
        known = [product for product in products if product in row]
        if not known:
            continue
        centre = sum(row[product] for product in known) / len(known)
        truth = sum(math.log(true.get((kind, product), 1.0)) for product in known) / len(known)
        table.add_row(
            kind,
            *(
                f"{math.exp(row[product] - centre):.2f} ({true.get((kind, product), 1.0) / math.exp(truth):.2f})"
                if product in row
                else "-"
                for product in products
            ),
        )
    return table


def _deadlines(results: Sequence[Result]) -> Table:
    table = Table(title="Deadlines met")
    for name in ("type", *(result.policy for result in results)):
        table.add_column(name, justify="left" if name == "type" else "right")
    for kind in workload.KINDS:
        cells = [f"{met} of {count}" for met, count in (result.met_by_type.get(kind, (0, 0)) for result in results)]
        table.add_row(kind, *cells)
    table.add_section()
    table.add_row("all", *(f"{result.met} of {result.tasks} ({result.met / result.tasks:.0%})" for result in results))
    table.add_row("pods bound by us", *(f"{result.bound_by_us} of {result.pods}" for result in results))
    table.add_row("... by RTS", *(f"{result.by_rts} of {result.pods}" for result in results))
    table.add_row("Tasks deferred", *(str(result.deferred) for result in results))
    table.add_row("pods refused by kubelets", *(str(result.rejections) for result in results))
    return table


def _broken_promises(results: Sequence[Result], reload_seconds: float | None) -> list[str]:
    problems = [f"{result.policy}: {problem}" for result in results for problem in result.problems]
    cold, learned, plain = results
    problems += [
        f"{result.policy}: only {result.by_rts} of {result.pods} pods were placed by RTS"
        for result in (cold, learned)
        if result.by_rts < MIN_RTS_SHARE * result.pods
    ]
    for result in results:
        if late := stayed(result.runs):
            problems.append(f"{result.policy}: {len(late)} pods were sent to {REJECTING} after it had refused three")
    slow = sum(run.node == SLOW for run in learned.runs)
    if slow > MAX_ON_SLOW:
        problems.append(f"after learning {slow} Tasks ran on {SLOW}, at most {MAX_ON_SLOW} are promised")
    if learned.met <= plain.met:
        problems.append(f"RTS met {learned.met} deadlines, round-robin {plain.met}")
    if learned.met <= cold.met:
        problems.append(f"after learning {learned.met} deadlines were met, before {cold.met}")
    if reload_seconds is None or reload_seconds > 5.0:
        problems.append(f"the new parameters were first used after {reload_seconds} s, 5 s are promised")
    return problems
