"""Wiring of the operator."""

import asyncio
import logging
import os
import signal
from dataclasses import replace
from functools import partial
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from cloudai_kube import class_rules, connection, logs
from cloudai_kube.errors import ConfigurationError, KubeError
from cloudai_kube.events import Recorder, Subject
from cloudai_kube.lease import Election, LeaseTiming, candidate
from cloudai_kube.objects import ConfigMap, Meta, Node, Pod
from cloudai_kube.reflector import Reflector, silent
from cloudai_kube.request_counts import RequestCounts
from cloudai_kube.scope import Scope
from cloudai_kube.serving import HealthServer
from cloudai_kube.settings import parse_command_line
from cloudai_kube.transport import Transport
from cloudai_kube.wording import told
from cloudai_operator import history, task_watch
from cloudai_operator.break_glass import BreakGlass
from cloudai_operator.cache import NodeStore, PodStore
from cloudai_operator.executor import Executor
from cloudai_operator.metrics import OperatorMetrics
from cloudai_operator.parameter_feed import ParameterFeed
from cloudai_operator.reconcile import Rules
from cloudai_operator.settings import Settings
from cloudai_operator.task_watch import TaskRead
from cloudai_operator.workers import Workers
from cloudai_rts import contract

_log = logging.getLogger("cloudai_operator")
AGENT = "cloudai-operator"
LEASE_CONNECTIONS = 2
DRAIN_SECONDS = 3.0
RULES_SECONDS = 30.0
"""How often the scheduler's rules are read again."""
UNAUTHORIZED_SECONDS = 60.0
"""Credentials that are refused for so long are read afresh by a new process."""


def main() -> None:
    """Run the operator until SIGTERM (exit 0) or until the lease is lost (exit 1)."""
    settings = parse_command_line(
        Settings,
        "cloudai-operator",
        "Turns Tasks into pods and reports what becomes of them.",
        "cloudai-operator --kubeconfig ~/.kube/config --health-port 10362",
        aliases={
            "KUBECONFIG": "kubeconfig",
            "SCHED_SLA_MULTIPLIER": "sla_multiplier",
            "MONGODB_URI": "mongodb_uri",
        },
    )
    logs.begin(settings.log_level)
    try:
        uvloop.run(Process(settings, connection.load(settings.kubeconfig)).run())
    except ConfigurationError as error:
        logs.complain("cloudai-operator", error)
        raise SystemExit(2) from error


