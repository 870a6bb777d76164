"""Settings of an epoch: a YAML file, the environment (`CLOUDAI_OPTIMIZER_...`), flags; the last one wins."""

from typing import Annotated, Literal

from msgspec import Meta

from cloudai_kube.prometheus_access import PrometheusSettings
from cloudai_optimizer.errors import InputError
from cloudai_optimizer.release import publication
from cloudai_optimizer.rules import Rules
from cloudai_optimizer.search.genetic import ELITE, Mutation
from cloudai_optimizer.search.variants import AdaptiveMutation
from cloudai_rts import contract
from cloudai_rts.replay.energy import EnergyRates
from cloudai_rts.replay.summary import EddWeights

_RULES = Rules()
SMALLEST_ISLAND = 2 * ELITE
"""Fewer would not breed: the best two survive."""


class Settings(PrometheusSettings, frozen=True, forbid_unknown_fields=True):
    """What can be set; every field has a flag and an environment twin."""

    min_tasks: Annotated[int, Meta(ge=2, le=1_000_000, description="fewer finished: nothing is done")] = (
        _RULES.min_tasks
    )
    search_tasks: Annotated[int, Meta(ge=2, le=1_000_000, description="fewer finished: fit only")] = _RULES.search_tasks
    window_tasks: Annotated[int, Meta(ge=10, le=1_000_000, description="tasks of one replayed window, at most")] = (
        _RULES.window_tasks
    )
    search_pause_minutes: Annotated[float, Meta(ge=0, le=100_000, description="between two searches, at least")] = (
        _RULES.search_pause_seconds / 60.0
    )
    search_new_tasks: Annotated[int, Meta(ge=0, le=1_000_000, description="between two searches, at least")] = (
        _RULES.search_new_tasks
    )
    windows: Annotated[int, Meta(ge=2, le=20, description="parts of the history; every other one judges")] = (
        _RULES.windows
    )
    guard_tasks: Annotated[int, Meta(ge=10, le=1_000_000, description="tasks of one window that judges, at most")] = (
        _RULES.guard_tasks
    )
    generations: Annotated[int, Meta(ge=1, le=1000, description="of the search")] = _RULES.generations
    population: Annotated[int, Meta(ge=4, le=1000, description="candidates of a generation")] = _RULES.population
    mutation_rate: Annotated[float, Meta(ge=0, le=1, description="share of the genes that mutate")] = (
        _RULES.mutation.rate
    )
    mutation_sd: Annotated[float, Meta(ge=0, le=1, description="how far they do; a gene is in 0..1")] = (
        _RULES.mutation.sd
    )
    fitness: Annotated[Literal["default", "edd", "pareto"], Meta(description="default, edd or pareto")] = "default"
    edd_sla: Annotated[float, Meta(ge=0, le=1, description="w1, with fitness edd")] = _RULES.edd_weights.sla
    edd_utilisation: Annotated[float, Meta(ge=0, le=1, description="w2, likewise")] = _RULES.edd_weights.utilisation
    edd_energy: Annotated[float, Meta(ge=0, le=1, description="w3, likewise")] = _RULES.edd_weights.energy
    edd_overload: Annotated[float, Meta(ge=0, le=1, description="w4, likewise")] = _RULES.edd_weights.overload
    adaptive_mutation: Annotated[bool, Meta(description="mutate more while nothing gets better")] = False
    islands: Annotated[int, Meta(ge=1, le=10, description="populations that breed apart")] = _RULES.islands
    energy_weight: Annotated[float, Meta(ge=0, le=1, description="0..1, with fitness pareto")] = _RULES.energy_weight
    energy_cpu: Annotated[float, Meta(ge=0, le=10_000, description="watts a core, where none were measured")] = (
        _RULES.energy.per_core
    )
    energy_memory: Annotated[float, Meta(ge=0, le=10_000, description="watts a GiB, likewise")] = _RULES.energy.per_gib
    energy_gpu: Annotated[float, Meta(ge=0, le=10_000, description="watts a GPU, likewise")] = _RULES.energy.per_gpu
    share: Annotated[float, Meta(ge=0, le=1, description="of tasks for a canary; 0: none")] = publication.SHARE
    workers: Annotated[int, Meta(ge=1, le=64, description="processes that replay candidates")] = 2
    seed: Annotated[int, Meta(ge=0, le=2**31, description="of the search; the same seed gives the same document")] = 1
    scheduler_name: Annotated[
        str, Meta(pattern=contract.NAME_PATTERN, max_length=63, description="pods that it bound are learned from")
    ] = contract.SCHEDULER_NAME
    watch_namespaces: Annotated[
        tuple[str, ...], Meta(description="namespaces whose history counts, comma-separated; empty: all")
    ] = ()
    mongodb_uri: Annotated[str, Meta(description="history, also $MONGODB_URI; empty: the Tasks' status")] = ""
    mongodb_ca_file: Annotated[str, Meta(description="certificate authority of the database; makes TLS a must")] = ""
    hours: Annotated[float, Meta(gt=0, le=24 * 90, description="how far back history is read")] = 24.0

    def rules(self) -> Rules:
        """The part that the algorithm reads. Raises `InputError` for settings that contradict each other."""
        weights = EddWeights(self.edd_sla, self.edd_utilisation, self.edd_energy, self.edd_overload)
        if not weights.sla > weights.utilisation > max(weights.energy, weights.overload):
            raise InputError(
                f"settings edd_sla = {weights.sla:g}, edd_utilisation = {weights.utilisation:g}, edd_energy = "
                f"{weights.energy:g}, edd_overload = {weights.overload:g}: "
                "the order is sla > utilisation > energy and overload (EDD 6)"
            )
        if self.population < SMALLEST_ISLAND * self.islands:
            raise InputError(
                f"setting population = {self.population}: {self.islands} islands need at least "
                f"{SMALLEST_ISLAND * self.islands}"
            )
        return Rules(
            min_tasks=self.min_tasks,
            search_tasks=self.search_tasks,
            window_tasks=self.window_tasks,
            search_pause_seconds=60.0 * self.search_pause_minutes,
            search_new_tasks=self.search_new_tasks,
            generations=self.generations,
            fitness=self.fitness,
            edd_weights=weights,
            windows=self.windows,
            guard_tasks=self.guard_tasks,
            population=self.population,
            mutation=(AdaptiveMutation if self.adaptive_mutation else Mutation)(self.mutation_rate, self.mutation_sd),
            islands=self.islands,
            energy_weight=self.energy_weight,
            energy=EnergyRates(self.energy_cpu, self.energy_memory, self.energy_gpu),
        )
