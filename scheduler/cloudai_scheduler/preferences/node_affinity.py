"""NodeAffinity: nodes that the pod's preferred terms select."""

import numpy as np

from cloudai_kube.objects import Pod
from cloudai_rts.arrays import IntArray
from cloudai_scheduler.preferences.base import Choice, Preference, normalised


class NodeAffinity(Preference[bool]):
    """The sum of the weights of the terms that hold."""

    name = "NodeAffinity"
    weight = 2

    def asks(self, pod: Pod) -> bool | None:
        """Whether there are preferred terms; which ones hold is kept with the static verdicts."""
        affinity = pod.spec.affinity and pod.spec.affinity.nodeAffinity
        return True if affinity and affinity.preferredDuringSchedulingIgnoredDuringExecution else None

    def scores(self, ask: bool, choice: Choice) -> IntArray:  # noqa: ARG002  one signature for all
        """By the weights that hold."""
        return normalised(choice.liked[choice.slots].astype(np.int64))
