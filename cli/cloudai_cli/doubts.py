"""What a simulation of somebody's own trace cannot know, or leaves out: said before the figures, never in silence."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from cloudai_cli.scenario import TraceScenario
from cloudai_rts import products
from cloudai_rts.contract import CPU, MEMORY, PODS, STORAGE
from cloudai_rts.fleet import Fleet
from cloudai_rts.replay.engine import fleet_of
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.world import World

MOST_NAMED: Final = 5
_GIB: Final = 1 << 30


def of(scenario: TraceScenario, knows_speeds: bool, *, has_table: bool = True) -> list[str]:
    """One line each. `has_table`: the speeds are those of the user's own table."""
    pairs = _unknown_pairs(scenario, knows_speeds) if has_table else _expected(scenario)
    return [*_unplaceable(scenario), *_unknown_products(scenario), *pairs]


def _unplaceable(scenario: TraceScenario) -> list[str]:
    """Tasks that no machine can take wait for ever, and count as missed."""
    world, jobs = scenario.world(), scenario.jobs(0)
    fleet = fleet_of(world)
    reasons: dict[tuple[object, ...], str] = {}
    names: defaultdict[str, list[str]] = defaultdict(list)
    for job in jobs:
        key = (job.admitted, *job.amounts.items())
        if key not in reasons:
            reasons[key] = _reason(job, world, fleet)
        if reasons[key]:
            names[reasons[key]].append(job.name)
    return [
        f"{len(some)} of {len(jobs)} tasks fit no machine and count as missed by every policy: {_some(some)}; {reason}"
        for reason, some in names.items()
    ]


def _reason(job: Job, world: World, fleet: Fleet) -> str:
    """Why a task fits no machine: the first request that none has room for; empty where it fits one."""
    admitted = world.admits(job)
    if not admitted.any():
        return f"no machine has the GPU product {job.gpu_product}"
    if (fleet.could_fit(job.amounts) & admitted).any():
        return ""
    for resource, amount in job.amounts.items():
        largest = int(fleet.allocatable(resource)[admitted].max())
        if amount > largest:
            return f"asks for {_amount(resource, amount)}, and the largest machine has {_amount(resource, largest)}"
    return "no machine has all of what it asks for"


def _amount(resource: str, amount: int) -> str:
    if resource == CPU:
        return f"{amount / 1000:g} {'core' if amount == 1000 else 'cores'}"
    if resource in {MEMORY, STORAGE}:
        return f"{amount / _GIB:.4g} GiB of {'memory' if resource == MEMORY else 'storage'}"
    return f"{amount} {'pod' if resource == PODS else 'GPU'}{'' if amount == 1 else 's'}"


def _unknown_products(scenario: TraceScenario) -> list[str]:
    """GPUs of which neither the table of speeds nor a data sheet says anything."""
    gpu_products = sorted({node.gpu_product for node in scenario.nodes if node.gpu})
    unknown = [name for name in gpu_products if products.product_of(name) is None]
    if not unknown:
        return []
    return [f"nothing is known of the speed of {_some(unknown)} before tasks have run there"]


def _unknown_pairs(scenario: TraceScenario, knows_speeds: bool) -> list[str]:
    """A table may miss what is there, and name what is not."""
    gpu_products = {node.gpu_product for node in scenario.nodes if node.gpu}
    named = {product for _, product in scenario.speeds}
    missing = sorted(gpu_products - named)
    said = [f"--speeds names no {_some(missing)}: tasks run there as on the reference"] if missing else []
    types = {task.type for task in scenario.tasks}
    present = {node.gpu_product for node in scenario.nodes}
    strange = sorted(
        f"{name} on {product or 'no GPU'}"
        for name, product in scenario.speeds
        if name not in types or product not in present
    )
    if strange:
        said.append(f"--speeds names what is not in the trace and the fleet: {_some(strange)}")
    if knows_speeds and not types & {name for name, _ in scenario.speeds}:
        said.append("--knows-speeds: the table names none of the types in the trace, so nothing is known from it")
    return said


def _expected(scenario: TraceScenario) -> list[str]:
    """Without a table the truth of the simulation is what data sheets say."""
    gpu_products = sorted({node.gpu_product for node in scenario.nodes if node.gpu})
    if len(gpu_products) < 2:
        return []
    expected = sorted({product for _, product in scenario.speeds})
    alike = [product for product in gpu_products if product not in expected]
    said = [f"without --speeds tasks run on {_some(expected)} as data sheets let expect"] if expected else []
    if alike:
        said.append(f"without --speeds all tasks run equally fast on {_some(alike)}")
    return said


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
