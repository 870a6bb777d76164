"""Soft wishes, one module each: what kube-scheduler's default profile scores, with its weights.

For a pod with a deadline or a type they are one term of the risk (docs/model.md, equation 3). A plain pod, such as a
Deployment's, goes where their sum is largest, as it would with kube-scheduler.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cloudai_kube.objects import Pod
from cloudai_rts.arrays import FloatArray, IntArray
from cloudai_scheduler.cluster.resource_scores import BEST
from cloudai_scheduler.preferences.base import Choice, Preference
from cloudai_scheduler.preferences.image_locality import ImageLocality
from cloudai_scheduler.preferences.inter_pod_affinity import InterPodAffinity
from cloudai_scheduler.preferences.node_affinity import NodeAffinity
from cloudai_scheduler.preferences.pod_topology_spread import PodTopologySpread
from cloudai_scheduler.preferences.resources import most_allocated, spread_out
from cloudai_scheduler.preferences.taints import TaintToleration
from cloudai_scheduler.preferences.volume_binding import VolumeBinding
from cloudai_scheduler.profile import STOCK, Profile

WISHES: tuple[Preference[Any], ...] = (
    TaintToleration(),
    NodeAffinity(),
    VolumeBinding(),
    PodTopologySpread(),
    InterPodAffinity(),
    ImageLocality(),
)
"""What pods and nodes say that they would like."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What scores the nodes for one pod.

    `asks` are the preferences that have something to say of it, each with what it reads of the pod and its weight.
    `fit` and `balance` are the weights of NodeResourcesFit and NodeResourcesBalancedAllocation, which go by requests.
    """

    asks: tuple[tuple[Preference[Any], Any, int], ...] = ()
    fit: int = 1
    balance: int = 1


NOTHING_WISHED: Final = Wishes()


def wishes_of(pod: Pod, profile: Profile = STOCK) -> Wishes:
    """What the pod wishes, and what its profile wishes for it, by the profile's weights."""
    weights = profile.weights
    asked = [
        (preference, preference.asks(pod), weights.get(preference.name, preference.weight)) for preference in WISHES
    ]
    if profile.affinity.preferredDuringSchedulingIgnoredDuringExecution:
        asked = [
            (preference, True if isinstance(preference, NodeAffinity) else ask, weight)
            for preference, ask, weight in asked
        ]
    said = tuple((preference, ask, weight) for preference, ask, weight in asked if ask is not None and weight)
    fit, balance = weights.get("NodeResourcesFit", 1), weights.get("NodeResourcesBalancedAllocation", 1)
    return Wishes(said, fit, balance)


def wished(wishes: Wishes, choice: Choice) -> FloatArray | None:
    """How much each slot of the fleet is wished for, in 0..1 (weighted mean); None where nobody wishes anything."""
    parts = [
        (weight, scores)
        for preference, ask, weight in wishes.asks
        if (scores := preference.scores(ask, choice)) is not None
    ]
    if not parts:
        return None
    total: FloatArray = np.zeros(len(choice.view.state.fleet), np.float64)
    summed = sum(weight * scores for weight, scores in parts)
    total[choice.slots] = np.asarray(summed, np.float64) / (BEST * sum(weight for weight, _ in parts))
    return total


def totals(wishes: Wishes, choice: Choice, packed: tuple[str, ...] = ()) -> IntArray:
    """The sum of all scores by their weights, for each of the slots.

    Pods that ask for a resource of the `packed` patterns go where most of it is taken, instead of where least is.
    """
    packing = most_allocated(choice, packed) if packed else None
    free, even = spread_out(choice) if packing is None else (packing, None)
    summed: IntArray = wishes.fit * free
    if even is not None:
        summed = summed + wishes.balance * even
    for preference, ask, weight in wishes.asks:
        scores = preference.scores(ask, choice)
        if scores is not None:
            summed = summed + weight * scores
    return summed
