"""What a cluster that runs us has to replay: its machines, the Tasks that have finished, the parameters in force."""

import time

from cloudai_cli.errors import InputError
from cloudai_cli.scenario import RecordedScenario
from cloudai_kube import connection, inventory
from cloudai_kube.errors import NotFoundError
from cloudai_kube.objects import ConfigMap
from cloudai_kube.transport import Transport
from cloudai_rts import contract, history, parameters
from cloudai_rts.parameters import Document
from cloudai_rts.replay import recorded


async def read(kubeconfig: str, namespace: str, document: Document | None, gpu_product_label: str) -> RecordedScenario:
    """Read the cluster that a kubeconfig names. `document` stands for the parameters in force, if given.

    Raises `InputError` where nothing has finished yet, `KubeError` if the cluster is away.
    """
    now = time.time()
    async with Transport(connection.load(kubeconfig), "kubectl-cloudai", 4) as transport:
        known = await _parameters(transport, namespace) if document is None else document
        nodes = await inventory.nodes(transport)
        machines = inventory.machines(nodes, await inventory.occupied(transport), gpu_product_label)
        records = await inventory.attempts(transport, now)
    records = [record for record in records if history.problem(record, now) is None]
    works = recorded.recover(records, known, {machine.node.node: machine.node.cpu for machine in machines})
    if not any(work.is_judged for work in works) or not machines:
        raise InputError("no Task that still exists has finished yet; run some, or give --tasks and --fleet")
    return RecordedScenario(machines, works, known)


async def _parameters(transport: Transport, namespace: str) -> Document:
    try:
        path = f"/api/v1/namespaces/{namespace}/configmaps/{contract.PARAMETERS_CONFIG_MAP}"
        found = await transport.get(path, ConfigMap)
    except NotFoundError:
        return parameters.defaults()
    return parameters.parse(found.data.get(contract.PARAMETERS_KEY, ""))
