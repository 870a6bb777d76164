"""All parts of one scheduling process, and the order in which they start and stop."""

import asyncio
import logging
import os
import signal
from collections import Counter
from collections.abc import Coroutine
from functools import partial
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from cloudai_kube import class_rules, connection
from cloudai_kube.class_rules import Rules
from cloudai_kube.errors import KubeError
from cloudai_kube.events import Recorder, Subject
from cloudai_kube.lease import Election, LeaseTiming, candidate
from cloudai_kube.objects import ConfigMap, Meta, Namespace, Node, Pod, PodDisruptionBudget
from cloudai_kube.reflector import Reflector, silent
from cloudai_kube.request_counts import RequestCounts
from cloudai_kube.serving import HealthServer
from cloudai_kube.storage_objects import (
    Claim,
    CsiDriver,
    CsiNode,
    CsiStorageCapacity,
    StorageClass,
    Volume,
    VolumeAttachment,
)
from cloudai_kube.transport import Transport
from cloudai_kube.wording import told
from cloudai_kube.workload_objects import ReplicaSet, ReplicationController, Service, StatefulSet
from cloudai_rts import contract
from cloudai_scheduler.binding import Binder
from cloudai_scheduler.comparer import Comparer
from cloudai_scheduler.conditions import ConditionWriter
from cloudai_scheduler.errors import SchedulerError
from cloudai_scheduler.filters import unsupported
from cloudai_scheduler.intake import NamespaceStore, NodeStore, PodStore
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.observer import Observer
from cloudai_scheduler.parameter_feed import ParameterFeed
from cloudai_scheduler.preemption import EvictionRules
from cloudai_scheduler.scheduler import Scheduler
from cloudai_scheduler.settings import OBSERVE, Settings
from cloudai_scheduler.shared_name import SharedNames
from cloudai_scheduler.telemetry_loop import TelemetryLoop

_log = logging.getLogger("cloudai_scheduler")
AGENT = "cloudai-scheduler"
OTHER_CONNECTIONS = 32
"""Beside those of Bindings: a watch of each kind, texts, volumes, evictions, lists to compare with."""
LEASE_CONNECTIONS = 2
DRAIN_SECONDS = 5.0
RULES_RETRY_SECONDS = 10.0
UNAUTHORIZED_SECONDS = 60.0
"""Credentials that are refused for so long are read afresh by a new process."""
REPORT_SECONDS = 5.0
DROPPED = "events dropped"
Reflectors = dict[str, Reflector[Any]]
BUDGETS = "/apis/policy/v1/poddisruptionbudgets"
STORAGE_API = "/apis/storage.k8s.io/v1"
APPS_API = "/apis/apps/v1"


def run(settings: Settings, server: connection.Connection) -> None:
    """Run until SIGTERM. What the scheduler itself refuses ends the process with code 1."""
    try:
        uvloop.run(Process(settings, server).run())
    except* SchedulerError as errors:
        for problem in errors.exceptions:
            _log.critical("%s", problem)
        raise SystemExit(1) from errors