class Process:
    """All parts of one operator and the order in which they start and stop."""

    def __init__(self, settings: Settings, server: connection.Connection) -> None:
        self._settings = settings
        self._scope = Scope(settings.watch_namespaces)
        self._connection = server
        self._stop = asyncio.Event()
        self._synced = asyncio.Event()
        self._watch: task_watch.TaskWatch | None = None
        self._reflectors: dict[str, Reflector[Any]] = {}

    async def run(self) -> None:
        """Start everything, lead, work, stop in order."""
        settings = self._settings
        async with (
            Transport(self._connection, AGENT, settings.workers + 16) as transport,
            Transport(self._connection, AGENT, LEASE_CONNECTIONS) as lease_transport,
        ):
            metrics = OperatorMetrics(CollectorRegistry())
            metrics.registry.register(RequestCounts([transport, lease_transport]))
            election = self._election(lease_transport)
            recorder = Recorder(transport, contract.OPERATOR_NAME)
            if settings.leader_elect:
                transport.may_write = recorder.may_send = election.leads
            rules = Rules(
                settings.scheduler_name,
                settings.sla_multiplier,
                settings.retry_first_seconds,
                settings.retry_longest_seconds,
                settings.start_deadline_seconds,
                settings.namespace,
            )
            workers = Workers(Executor(transport, recorder, metrics), rules, metrics, count=settings.workers)
            workers.cache.node_gone_seconds = settings.node_gone_seconds
            if settings.mongodb_uri:
                database = history.client(settings.mongodb_uri, settings.mongodb_ca_file)[contract.MONGODB_DATABASE]
                workers.history = history.HistoryWriter(database, metrics, workers.note_written)
            await self._serve(transport, election, workers, recorder, metrics)

    def _election(self, transport: Transport) -> Election:
        """The Lease, over a connection of its own: a renewal never stands behind requests that hang."""
        settings = self._settings
        timing = LeaseTiming(
            settings.lease_duration_seconds, settings.lease_renew_deadline_seconds, settings.lease_retry_seconds
        )
        return candidate(transport, settings.namespace, contract.OPERATOR_NAME, timing)

    async def _serve(
        self,
        transport: Transport,
        election: Election,
        workers: Workers,
        recorder: Recorder,
        metrics: OperatorMetrics,
    ) -> None:
        settings = self._settings
        health = HealthServer(
            metrics.registry,
            live={
                "loop": lambda: None,
                "tasks": self._watch_problem,
                "credentials": lambda: transport.problem(UNAUTHORIZED_SECONDS),
            },
            ready={
                "tasks": self._watch_problem,
                "credentials": transport.problem,
                "watches": self._silent,
                "sync": lambda: None if self._synced.is_set() else "not yet listed",
                "stopping": lambda: "stopping" if self._stop.is_set() else None,
            },
        )
        await health.start(settings.health_host, settings.health_port)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(recorder.run())]
            tasks.append(group.create_task(self._work(transport, workers, election, metrics)))
            await self._stop.wait()
            for task in tasks[1:]:
                task.cancel()
            await recorder.flush(DRAIN_SECONDS)
            await election.release()
            tasks[0].cancel()
        await health.close()

    async def _take_rules(self, transport: Transport, workers: Workers) -> None:
        """One multiplier, and one list of accelerators: what the scheduler publishes, else our own setting."""
        try:
            published = await class_rules.read(transport, self._settings.namespace)
        except KubeError as error:
            _log.info("the scheduler's rules cannot be read: %s", error)
            return
        if published is None:
            published = class_rules.Rules(slaMultiplier=self._settings.sla_multiplier)
        if published.slaMultiplier != workers.rules.sla_multiplier:
            _log.warning("sla_multiplier is %g from now on, as the scheduler publishes it", published.slaMultiplier)
        workers.rules = replace(workers.rules, sla_multiplier=published.slaMultiplier, classes=published.classes())

    async def _follow_rules(self, transport: Transport, workers: Workers) -> None:
        while True:
            await asyncio.sleep(RULES_SECONDS)
            await self._take_rules(transport, workers)

    async def _list_until_done(self, transport: Transport, workers: Workers) -> None:
        while True:
            try:
                await task_watch.list_tasks(transport, workers.cache, self._scope, workers.park)
            except KubeError as error:
                _log.info("listing Tasks: %s", error)
                await asyncio.sleep(1.0)
            else:
                return

    def _silent(self) -> str | None:
        """Which watches are dead; none is before the first list."""
        if not self._synced.is_set():
            return None
        return silent(self._reflectors, self._settings.watch_silence_seconds, asyncio.get_running_loop().time())

    def _watch_problem(self) -> str | None:
        return None if self._watch is None else self._watch.problem()

    async def _work(self, transport: Transport, workers: Workers, election: Election, metrics: OperatorMetrics) -> None:
        """Follow the cluster, wait for the lease, then act."""
        silence = self._settings.watch_silence_seconds
        only_tasks = {"labelSelector": contract.LABEL_TASK}
        pods = [
            Reflector(transport, path, Pod, PodStore(workers.cache, namespace), only_tasks, silence)
            for namespace, path in self._scope.pods().items()
        ]
        nodes = Reflector(transport, "/api/v1/nodes", Node, NodeStore(workers.cache), silence_seconds=silence)
        maps = f"/api/v1/namespaces/{self._settings.namespace}/configmaps"
        only = {"fieldSelector": f"metadata.name={contract.PARAMETERS_CONFIG_MAP}"}
        feed = ParameterFeed(workers.use, metrics.show_epoch)
        parameters = Reflector(transport, maps, ConfigMap, feed, only, silence)
        watch = task_watch.TaskWatch(
            self._connection,
            asyncio.get_running_loop(),
            partial(_see, workers),
            _watch_ended,
            silence,
            self._scope,
        )
        self._watch = watch
        reflectors: list[Reflector[Pod] | Reflector[Node] | Reflector[ConfigMap]] = [*pods, nodes, parameters]
        for reflector in reflectors:
            reflector.on_parked = partial(_tell_parked, reflector.kind.__name__, workers)
            self._reflectors[reflector.path] = reflector
        async with asyncio.TaskGroup() as group:
            for reflector in reflectors:
                group.create_task(reflector.run())
            for reflector in reflectors:
                await reflector.synced.wait()
            await self._list_until_done(transport, workers)
            self._synced.set()
            if self._settings.leader_elect:
                await election.acquire()
                workers.may_act = election.leads
                group.create_task(_hold(election))
                workers.cache.tasks.clear()  # what is gone since then the last leader has dealt with
                await self._list_until_done(transport, workers)  # what the last leader wrote meanwhile
            await self._take_rules(transport, workers)
            metrics.leader.set(1)
            watch.start()
            if workers.history is not None:
                bound_by = f"{contract.LABEL_BOUND_BY}={self._settings.scheduler_name}"
                others = {"labelSelector": f"{bound_by},!{contract.LABEL_TASK}"}
                for path in self._scope.pods().values():
                    store = history.PodStore(workers.history, lambda: workers.rules)
                    bound = Reflector(transport, path, Pod, store, others, silence)
                    bound.on_parked = partial(_tell_parked, "Pod", workers)
                    group.create_task(bound.run())
                group.create_task(workers.history.run())
            relist_seconds = self._settings.relist_seconds
            group.create_task(
                task_watch.relist_for_ever(transport, workers.cache, relist_seconds, self._scope, workers.park)
            )
            group.create_task(self._follow_rules(transport, workers))
            if self._settings.break_glass_minutes:
                silence_seconds = 60.0 * self._settings.break_glass_minutes
                clock = asyncio.get_running_loop().time
                glass = BreakGlass(transport, workers, self._settings.namespace, silence_seconds, clock)
                group.create_task(glass.run())
            for uid in workers.cache.owners() - workers.cache.known():
                workers.enqueue(uid)
            _log.info("leading; %d Tasks", len(workers.cache.tasks))
            try:
                await workers.run()
            finally:
                watch.stop()


def _see(workers: Workers, event: str, task: TaskRead | Exception) -> None:
    """Take one Task from the watch; whatever is wrong with it, the others go on."""
    try:
        if isinstance(task, Exception):
            raise task
        uid = task_watch.see(workers.cache, task)
        if event == "DELETED":
            workers.cache.remove_task(uid)
    except Exception:  # noqa: BLE001  one Task must never stop the others
        workers.park(task)
        _log.exception("a Task cannot be handled")


def _tell_parked(kind: str, workers: Workers, meta: Meta, error: Exception) -> None:
    """One object could not be handled; the others go on."""
    workers.metrics.parked.labels(kind).inc()
    message = f"{kind} {meta.name} cannot be handled: {told(error)}"
    workers.executor.recorder.warning(Subject.of("v1", kind, meta), "CannotBeHandled", message)


async def _hold(election: Election) -> None:
    await election.hold()
    _log.critical("the lease is lost: exiting at once")
    os._exit(1)


def _watch_ended() -> None:
    _log.critical("the Task watch has ended: exiting, so that a fresh process takes over")
    os._exit(1)


if __name__ == "__main__":
    main()
