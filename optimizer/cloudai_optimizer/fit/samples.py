"""History as arrays: one entry a run, newest last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.history import RUNNING, SUCCEEDED, Record
from cloudai_rts.nodeclass import class_for

HALF_LIFE_SAMPLES = 200.0
"""A sample counts half after so many newer ones of its cell: machines and images change."""

LOAD_LEVEL = 0.25
LOAD_LEVELS = 9
"""The last is everything from 2 on."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Runs with their type, class and node as indices into the name lists.

    `log_runtime` is ln of seconds (for a censored run: of what it had lasted so far); `load` is the node's with the
    task on it; `log_declared` is NaN where the user declared nothing, `log_allowed` where no deadline was the user's
    own; `finish` in seconds since the epoch, minus infinity while it runs. `weight`, `node_weight` and `load_weight`
    (for cells, nodes and the load curve) fade with age; `voice` is how much of the first the tenant's share leaves
    (1: all).
    """

    types: list[str]
    classes: list[str]
    nodes: list[str]
    tenants: list[str]
    users: list[str]
    identities: list[str]
    type: IntArray
    node_class: IntArray
    node: IntArray
    tenant: IntArray
    user: IntArray
    identity: IntArray
    log_runtime: FloatArray
    load: FloatArray
    log_declared: FloatArray
    log_allowed: FloatArray
    censored: BoolArray
    finish: FloatArray
    weight: FloatArray
    node_weight: FloatArray
    load_weight: FloatArray
    voice: FloatArray

    def __len__(self) -> int:
        return len(self.log_runtime)

    def load_level(self) -> IntArray:
        """One number for loads that are alike."""
        return np.minimum(self.load / LOAD_LEVEL, LOAD_LEVELS - 1).astype(np.int64)

    def cell(self) -> IntArray:
        """One number for each (type, class)."""
        return self.type * max(1, len(self.classes)) + self.node_class


def collect(records: Sequence[Record], cores: Mapping[str, float] | None = None) -> Samples:
    """Records (valid ones, in any order) as samples. Whatever did not succeed is censored: it would have run longer.

    `cores` by node turn the load before a task into the load with it.
    """
    ordered = sorted(records, key=lambda record: (record.finish, record.pod_uid))
    types, type_index = _index([record.type for record in ordered])
    names = [class_for(record.node_class, record.gpu_resource) for record in ordered]
    classes, class_index = _index(names)
    nodes, node_index = _index([record.node for record in ordered])
    tenants, tenant_index = _index([record.namespace for record in ordered])
    users, user_index = _index([record.user or record.namespace for record in ordered])
    identities, identity_index = _index([record.identity for record in ordered])
    declared = [np.nan if not record.declared or record.declared <= 0 else record.declared for record in ordered]
    allowed = [record.allowed or np.nan for record in ordered]
    samples = Samples(
        types,
        classes,
        nodes,
        tenants,
        users,
        identities,
        type_index,
        class_index,
        node_index,
        tenant_index,
        user_index,
        identity_index,
        np.log(np.array([max(record.runtime, 1e-3) for record in ordered], np.float64)),
        np.array([_load_with(record, cores or {}) for record in ordered], np.float64),
        np.log(np.array(declared, np.float64)),
        np.log(np.array(allowed, np.float64)),
        np.array([record.outcome != SUCCEEDED for record in ordered], np.bool_),
        np.array([-np.inf if record.outcome == RUNNING else record.finish for record in ordered], np.float64),
        np.ones(len(ordered)),
        np.ones(len(ordered)),
        np.ones(len(ordered)),
        np.ones(len(ordered)),
    )
    samples.weight[:] = samples.node_weight[:] = samples.load_weight[:] = _fading(samples.cell())
    return samples


def _load_with(record: Record, cores: Mapping[str, float]) -> float:
    if record.load_with is not None:
        return record.load_with
    capacity = cores.get(record.node, 0.0)  # decided by a version that did not say it
    return record.load + (record.cpu / capacity if capacity > 0 else 0.0)


def _index(names: Sequence[str]) -> tuple[list[str], IntArray]:
    known = sorted(set(names))
    position = {name: index for index, name in enumerate(known)}
    return known, np.array([position[name] for name in names], np.int64)


def _fading(cell: IntArray) -> FloatArray:
    """.5 ^ (newer samples of the same cell / half-life)."""
    newer: dict[int, int] = {}
    weight = np.empty(len(cell))
    for index in range(len(cell) - 1, -1, -1):
        seen = newer.get(int(cell[index]), 0)
        weight[index] = 0.5 ** (seen / HALF_LIFE_SAMPLES)
        newer[int(cell[index])] = seen + 1
    return weight