class Process:
    """All parts of one scheduling process and the order in which they start and stop."""

    def __init__(self, settings: Settings, server: connection.Connection) -> None:
        self._settings = settings
        self._connection = server
        self._observer: Observer | None = None
        self._stopping = False
        self._leading = False
        self._led = asyncio.Event()

    async def run(self) -> None:
        """Start everything, lead, schedule, stop in order."""
        settings = self._settings
        wire = settings.bind_connections + OTHER_CONNECTIONS
        async with (
            Transport(self._connection, AGENT, wire) as transport,
            Transport(self._connection, AGENT, LEASE_CONNECTIONS) as lease_transport,
        ):
            metrics = SchedulerMetrics(CollectorRegistry())
            metrics.registry.register(RequestCounts([transport, lease_transport]))
            recorder = Recorder(transport, settings.scheduler_name)
            scheduler = Scheduler(
                scheduler_name=settings.scheduler_name,
                names=settings.names,
                profiles=settings.profiles,
                binder=Binder(transport, settings.scheduler_name),
                recorder=recorder,
                conditions=ConditionWriter(transport),
                metrics=metrics,
                policy_mode=settings.policy,
                bind_connections=settings.bind_connections,
                sla_multiplier=settings.sla_multiplier,
                packed_resources=settings.packed_resources,
                fair_share_half_life_seconds=settings.fair_share_half_life_seconds,
                preemption=EvictionRules(settings.preemption_min_runtime_seconds) if settings.evicts else None,
            )
            scheduler.state.classes.rules = self._rules().classes()
            recorder.busy = scheduler.is_busy
            if settings.mode == OBSERVE:
                self._observer = Observer(scheduler.intake, scheduler.surroundings, metrics, scheduler.clock)
            if settings.leader_elect or self._observer is not None:
                scheduler.intake.is_leading = False  # until it is
                transport.may_write = lambda: self._leading and scheduler.may_act()
                recorder.may_send = transport.may_write  # a standby sees the same and says nothing
                scheduler.conditions.may_send = transport.may_write
            reflectors = self._reflectors(transport, scheduler, recorder, metrics)
            election = self._election(lease_transport)
            await self._serve(transport, election, scheduler, recorder, reflectors, metrics)

    def _election(self, transport: Transport) -> Election:
        """The Lease, over a connection of its own: a renewal never stands behind requests that hang."""
        settings = self._settings
        timing = LeaseTiming(
            settings.lease_duration_seconds, settings.lease_renew_deadline_seconds, settings.lease_retry_seconds
        )
        return candidate(transport, settings.namespace, settings.scheduler_name, timing)

    def _rules(self) -> Rules:
        """What other processes have to read as this one does."""
        settings = self._settings
        return Rules(settings.product_labels, settings.accelerators, settings.sla_multiplier)

    async def _publish_rules(self, transport: Transport) -> None:
        """Tell the other processes; until that has worked they go by what was said before, or by the defaults."""
        while True:
            try:
                await class_rules.publish(transport, self._settings.namespace, self._rules())
            except KubeError as error:
                _log.warning("rules of node classes cannot be published: %s", error)
                await asyncio.sleep(RULES_RETRY_SECONDS)
            else:
                return

    def _reflectors(
        self, transport: Transport, scheduler: Scheduler, recorder: Recorder, metrics: SchedulerMetrics
    ) -> Reflectors:
        silence = self._settings.watch_silence_seconds
        feed = ParameterFeed(scheduler.use, recorder, metrics)
        maps = f"/api/v1/namespaces/{self._settings.namespace}/configmaps"
        only = {"fieldSelector": f"metadata.name={contract.PARAMETERS_CONFIG_MAP}"}
        reflectors: Reflectors = {
            "nodes": Reflector(transport, "/api/v1/nodes", Node, NodeStore(scheduler.intake), silence_seconds=silence),
            "pods": Reflector(
                transport,
                "/api/v1/pods",
                Pod,
                self._observer or PodStore(scheduler.intake),
                silence_seconds=silence,
                decode=unsupported.Decode(self._settings.names if self._observer is None else None),
            ),
            "namespaces": Reflector(
                transport, "/api/v1/namespaces", Namespace, NamespaceStore(scheduler.intake), silence_seconds=silence
            ),
            "parameters": Reflector(transport, maps, ConfigMap, feed, only, silence_seconds=silence),
        }
        storage, workloads = scheduler.state.storage, scheduler.state.workloads
        for name, path, kind, table in (
            ("persistentvolumeclaims", "/api/v1/persistentvolumeclaims", Claim, storage.claims),
            ("persistentvolumes", "/api/v1/persistentvolumes", Volume, storage.volumes),
            ("storageclasses", f"{STORAGE_API}/storageclasses", StorageClass, storage.classes),
            ("csinodes", f"{STORAGE_API}/csinodes", CsiNode, storage.nodes),
            ("csidrivers", f"{STORAGE_API}/csidrivers", CsiDriver, storage.drivers),
            ("csistoragecapacities", f"{STORAGE_API}/csistoragecapacities", CsiStorageCapacity, storage.capacities),
            ("volumeattachments", f"{STORAGE_API}/volumeattachments", VolumeAttachment, storage.attachments),
            ("services", "/api/v1/services", Service, workloads.services),
            (
                "replicationcontrollers",
                "/api/v1/replicationcontrollers",
                ReplicationController,
                workloads.replication_controllers,
            ),
            ("replicasets", f"{APPS_API}/replicasets", ReplicaSet, workloads.replica_sets),
            ("statefulsets", f"{APPS_API}/statefulsets", StatefulSet, workloads.stateful_sets),
        ):
            reflectors[name] = Reflector(transport, path, kind, table, silence_seconds=silence)
        if self._settings.evicts:
            budgets = scheduler.state.budgets
            reflectors["budgets"] = Reflector(transport, BUDGETS, PodDisruptionBudget, budgets, silence_seconds=silence)
        for reflector in reflectors.values():
            reflector.on_parked = partial(_tell_parked, reflector.kind.__name__, recorder, metrics)
        return reflectors

    async def _serve(
        self,
        transport: Transport,
        election: Election,
        scheduler: Scheduler,
        recorder: Recorder,
        reflectors: Reflectors,
        metrics: SchedulerMetrics,
    ) -> None:
        settings = self._settings
        health = HealthServer(
            metrics.registry,
            live={"loop": lambda: None, "credentials": lambda: transport.problem(UNAUTHORIZED_SECONDS)},
            ready={
                "credentials": transport.problem,
                "sync": lambda: _unsynced(reflectors),
                "stopping": lambda: "stopping" if self._stopping else None,
                "watches": lambda: silent(
                    reflectors, settings.watch_silence_seconds, asyncio.get_running_loop().time()
                ),
            },
            pages={} if self._observer is None else {"/observed": self._observer.report},
        )
        await health.start(settings.health_host, settings.health_port)
        background: list[Coroutine[None, None, None]] = [recorder.run(), scheduler.conditions.run()]
        background.extend(reflector.run() for reflector in reflectors.values())
        background.append(_sample_loads(scheduler, reflectors))
        background.append(_report(reflectors, recorder, metrics))
        if self._observer is not None:
            metrics.observing.set(1)
            self._observer.is_synced = lambda: _unsynced(reflectors) is None
            background.append(self._observer.run())
        access = settings.access()
        if access is not None:
            from cloudai_kube.prometheus import Prometheus  # 20 MiB that only those who ask for load pay

            source = Prometheus(access)
            background.append(
                TelemetryLoop(
                    source,
                    scheduler.state,
                    scheduler.rejections,
                    recorder,
                    metrics,
                    scheduler.clock,
                    settings.telemetry_seconds,
                ).run()
            )
        async with asyncio.TaskGroup() as group:
            comparer = Comparer(transport, scheduler, settings.compare_seconds)
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, comparer.ask)
            background.append(comparer.run())
            names = SharedNames(transport, settings.names)
            await names.check_at_start()
            background.append(names.watch())
            tasks = [group.create_task(work) for work in background]
            lead = group.create_task(self._lead(scheduler, election, reflectors, metrics))
            tasks.append(group.create_task(self._publish_rules_when_leading(transport)))
            self._on_signal(scheduler, lead)
            try:
                await lead
            except asyncio.CancelledError:
                if not self._stopping:
                    raise
            self._stopping = True
            await recorder.flush(DRAIN_SECONDS)
            if self._observer is None:
                await election.release()
            for task in tasks:
                task.cancel()
        await health.close()

    async def _lead(
        self,
        scheduler: Scheduler,
        election: Election,
        reflectors: Reflectors,
        metrics: SchedulerMetrics,
    ) -> None:
        for reflector in reflectors.values():
            await reflector.synced.wait()
        if self._observer is not None:
            _log.info("observing; %d nodes; nothing is bound", len(scheduler.state.nodes))
            await scheduler.stop.wait()
            return
        if not self._settings.leader_elect:
            self._leading = True
            self._led.set()
            metrics.leader.set(1)
            await scheduler.run()
            return
        await election.acquire()
        self._leading = True
        self._led.set()
        scheduler.may_act = election.leads
        scheduler.intake.is_leading = True
        metrics.leader.set(1)
        _log.info("leading; %d nodes, %d pods wait", len(scheduler.state.nodes), len(scheduler.queue))
        holding = asyncio.create_task(election.hold())
        holding.add_done_callback(_exit_if_lost)
        try:
            await scheduler.run()
        finally:
            holding.remove_done_callback(_exit_if_lost)
            holding.cancel()

    async def _publish_rules_when_leading(self, transport: Transport) -> None:
        await self._led.wait()
        await self._publish_rules(transport)

    def _on_signal(self, scheduler: Scheduler, lead: asyncio.Task[None]) -> None:
        def stop() -> None:
            self._stopping = True
            scheduler.stop.set()
            scheduler.wake()
            if not self._leading:
                lead.cancel()  # still waiting for lists or lease: nothing is under way

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)


