"""A picture of a simulation: response over slack by policy, as cumulative shares; right of 1 is late."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloudai_cli.simulate import Outcome


def draw(outcomes: Sequence[Outcome], file: Path) -> None:
    """Write a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5))
    for policy in dict.fromkeys(outcome.policy for outcome in outcomes):
        ratios = np.concatenate([one.response for one in outcomes if one.policy == policy])
        known = np.sort(ratios[np.isfinite(ratios)])
        axes.plot(known, np.arange(1, len(known) + 1) / max(1, len(known)), label=policy)
    axes.axvline(1.0, color="grey", linestyle="--")
    axes.set_xlim(0.0, 2.5)
    axes.set_xlabel("response time / time allowed")
    axes.set_ylabel("share of the tasks")
    axes.legend()
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)
