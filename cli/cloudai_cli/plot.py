"""A picture of a simulation: how long tasks took by policy, and how each policy differs from the first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from cloudai_cli.simulate import FIGURES, Outcome

SHOWN: Final = ("violations", "tardiness", "utilisation", "energy_kwh")


def draw(outcomes: Sequence[Outcome], rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Write a PNG: response over slack as cumulative shares (right of 1 is late), then figures with 95 % intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (responses, *panels) = plt.subplots(
        1, 1 + len(SHOWN), figsize=(7 + 2.6 * len(SHOWN), 5), width_ratios=[2.4, *[1.0] * len(SHOWN)]
    )
    _draw_responses(responses, outcomes)
    for axes, name in zip(panels, SHOWN, strict=True):
        _draw_figure(axes, rows, name)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _draw_responses(axes: Any, outcomes: Sequence[Outcome]) -> None:  # noqa: ANN401  matplotlib
    for policy in dict.fromkeys(outcome.policy for outcome in outcomes):
        ratios = np.concatenate([one.response for one in outcomes if one.policy == policy])
        known = np.sort(ratios[np.isfinite(ratios)])
        axes.plot(known, np.arange(1, len(known) + 1) / max(1, len(known)), label=policy)
    axes.axvline(1.0, color="grey", linestyle="--")
    axes.set_xlim(0.0, 2.5)
    axes.set_xlabel("response time / time allowed")
    axes.set_ylabel("share of the tasks")
    axes.legend()


def _draw_figure(axes: Any, rows: Sequence[dict[str, Any]], name: str) -> None:  # noqa: ANN401  matplotlib
    """One bar a policy; whiskers are the interval of its difference to the first, which has none."""
    values = [row[name] or 0.0 for row in rows]
    widths = [0.0, *((row["half_widths"][name] or 0.0) for row in rows[1:])]
    colours = [f"C{index % 10}" for index in range(len(rows))]
    axes.bar(range(len(rows)), values, yerr=widths, capsize=3, color=colours)
    axes.set_xticks(range(len(rows)), [row["policy"] for row in rows], rotation=60, ha="right", fontsize=8)
    axes.set_title(FIGURES[name].title, fontsize=10)
