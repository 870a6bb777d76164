"""TaintToleration: nodes with fewer PreferNoSchedule taints that the pod does not tolerate."""

import numpy as np

from cloudai_kube.objects import Pod
from cloudai_rts.arrays import IntArray
from cloudai_scheduler.preferences.base import Choice, Preference, normalised


class TaintToleration(Preference[bool]):
    """The fewer the better."""

    name = "TaintToleration"
    weight = 3

    def asks(self, pod: Pod) -> bool:  # noqa: ARG002  what a pod tolerates is kept with the static verdicts
        """Every pod has a say."""
        return True

    def scores(self, ask: bool, choice: Choice) -> IntArray | None:  # noqa: ARG002  one signature for all
        """By the number of taints."""
        counts = choice.disliked[choice.slots].astype(np.int64)
        return normalised(counts, is_reversed=True) if counts.any() else None
