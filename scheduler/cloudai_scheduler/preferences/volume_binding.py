"""VolumeBinding: nodes whose storage is used least by what the pod gets there.

Upstream: kube-scheduler 1.37 `plugins/volumebinding/scorer.go`. Of several reports about one node's capacity the
largest counts; upstream takes any that suffices.
"""

import numpy as np

from cloudai_kube.objects import Pod
from cloudai_rts.arrays import IntArray
from cloudai_scheduler.cluster.pod_volumes import ClaimKey, PodClaim, PodVolumes
from cloudai_scheduler.cluster.resource_scores import BEST
from cloudai_scheduler.cluster.storage import requested_bytes, size_of
from cloudai_scheduler.filters.volume_binding import Match, claims_of, key_of, largest_capacity, match
from cloudai_scheduler.preferences.base import Choice, Preference


class VolumeBinding(Preference[tuple[PodClaim, ...]]):
    """The mean, over storage classes, of the share that stays free."""

    name = "VolumeBinding"

    def asks(self, pod: Pod) -> tuple[PodClaim, ...] | None:
        """The pod's claims."""
        return PodVolumes.of(pod).claims or None

    def scores(self, ask: tuple[PodClaim, ...], choice: Choice) -> IntArray | None:
        """Volumes that are there already go before those that would be made."""
        matched = match(claims_of(ask, choice.view.state), choice.view.state)
        if not matched.waiting:
            return None
        state = choice.view.state
        capacities = {key_of(claim): largest_capacity(claim, state) for claim in matched.waiting}
        return np.array([_score(matched, capacities, int(slot)) for slot in choice.slots], np.int64)


def _score(matched: Match, capacities: dict[ClaimKey, IntArray | None], slot: int) -> int:
    bound: dict[str, list[int]] = {}
    made: dict[str, list[int]] = {}
    for claim in matched.waiting:
        index = int(matched.chosen[key_of(claim)][slot]) if key_of(claim) in matched.chosen else -1
        if index >= 0:
            sums = bound.setdefault(claim.class_name, [0, 0])
            sums[0] += requested_bytes(claim)
            sums[1] += size_of(matched.volumes[index].spec.capacity.get("storage"))
            continue
        capacity = capacities[key_of(claim)]
        if capacity is not None:
            sums = made.setdefault(claim.class_name, [0, 0])
            sums[0] += requested_bytes(claim)
            sums[1] = int(capacity[slot])
    shares = [_free(*sums) for sums in (bound or made).values()]
    return int(sum(shares) / len(shares) + 0.5) if shares else 0


def _free(requested: int, capacity: int) -> int:
    if capacity == 0 or requested > capacity:
        return 0
    return BEST - requested * BEST // capacity
