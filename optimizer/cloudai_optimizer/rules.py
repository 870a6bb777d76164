"""Settings of an epoch."""

from dataclasses import dataclass

from cloudai_optimizer.fit.memory import REMEMBERED
from cloudai_optimizer.search.fitness import DEFAULT
from cloudai_optimizer.search.genetic import GENERATIONS, SIZE, Mutation
from cloudai_optimizer.search.genetic import USUAL as USUAL_MUTATION
from cloudai_rts.replay.energy import USUAL, EnergyRates
from cloudai_rts.replay.summary import USUAL as EDD_USUAL
from cloudai_rts.replay.summary import EddWeights


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of an epoch. Fewer than `min_tasks` finished: nothing is done; fewer than `search_tasks`: fit only.

    The window is cut into `windows`; the last tasks of every other one tune the weights (a thirtieth of all, at least
    `least_window_tasks` and at most `window_tasks`), of those in between `guard_tasks` judge them. Under the fitness
    `pareto`, `energy_weight` (0..1) picks the point of the front. `only_news`: where nothing has finished since the
    document in force nothing is done. What the window does not show any more counts as `remembered_runs` at most (0: it
    is forgotten). `energy` is what use takes where nobody measures watts.
    Weights are searched again after a pause and so many newly finished tasks, or chance would win sooner or later.
    """

    min_tasks: int = 10
    only_news: bool = True
    remembered_runs: float = REMEMBERED
    search_tasks: int = 200
    windows: int = 6
    window_tasks: int = 150
    least_window_tasks: int = 30
    guard_tasks: int = 400
    generations: int = GENERATIONS
    population: int = SIZE
    fitness: str = DEFAULT
    edd_weights: EddWeights = EDD_USUAL
    mutation: Mutation = USUAL_MUTATION
    islands: int = 1
    energy_weight: float = 0.0
    max_invalid_share: float = 0.2
    search_pause_seconds: float = 1800.0
    search_new_tasks: int = 200
    energy: EnergyRates = USUAL
