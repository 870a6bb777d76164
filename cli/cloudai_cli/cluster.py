"""What a cluster that runs us has to replay: its machines, what has finished there, the parameters in force."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from cloudai_cli.errors import InputError
from cloudai_cli.scenario import RecordedScenario
from cloudai_kube import class_rules, connection, inventory, node_use, task_history, worker_registry
from cloudai_kube.errors import NotFoundError
from cloudai_kube.objects import ConfigMap
from cloudai_kube.transport import Transport
from cloudai_rts import contract, history, parameters
from cloudai_rts.machine import Machine
from cloudai_rts.parameters import Document
from cloudai_rts.replay import recorded


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where the cluster is and its history: `namespace` is that of its parameters.

    Without `mongodb_uri` only Tasks that still exist are known; with it what finished in the last `hours`.
    """

    kubeconfig: str
    namespace: str
    mongodb_uri: str = ""
    hours: float = 24.0


async def read(whereabouts: Whereabouts, document: Document | None) -> RecordedScenario:
    """Read a cluster and its history. `document` stands for the parameters in force, if given.

    Raises `InputError` where nothing has finished yet, `KubeError` if cluster or database is away.
    """
    now = time.time()
    async with Transport(connection.load(whereabouts.kubeconfig), "kubectl-cloudai", 4) as transport:
        known = await _parameters(transport, whereabouts.namespace) if document is None else document
        nodes = await inventory.nodes(transport)
        rules = await class_rules.read_or_default(transport, whereabouts.namespace)
        machines = inventory.machines(nodes, await inventory.occupied(transport), rules.classes())
        records = await inventory.attempts(transport, now, bool(whereabouts.mongodb_uri), rules.classes())
    gone: list[Machine] = []
    gpu_watts: Mapping[str, float] = {}
    if whereabouts.mongodb_uri:
        since = now - 3600.0 * whereabouts.hours
        with task_history.connected(whereabouts.mongodb_uri, "kubectl-cloudai") as database:
            ended, unreadable = task_history.read(database, since)
            gone = worker_registry.gone_machines(database, machines, since)
            gpu_watts = node_use.read(database, since).gpu_watts
        if unreadable:
            sys.stderr.write(f"{unreadable} documents of {contract.TASK_HISTORY} cannot be read and are left out\n")
        records = task_history.with_running(ended, records)
    records = [record for record in records if history.problem(record, now) is None]
    works = recorded.recover(records, known, [*machines, *gone])
    if not any(work.is_judged for work in works) or not machines:
        where = f"in the last {whereabouts.hours:g} h" if whereabouts.mongodb_uri else "of the Tasks that still exist"
        raise InputError(f"nothing has finished {where}; run some Tasks, or give --tasks and --fleet")
    return RecordedScenario(machines, works, known, gpu_watts)


async def _parameters(transport: Transport, namespace: str) -> Document:
    try:
        path = f"/api/v1/namespaces/{namespace}/configmaps/{contract.PARAMETERS_CONFIG_MAP}"
        config_map = await transport.get(path, ConfigMap)
    except NotFoundError:
        return parameters.defaults()
    return parameters.parse(config_map.data.get(contract.PARAMETERS_KEY, ""))
