"""Two aims at once (M4): quality, the larger the better, and energy, the smaller the better.

Selection goes by non-domination, and among equals by how lonely a point is on its front (NSGA-II, Deb et al. 2002).
Points are rows of [n, 2]: quality, energy.
"""

import numpy as np

from cloudai_rts.arrays import BoolArray, FloatArray, IntArray


def dominated(points: FloatArray) -> BoolArray:
    """Points that another one beats in one aim and is not worse than in the other."""
    quality, energy = points[:, 0], points[:, 1]
    not_worse = (quality[:, None] >= quality[None, :]) & (energy[:, None] <= energy[None, :])
    better = (quality[:, None] > quality[None, :]) | (energy[:, None] < energy[None, :])
    return np.asarray((not_worse & better).any(axis=0))


def ranks(points: FloatArray) -> IntArray:
    """0 for the front, 1 for the front of the rest, and so on."""
    fronts = np.full(len(points), -1, np.int64)
    left = np.arange(len(points))
    rank = 0
    while len(left):
        behind = dominated(points[left])
        fronts[left[~behind]] = rank
        left = left[behind]
        rank += 1
    return fronts


def selection(points: FloatArray) -> FloatArray:
    """One number a point for tournaments: the better front first, within a front the lonelier point; in (-n, 1)."""
    rank = ranks(points)
    lonely = np.zeros(len(points))
    for front in np.unique(rank):
        members = np.flatnonzero(rank == front)
        lonely[members] = _crowding(points[members])
    return -rank + 0.9 * lonely / (1.0 + lonely)


def pick(points: FloatArray, energy_weight: float) -> int:
    """The point of the front that somebody wants to whom energy matters so much (0: not at all, 1: nothing else).

    Both aims are scaled by what the front spans.
    """
    front = np.flatnonzero(~dominated(points))
    quality, energy = _scaled(points[front, 0]), _scaled(points[front, 1])
    return int(front[np.argmax((1.0 - energy_weight) * quality - energy_weight * energy)])


def _crowding(points: FloatArray) -> FloatArray:
    """Distance between the neighbours of each point along its front; the ends are the loneliest."""
    distance = np.zeros(len(points))
    for column in range(points.shape[1]):
        scaled = _scaled(points[:, column])
        order = np.argsort(scaled, kind="stable")
        gaps = np.full(len(points), 2.0)
        gaps[1:-1] = scaled[order[2:]] - scaled[order[:-2]]
        distance[order] += gaps
    return distance


def _scaled(values: FloatArray) -> FloatArray:
    span = float(values.max() - values.min())
    return (values - values.min()) / span if span > 0 else np.zeros(len(values))
