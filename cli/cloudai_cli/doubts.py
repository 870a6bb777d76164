"""What a simulation of somebody's own trace cannot know, or leaves out: said before the figures, never in silence."""

from collections.abc import Sequence
from typing import Final

from cloudai_cli.scenario import TraceScenario
from cloudai_rts import products
from cloudai_rts.replay.engine import fleet_of

MOST_NAMED: Final = 5


def of(scenario: TraceScenario, knows_speeds: bool, *, has_table: bool = True) -> list[str]:
    """One line each. `has_table`: the speeds are those of the user's own table."""
    pairs = _unknown_pairs(scenario, knows_speeds) if has_table else _expected(scenario)
    return [*_unplaceable(scenario), *_unknown_products(scenario), *pairs]


def _unplaceable(scenario: TraceScenario) -> list[str]:
    """Tasks that no machine can take wait for ever, and count as missed."""
    world, jobs = scenario.world(), scenario.jobs(0)
    fleet = fleet_of(world)
    fits: dict[tuple[object, ...], bool] = {}
    for job in jobs:
        key = (job.admitted, *job.amounts.items())
        if key not in fits:
            fits[key] = bool((fleet.could_fit(job.amounts) & world.admits(job)).any())
    names = [job.name for job in jobs if not fits[job.admitted, *job.amounts.items()]]
    if not names:
        return []
    return [f"{len(names)} of {len(jobs)} tasks fit no machine and count as missed by every policy: {_some(names)}"]


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