def _exit_if_lost(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        _log.critical("the lease is lost: exiting at once")
        os._exit(1)


def _tell_parked(kind: str, recorder: Recorder, metrics: SchedulerMetrics, meta: Meta, error: Exception) -> None:
    """One object could not be handled; the others go on."""
    metrics.parked.labels(kind).inc()
    message = f"{kind} {meta.name} cannot be handled: {told(error)}"
    recorder.warning(Subject.of("v1", kind, meta), "CannotBeHandled", message)


async def _sample_loads(scheduler: Scheduler, reflectors: Reflectors) -> None:
    """Only of the whole cluster: what namespaces hold of an empty one would count as what they have had lately."""
    for reflector in reflectors.values():
        await reflector.synced.wait()
    await scheduler.sample_loads()


def _unsynced(reflectors: Reflectors) -> str | None:
    missing = [name for name, reflector in reflectors.items() if not reflector.synced.is_set()]
    return f"not yet listed: {', '.join(missing)}" if missing else None


async def _report(
    reflectors: Reflectors,
    recorder: Recorder,
    metrics: SchedulerMetrics,
) -> None:
    seen: Counter[str] = Counter()
    while True:
        counts = {name: reflector.lists for name, reflector in reflectors.items()}
        for name, count in counts.items():
            metrics.lists.labels(name).inc(count - seen[name])
        metrics.events_dropped.inc(recorder.dropped - seen[DROPPED])
        seen = Counter({**counts, DROPPED: recorder.dropped})
        await asyncio.sleep(REPORT_SECONDS)
