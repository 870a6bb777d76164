"""The demo as a picture: one lane a node, one bar a Task, late ones marked; RTS above, round-robin below."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cloudai_sandbox.demo.result import Result, Run

mpl.use("Agg")
COLOURS: Final = {
    "gpu-training": "#4c72b0",
    "gpu-inference": "#55a868",
    "mixed": "#8172b2",
    "cpu-light": "#ccb974",
    "cpu-heavy": "#dd8452",
    "memory-heavy": "#64b5cd",
}
LATE: Final = "#c00000"


def draw(results: Sequence[Result], nodes: Sequence[str], file: Path) -> None:
    """Write a PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(13, 4.2 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), 1, sharex=True, squeeze=False)[:, 0]
    for axis, result in zip(axes, results, strict=True):
        _draw_phase(axis, result, nodes)
    axes[-1].set_xlabel("seconds after the first Task")
    handles = [Patch(color=colour, label=name) for name, colour in COLOURS.items()]
    handles.append(Patch(facecolor="white", edgecolor=LATE, linewidth=1.6, label="missed its deadline"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    figure.savefig(file, dpi=110)


def _draw_phase(axis: Axes, result: Result, nodes: Sequence[str]) -> None:
    axis.set_title(
        f"{result.policy}: {result.met} of {result.tasks} deadlines met, {result.rejections} pods refused by kubelets",
        loc="left",
        fontsize=10,
    )
    for lane, node in enumerate(nodes):
        runs = sorted((run for run in result.runs if run.node == node), key=lambda run: run.start)
        _draw_lane(axis, lane, runs)
    axis.set_yticks(range(len(nodes)), nodes, fontsize=7)
    axis.set_ylim(len(nodes) - 0.4, -0.6)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _draw_lane(axis: Axes, lane: int, runs: Sequence[Run]) -> None:
    """Bars that overlap in time stand in rows of their own inside the lane."""
    ends: list[float] = []
    placed: list[tuple[int, Run]] = []
    for run in runs:
        row = next((index for index, end in enumerate(ends) if end <= run.start), len(ends))
        ends[row : row + 1] = [run.end]
        placed.append((row, run))
    height = 0.84 / max(1, len(ends))
    for row, run in placed:
        top = lane - 0.42 + row * height
        if run.outcome == "Rejected":
            axis.plot([run.end], [top + height / 2], marker="x", color=LATE, markersize=5)
            continue
        axis.barh(
            top + height / 2,
            max(0.3, run.end - run.start),
            left=run.start,
            height=height * 0.9,
            color=COLOURS.get(run.task_type, "#999999"),
            edgecolor=LATE if run.late else "none",
            linewidth=1.3,
        )
