"""A fleet as a struct of arrays: all nodes' capacity, requests, use and class, one entry a node.

Scores are computed over all nodes at once, so nodes are columns of matrices rather than objects. Resources are
integers (millicores, bytes, devices), because sums of float cores would drift and a full node would look free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudai_rts.arrays import BoolArray, FloatArray, IntArray
from cloudai_rts.contract import CPU, MEMORY, PODS, STORAGE

_FIXED: Final = (CPU, MEMORY, STORAGE, PODS)
KEPT_CLASSES: Final = 256
"""So many are kept although no node has them: those may come back, and what is known of their load with them."""
_FIRST_SLOTS: Final = 64
_MATRICES: Final = ("_allocatable", "_requested", "_unrequested_use", "_per_unit_load")

Resources = Mapping[str, int]
"""Amounts by resource name: cpu in millicores, memory and storage in bytes, all else in devices."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What the model knows of one node apart from what runs there."""

    name: str
    allocatable: Resources
    node_class: str
    has_gpu: bool = False
    shared_gpu_resource: str = ""


class Fleet:
    """The nodes of a cluster: a node is a slot, slots are reused after `remove`, `present` tells which are in use.

    Matrices are `[resources, slots]`, so that one resource of all nodes is contiguous. `topology` grows whenever a
    slot, a capacity or a class changes: what depends on those only can be kept until then.
    """

    def __init__(self) -> None:
        self.resources: list[str] = list(_FIXED)
        self.names: list[str] = []
        self.topology = 0
        self._columns = {name: index for index, name in enumerate(_FIXED)}
        self._slots: dict[str, int] = {}
        self._free_slots: list[int] = []
        self._classes: dict[str, int] = {}
        self._class_names: list[str] = []
        shape = (len(_FIXED), _FIRST_SLOTS)
        self._allocatable: IntArray = np.zeros(shape, np.int64)
        self._requested: IntArray = np.zeros(shape, np.int64)
        self._unrequested_use: IntArray = np.zeros(shape, np.int64)  # measured use beyond requests
        self._per_unit_load: FloatArray = np.zeros(shape, np.float64)  # 1 / allocatable where it counts for load
        self._load_columns: set[int] = {self._columns[CPU], self._columns[MEMORY]}
        self._load: FloatArray | None = None  # kept until anything changes
        self._present: BoolArray = np.zeros(_FIRST_SLOTS, np.bool_)
        self._has_gpu: BoolArray = np.zeros(_FIRST_SLOTS, np.bool_)
        self._class_index: IntArray = np.zeros(_FIRST_SLOTS, np.int64)

    def __len__(self) -> int:
        return len(self.names)

    def copy(self) -> "Fleet":
        """The same fleet again, to be changed without changing this one."""
        other = Fleet.__new__(Fleet)
        for name, value in vars(self).items():
            setattr(other, name, value.copy() if isinstance(value, np.ndarray | list | dict | set) else value)
        return other

    @property
    def present(self) -> BoolArray:
        """Which slots are nodes that exist now."""
        return self._present[: len(self.names)]

    @property
    def has_gpu(self) -> BoolArray:
        """Which nodes carry GPUs."""
        return self._has_gpu[: len(self.names)]

    @property
    def class_index(self) -> IntArray:
        """Each node's class, an index into `class_names`."""
        return self._class_index[: len(self.names)]

    @property
    def class_names(self) -> list[str]:
        """Node classes in the order of their indices."""
        return list(self._class_names)

    def slot(self, name: str) -> int | None:
        """Slot of a node, None where there is no such node."""
        return self._slots.get(name)

    def column(self, resource: str) -> int:
        """Index of a resource; one never seen before gets an index, with capacity 0 everywhere."""
        index = self._columns.get(resource)
        if index is not None:
            return index
        self._columns[resource] = len(self.resources)
        self.resources.append(resource)
        missing = len(self.resources) - len(self._allocatable)
        if missing > 0:
            rows = ((0, len(self._allocatable)), (0, 0))  # twice as many: each new one would else copy all
            for name in _MATRICES:
                setattr(self, name, np.pad(getattr(self, name), rows))
        return self._columns[resource]

    def counts(self, resource: str) -> bool:
        """Whether requests of this resource are counted: some node offers it, or has offered it."""
        return resource in self._columns

    def put(self, node: NodeSpec) -> int:
        """Add a node or bring its capacity and class up to date; its requests stay. Returns its slot."""
        amounts = {self.column(resource): amount for resource, amount in node.allocatable.items()}
        slot = self._slots.get(node.name)
        if slot is None:
            slot = self._new_slot(node.name)
        self._allocatable[:, slot] = 0
        self._per_unit_load[:, slot] = 0.0
        for column, amount in amounts.items():
            self._allocatable[column, slot] = amount
        counted = {self._columns[CPU], self._columns[MEMORY]}
        if node.shared_gpu_resource:
            # A whole GPU that is busy says nothing about its free neighbour: GPUs count only where they are shared.
            counted.add(self.column(node.shared_gpu_resource))
            self._load_columns |= counted
        for column in counted:
            if self._allocatable[column, slot] > 0:
                self._per_unit_load[column, slot] = 1.0 / float(self._allocatable[column, slot])
        self._load = None
        self._has_gpu[slot] = node.has_gpu
        self._class_index[slot] = self._index_of(node.node_class)
        self.topology += 1
        return slot

    def _index_of(self, node_class: str) -> int:
        """Index of a class; a new one takes that of one which no node has any more, where there are many."""
        known = self._classes.get(node_class)
        if known is not None:
            return known
        index = len(self._class_names)
        if index >= KEPT_CLASSES:
            unused = set(range(index)) - set(self.class_index[self.present].tolist())
            index = min(unused, default=index)
        if index < len(self._class_names):
            del self._classes[self._class_names[index]]
            self._class_names[index] = node_class
        else:
            self._class_names.append(node_class)
        self._classes[node_class] = index
        return index

    def remove(self, name: str) -> None:
        """Forget a node and whatever was requested there; unknown names are ignored."""
        slot = self._slots.pop(name, None)
        if slot is None:
            return
        self._present[slot] = False
        for matrix in (self._allocatable, self._requested, self._unrequested_use):
            matrix[:, slot] = 0
        self._per_unit_load[:, slot] = 0.0
        self._load = None
        self._free_slots.append(slot)
        self.topology += 1

    def request(self, slot: int, amounts: Resources, sign: int = 1) -> None:
        """Count a pod's requests on a node (`sign=-1`: give them back); resources that no node offers are left out.

        A tenant may invent thousands of names. The keeper of the pods counts a resource that a node begins to offer.
        """
        for resource, amount in amounts.items():
            column = self._columns.get(resource)
            if column is not None:
                self._requested[column, slot] += sign * amount
        self._load = None

    def measure(
        self, resource: str, used: IntArray, fresh: BoolArray | None = None, requested: IntArray | None = None
    ) -> None:
        """Take a sample of one resource's real use on all nodes (`[slots]`); where it is not `fresh`, requests count.

        Requests after the sample add to it, those that end take from it: a pod just placed counts at
        once. `requested` is what was requested when the sample was taken, if that is not now.
        """
        column, width = self.column(resource), len(self.names)
        self._load = None
        beyond = used - (self._requested[column, :width] if requested is None else requested)
        self._unrequested_use[column, :width] = beyond if fresh is None else np.where(fresh, beyond, 0)

    def allocatable(self, resource: str) -> IntArray:
        """Capacity of all nodes for pods, `[slots]`."""
        return self._row(self._allocatable, resource)

    def requested(self, resource: str) -> IntArray:
        """Requests of every bound and assumed pod on all nodes, `[slots]`."""
        return self._row(self._requested, resource)

    def available(self, resource: str) -> IntArray:
        """C_j^avail and its like: allocatable minus requested, `[slots]`; negative on an over-committed node."""
        return self.allocatable(resource) - self.requested(resource)

    def fits(self, amounts: Resources) -> BoolArray:
        """EDD 3.3: nodes whose free amount covers every request; resources not asked for are skipped."""
        asked = [(self._columns.get(resource, -1), amount) for resource, amount in amounts.items() if amount > 0]
        if not asked:
            return self.present.copy()
        columns, needed = (list(part) for part in zip(*asked, strict=True))
        width = len(self.names)
        if min(columns) < 0:  # no node and no bound pod ever named it
            return np.zeros(width, np.bool_)
        free = self._allocatable[columns, :width] - self._requested[columns, :width]
        enough = free >= np.array(needed, np.int64)[:, None]
        return np.asarray(enough.all(axis=0) & self.present)

    def fits_at(self, slot: int, amounts: Resources) -> bool:
        """Whether one node's free amount covers every request."""
        for resource, amount in amounts.items():
            column = self._columns.get(resource, -1)
            if amount > 0 and (column < 0 or self._allocatable[column, slot] - self._requested[column, slot] < amount):
                return False
        return bool(self._present[slot])

    def could_fit(self, amounts: Resources) -> BoolArray:
        """Nodes whose whole capacity covers the request: the most that waiting could ever free."""
        fits: BoolArray = self.present.copy()
        for resource, amount in amounts.items():
            column = self._columns.get(resource, -1)
            if amount > 0 and column < 0:  # no node and no bound pod ever named it
                return np.zeros_like(fits)
            if amount > 0:
                fits &= self._allocatable[column, : len(fits)] >= amount
        return fits

    def load(self, amounts: Resources | None = None) -> FloatArray:
        """L_j; with a request L'_ij, the load with this task on it. May exceed 1; 0 where nothing is allocatable.

        The array must not be written to.
        """
        if amounts is not None:
            return self._load_with({self._columns.get(name, -1): amount for name, amount in amounts.items()})
        if self._load is None:
            self._load = self._load_with({})
            self._load.flags.writeable = False
        return self._load

    def load_at(self, slot: int, amounts: Resources) -> float:
        """L'_ij of one node: its load with a request on it."""
        added = {self._columns.get(name, -1): amount for name, amount in amounts.items()}
        return max(
            float(
                (self._requested[column, slot] + self._unrequested_use[column, slot] + added.get(column, 0))
                * self._per_unit_load[column, slot]
            )
            for column in self._load_columns
        )

    def _load_with(self, added: Mapping[int, int]) -> FloatArray:
        width = len(self.names)
        load: FloatArray = np.zeros(width, np.float64)
        for column in self._load_columns:
            used = self._requested[column, :width] + self._unrequested_use[column, :width]
            if column in added:
                used += added[column]
            np.maximum(load, used * self._per_unit_load[column, :width], out=load)
        return load

    def load_resources(self) -> list[str]:
        """The resources that L_j is the largest share of: CPU, memory, and GPUs that are shared somewhere."""
        return [self.resources[column] for column in sorted(self._load_columns)]

    def busy(self) -> BoolArray:
        """Nodes on which anything is requested: only such a node can become better by waiting."""
        return np.asarray(self._requested[:, : len(self.names)].any(axis=0))

    def _row(self, matrix: IntArray, resource: str) -> IntArray:
        """One resource of all nodes; zeros for one that no node and no bound pod ever named."""
        column = self._columns.get(resource)
        width = len(self.names)
        return np.zeros(width, np.int64) if column is None else matrix[column, :width]

    def _new_slot(self, name: str) -> int:
        if self._free_slots:
            slot = self._free_slots.pop()
            self.names[slot] = name
        else:
            slot = len(self.names)
            self.names.append(name)
            if slot >= len(self._present):
                self._grow(len(self._present))
        self._slots[name] = slot
        self._present[slot] = True
        return slot

    def _grow(self, extra: int) -> None:
        for name in _MATRICES:
            setattr(self, name, np.pad(getattr(self, name), ((0, 0), (0, extra))))
        for name in ("_present", "_has_gpu", "_class_index"):
            setattr(self, name, np.pad(getattr(self, name), (0, extra)))
