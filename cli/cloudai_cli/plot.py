"""A picture of a simulation: how long tasks took by policy, and how each policy differs from the first."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from cloudai_cli.simulate import FIGURES, Outcome
from cloudai_rts.arrays import FloatArray

SHOWN: Final = ("violations", "tardiness", "utilisation", "energy_kwh")


def draw(outcomes: Sequence[Outcome], rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Write a PNG: figures by policy above; below GPUs in use and queue over time, and misses by number of GPUs.

    Response over time allowed is drawn as cumulative shares: right of 1 is late. Bars start at zero, whiskers are 95 %
    intervals of the difference to the first policy. What happens over time is that of the first seed.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplot_mosaic(
        [["responses", *SHOWN], ["gpus", "gpus", "queue", "queue", "classes"]],
        figsize=(7 + 2.6 * len(SHOWN), 9),
        width_ratios=[2.4, *[1.0] * len(SHOWN)],
    )
    _draw_responses(axes["responses"], outcomes)
    for name in SHOWN:
        _draw_figure(axes[name], rows, name)
    _draw_over_time(axes["gpus"], axes["queue"], [outcome for outcome in outcomes if outcome.seed == outcomes[0].seed])
    _draw_classes(axes["classes"], outcomes, rows)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _draw_over_time(gpus: Any, queue: Any, outcomes: Sequence[Outcome]) -> None:  # noqa: ANN401  matplotlib
    """GPUs that are held, and tasks that wait, hour by hour."""
    for outcome in outcomes:
        begin, known = float(outcome.arrival.min()), outcome.gpus
        start, finish = outcome.course.start - begin, outcome.course.finish - begin
        ran = np.isfinite(start)
        _steps(gpus, [(start[ran], known[ran]), (finish[ran], -known[ran])], outcome.policy)
        unit = np.ones(len(start))
        _steps(queue, [(outcome.arrival - begin, unit), (start[ran], -unit[ran])], outcome.policy)
    for axes, title in ((gpus, "GPUs in use"), (queue, "tasks that wait")):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("hours")
        axes.set_ylim(bottom=0.0)
    gpus.legend(fontsize=8)


def _steps(axes: Any, changes: Sequence[tuple[FloatArray, FloatArray]], label: str) -> None:  # noqa: ANN401  matplotlib
    at, by = (np.concatenate(part) for part in zip(*changes, strict=True))
    order = np.argsort(at, kind="stable")
    axes.step(at[order] / 3600.0, np.cumsum(by[order]), where="post", label=label, linewidth=1.0)


def _draw_classes(axes: Any, outcomes: Sequence[Outcome], rows: Sequence[dict[str, Any]]) -> None:  # noqa: ANN401  matplotlib
    """Misses by number of GPUs, with the number of tasks."""
    names = [name for name in outcomes[0].classes if name.endswith(" GPU")]
    names.sort(key=lambda name: int(name.split()[0]))
    width = 0.8 / max(1, len(rows))
    for index, row in enumerate(rows):
        values = [row["by_class"]["violations"][name] or 0.0 for name in names]
        axes.bar(np.arange(len(names)) + index * width, values, width, color=f"C{index % 10}")
    labels = [f"{name}\n({len(outcomes[0].classes[name])})" for name in names]
    axes.set_xticks(np.arange(len(names)) + 0.4 - width / 2, labels, fontsize=8)
    axes.set_title("missed by GPUs (tasks), %", fontsize=10)


def _draw_responses(axes: Any, outcomes: Sequence[Outcome]) -> None:  # noqa: ANN401  matplotlib
    for policy in dict.fromkeys(outcome.policy for outcome in outcomes):
        ratios = np.concatenate([outcome.response for outcome in outcomes if outcome.policy == policy])
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
    widths = [math.nan, *((row["half_widths"][name] or math.nan) for row in rows[1:])]
    colours = [f"C{index % 10}" for index in range(len(rows))]
    axes.bar(range(len(rows)), values, yerr=widths, capsize=3, color=colours)
    axes.set_xticks(range(len(rows)), [row["policy"] for row in rows], rotation=60, ha="right", fontsize=8)
    axes.set_title(FIGURES[name].title, fontsize=10)
