"""The demo's Tasks: six types in bursts, seeded. Times are those of the reference workload, scaled down to seconds."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cloudai_rts import contract
from cloudai_rts.replay.workload import STANDARD_KINDS
from cloudai_sandbox.kubelet import ANNOTATION_RUNTIME

SCALE: Final = 1.0 / 88.0
SIZE_LOG_SD: Final = 0.35
BURST_SPEED: Final = 2.0
CALM_SPEED: Final = 0.67
FLIP: Final = 1.0 / 15.0
GIB: Final = 1 << 30


KINDS: Final = STANDARD_KINDS


@dataclass(frozen=True, slots=True)
class Arrival:
    """One Task and when it is applied, seconds after the start."""

    at: float
    name: str
    manifest: dict[str, Any]


def tau() -> dict[str, float]:
    """Reference run time of each type in the demo, seconds (the mean of a log-normal size is 1)."""
    return {name: round(kind.runtime * SCALE, 3) for name, kind in KINDS.items()}


def arrivals(seed: int, count: int, span_seconds: float) -> list[Arrival]:
    """Draw the Tasks: bursts of arrivals over about `span_seconds`."""
    rng = np.random.default_rng(seed)
    times = _times(rng, count, span_seconds)
    names = list(KINDS)
    shares = np.array([KINDS[name].share for name in names])
    drawn = rng.choice(len(names), size=count, p=shares / shares.sum())
    return [
        Arrival(times[i], f"demo-{i:03d}", _task(rng, f"demo-{i:03d}", names[int(kind)]))
        for i, kind in enumerate(drawn)
    ]


def _times(rng: np.random.Generator, count: int, span_seconds: float) -> list[float]:
    gaps, burst = [], False
    for _ in range(count):
        burst ^= bool(rng.random() < FLIP)
        gaps.append(float(rng.exponential()) / (BURST_SPEED if burst else CALM_SPEED))
    at = np.cumsum(gaps)
    return [float(time) for time in (at - at[0]) * span_seconds / max(1e-9, float(at[-1] - at[0]))]


def _task(rng: np.random.Generator, name: str, task_type: str) -> dict[str, Any]:
    kind = KINDS[task_type]
    scale = float(rng.choice([0.5, 1.0, 1.0, 1.5]))
    gpus = int(rng.choice([1, 2, 4], p=[0.86, 0.10, 0.04])) if kind.gpu else 0
    grow = scale * (0.75 * gpus if gpus > 1 else 1.0)
    size = float(rng.lognormal(-(SIZE_LOG_SD**2) / 2, SIZE_LOG_SD))
    cpu = min(16.0, max(1.0, kind.cpu * grow))
    limits = {"cpu": f"{round(cpu * 1000)}m", "memory": f"{round(min(96.0, kind.memory_gib * grow) * 1024)}Mi"}
    spec: dict[str, Any] = {
        "type": task_type,
        "image": "registry.example/work:1",
        "command": ["work"],
        "resources": {"limits": limits},
        "sla": {"finishWithin": f"{round(float(rng.choice([1.5, 2.0])) * kind.runtime * SCALE * 1000)}ms"},
    }
    if gpus:
        spec["gpus"] = gpus
    runtime = f"{kind.runtime * SCALE * size:.3f}"
    return {
        "apiVersion": contract.API_VERSION,
        "kind": contract.KIND,
        "metadata": {"name": name, "annotations": {ANNOTATION_RUNTIME: runtime}},
        "spec": spec,
    }
