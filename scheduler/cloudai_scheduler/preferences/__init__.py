"""Soft wishes, one module each: what kube-scheduler's default profile scores, with its weights.

For a pod with a deadline or a type they are one term of the risk (docs/model.md, equation 3). A plain pod, such as a
Deployment's, goes where their sum is largest, as it would with kube-scheduler.
"""

from typing import Any

import numpy as np

from cloudai_kube.objects import Pod
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_scheduler.preferences.base import BEST, Choice, Preference
from cloudai_scheduler.preferences.image_locality import ImageLocality
from cloudai_scheduler.preferences.inter_pod_affinity import InterPodAffinity
from cloudai_scheduler.preferences.node_affinity import NodeAffinity
from cloudai_scheduler.preferences.pod_topology_spread import PodTopologySpread
from cloudai_scheduler.preferences.resources import balanced, least_allocated, most_allocated
from cloudai_scheduler.preferences.taints import TaintToleration
from cloudai_scheduler.preferences.volume_binding import VolumeBinding

Asks = tuple[tuple[Preference[Any], Any], ...]

WISHES: tuple[Preference[Any], ...] = (
    TaintToleration(),
    NodeAffinity(),
    VolumeBinding(),
    PodTopologySpread(),
    InterPodAffinity(),
    ImageLocality(),
)
"""What pods and nodes say that they would like."""


def asks_of(pod: Pod) -> Asks:
    """The wishes that have something to say of a pod, each with what it reads of it."""
    asked = ((preference, preference.asks(pod)) for preference in WISHES)
    return tuple((preference, ask) for preference, ask in asked if ask is not None)


def wished(asks: Asks, choice: Choice) -> FloatArray | None:
    """How much each slot of the fleet is wished for, in 0..1 (weighted mean); None where nobody wishes anything."""
    parts = [
        (preference.weight, scores)
        for preference, ask in asks
        if (scores := preference.scores(ask, choice)) is not None
    ]
    if not parts:
        return None
    total: FloatArray = np.zeros(len(choice.view.state.fleet), np.float64)
    summed = sum(weight * scores for weight, scores in parts)
    total[choice.slots] = np.asarray(summed, np.float64) / (BEST * sum(weight for weight, _ in parts))
    return total


def totals(asks: Asks, choice: Choice, packed: tuple[str, ...] = ()) -> IntArray:
    """The sum of all scores by their weights, for each of the slots.

    Pods that ask for a resource of the `packed` patterns go where most of it is taken, instead of where least is.
    """
    packing = most_allocated(choice, packed) if packed else None
    summed: IntArray = least_allocated(choice) if packing is None else packing
    evenness = balanced(choice) if packing is None else None
    if evenness is not None:
        summed = summed + evenness
    for preference, ask in asks:
        scores = preference.scores(ask, choice)
        if scores is not None:
            summed = summed + preference.weight * scores
    return summed
