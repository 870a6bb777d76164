"""InterPodAffinity: near the pods that it would like to be near, and where pods would like to have it.

Upstream: kube-scheduler 1.37 `plugins/interpodaffinity/scoring.go`. Required affinity of pods that are there counts as
a preference of weight 1 for the pods that it means.
"""

from dataclasses import dataclass

import numpy as np

from cloudai_kube.objects import Pod
from cloudai_rts.arrays import IntArray
from cloudai_scheduler.cluster.neighbours import Neighbour
from cloudai_scheduler.cluster.resource_scores import BEST
from cloudai_scheduler.cluster.selector import Selection, Weighted
from cloudai_scheduler.filters.inter_pod_affinity import by_domain
from cloudai_scheduler.preferences.base import Choice, Preference


@dataclass(frozen=True, slots=True)
class Company:
    """Terms of a pod, by what they weigh; others' are looked up."""

    terms: tuple[Weighted, ...]


class InterPodAffinity(Preference[Company]):
    """The sum of the weights of all terms, the pod's and the others', over the pods that they mean."""

    name = "InterPodAffinity"
    weight = 2

    def asks(self, pod: Pod) -> Company:
        """Its preferred terms."""
        affinity = pod.spec.affinity
        if affinity is None or not (affinity.podAffinity or affinity.podAntiAffinity):
            return _NONE
        required = affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution if affinity.podAffinity else []
        return Company(Neighbour.of(pod).attracts[len(required) :])

    def scores(self, ask: Company, choice: Choice) -> IntArray | None:
        """From the least wanted node (0) to the most wanted one (100)."""
        state, meta = choice.view.state, choice.view.pod.metadata
        others = state.neighbours.attracting(meta.namespace, meta.labels)
        if not ask.terms and not others:
            return None
        width = len(state.fleet)
        sums: IntArray = np.zeros(width, np.int64)
        for wish in ask.terms:
            counts = state.neighbours.counts(Selection((wish.term.scope,)), width)
            sums += wish.weight * by_domain(state.domain_of(wish.term.topology_key), counts)
        by_key: dict[str, IntArray] = {}
        for key, weight, slots in others:
            weighed = by_key.setdefault(key, np.zeros(width, np.int64))
            for slot, count in slots.items():
                weighed[slot] += weight * count
        for key, weighed in by_key.items():
            sums += by_domain(state.domain_of(key), weighed)
        sums = sums[choice.slots]
        least, most = int(sums.min()), int(sums.max())
        if most == least:
            return np.zeros(len(sums), np.int64)
        return np.asarray(BEST * ((sums - least) / (most - least)), np.int64)


_NONE = Company(())
